import keras

# How closely results in float64 agree. On PyTorch Keras multiplies matrices
# of float64 in float32.
DOUBLE = 1e-4 if keras.backend.backend() == "torch" else 1e-10
