import keras

from keras_fusion.layers.locally_connected import LocallyConnected


@keras.saving.register_keras_serializable(package="keras_fusion")
class LocallyConnected2D(LocallyConnected):
    """A 2D convolution whose weights are not shared over positions."""

    rank = 2
