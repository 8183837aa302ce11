import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers.power_normalization import power_normalize


def test_length_is_one_and_signs_are_kept(rng):
    x = rng.normal(size=(5, 7)).astype("float32")
    y = ops.convert_to_numpy(power_normalize(ops.array(x), "float32"))
    np.testing.assert_allclose(np.linalg.norm(y, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(np.sign(y), np.sign(x))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_ratios_are_square_roots_of_those_before(dtype):
    x = ops.array([[1.0, -4.0, 9.0]])
    y = ops.convert_to_numpy(power_normalize(x, dtype))
    np.testing.assert_allclose(y / y[0, 0], [[1, -2, 3]], rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tape")
def test_zero_stays_zero_and_gradients_are_finite_there(dtype):
    import tensorflow as tf

    x = tf.constant([[0.0, 0.0, 0.0], [0.0, 1.0, -1e-20]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = power_normalize(x, dtype)
    assert np.array_equal(y[0], np.zeros(3))
    assert np.all(np.isfinite(tape.gradient(y, x)))
