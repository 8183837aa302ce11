import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import FiLM


def modulate(layer, x, conditioning):
    return ops.convert_to_numpy(layer(x, conditioning))


def test_starts_as_the_identity_when_kernels_start_as_zeros(rng):
    x = rng.normal(size=(2, 4, 5, 3)).astype("float32")
    conditioning = rng.normal(size=(2, 4)).astype("float32")
    layer = FiLM(kernel_initializer="zeros")
    np.testing.assert_array_equal(modulate(layer, x, conditioning), x)


@pytest.mark.parametrize("shape", [(2, 3), (2, 5, 3), (2, 4, 4, 4, 3)])
def test_one_hot_conditioning_looks_scales_and_shifts_up(rng, shape):
    x = rng.normal(size=shape).astype("float32")
    table = rng.normal(size=(2, 6))
    layer = FiLM()
    layer.build(shape, (2, 2))
    layer.generator.kernel.assign(table)
    output = modulate(layer, x, np.eye(2, dtype="float32"))
    for sample in range(2):
        scale, shift = table[sample, :3], table[sample, 3:]
        expected = x[sample] + scale * x[sample] + shift
        np.testing.assert_allclose(output[sample], expected, rtol=1e-4)


def test_every_position_is_modulated_alike(rng):
    x = np.repeat(rng.normal(size=(2, 1, 1, 3)), 5, axis=2).astype("float32")
    conditioning = rng.normal(size=(2, 4)).astype("float32")
    assert np.ptp(modulate(FiLM(), x, conditioning), axis=2).max() == 0


def test_channels_first_is_channels_last_transposed(rng):
    x = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    conditioning = rng.normal(size=(2, 4)).astype("float32")
    first, last = FiLM(axis=1), FiLM()
    last(np.moveaxis(x, 1, -1), conditioning)
    first.build(x.shape, conditioning.shape)
    first.set_weights(last.get_weights())
    expected = modulate(last, np.moveaxis(x, 1, -1), conditioning)
    np.testing.assert_allclose(
        modulate(first, x, conditioning),
        np.moveaxis(expected, -1, 1),
        rtol=1e-5,
        atol=1e-6,
    )


def test_one_model_modulates_maps_of_any_size(rng):
    x, conditioning = keras.Input((None, None, 3)), keras.Input((4,))
    model = keras.Model([x, conditioning], FiLM()(x, conditioning))
    for size in ((2, 3), (5, 4)):
        arrays = [np.ones((2, *size, 3)), np.ones((2, 4))]
        assert model(arrays).shape == (2, *size, 3)


def test_wrong_input_explains_itself():
    x = np.zeros((2, 4, 4, 3), "float32")
    with pytest.raises(ValueError, match="Pool or flatten"):
        FiLM()(x, x)
    with pytest.raises(ValueError, match="Set that dimension"):
        FiLM()(keras.Input((4, 4, None)), keras.Input((4,)))
