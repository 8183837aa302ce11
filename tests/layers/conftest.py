import keras
import numpy as np
import pytest


@pytest.fixture
def double_precision():
    """Lets JAX, too, compute in float64."""
    if keras.backend.backend() == "jax":
        import jax

        with jax.enable_x64(True):
            yield
    else:
        yield


@pytest.fixture(scope="session")
def channels_first():
    """Skips where convolutions have no such format.

    TensorFlow has it on CPUs with oneDNN alone, which it uses by itself on
    some processors.
    """
    layer = keras.layers.Conv2D(1, 1, data_format="channels_first")
    try:
        layer(np.zeros((1, 1, 2, 2), "float32"))
    except Exception as error:
        if type(error).__name__ != "UnimplementedError":
            raise
        pytest.skip("convolutions are channels last here")
