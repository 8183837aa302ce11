import keras
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
