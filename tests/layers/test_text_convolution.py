import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import TextConvolution
from tests.layers.precision import DOUBLE

pytestmark = pytest.mark.usefixtures("double_precision")


@pytest.fixture
def maps(rng):
    return rng.normal(size=(3, 5, 6, 4))


@pytest.fixture
def text(rng):
    return rng.normal(size=(3, 7))


def run(layer, *inputs):
    return ops.convert_to_numpy(layer(*inputs))


def made_kernels(layer, text, size=1):
    kernels = ops.convert_to_numpy(layer.affine(text))
    return kernels.reshape(len(text), size, size, 4, -1)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_case_9_equals_one_convolution_a_sample(maps, text, size):
    layer = TextConvolution(
        2, kernel_size=size, normalize=False, dtype="float64"
    )
    convolved = run(layer, maps, text)
    kernels = made_kernels(layer, text, size)
    for b in range(3):
        alone = ops.conv(
            maps[b : b + 1],
            kernels[b],
            padding="same",
            data_format="channels_last",
        )
        alone = ops.convert_to_numpy(alone)[0]
        np.testing.assert_allclose(convolved[b], alone, rtol=DOUBLE)


def test_case_9_identity_kernel_returns_the_map(maps, text):
    layer = TextConvolution(4, normalize=False, dtype="float64")
    layer(maps, text)
    layer.affine.kernel.assign(np.zeros((7, 16)))
    layer.affine.bias.assign(np.eye(4).ravel())
    np.testing.assert_array_equal(run(layer, maps, text), maps)


def test_case_9_moving_pixels_moves_the_output(rng, maps, text):
    layer = TextConvolution(2, dtype="float64")
    order = rng.permutation(30)

    def moved(x):
        return x.reshape(3, 30, -1)[:, order].reshape(*x.shape)

    np.testing.assert_allclose(
        run(layer, moved(maps), text),
        moved(run(layer, maps, text)),
        rtol=DOUBLE,
    )


def test_case_9_scale_of_the_affine_map_does_not_matter(maps, text):
    layer = TextConvolution(2, kernel_size=3, dtype="float64")
    before = run(layer, maps, text)
    for weight in layer.weights:
        weight.assign(7 * ops.convert_to_numpy(weight))
    np.testing.assert_allclose(run(layer, maps, text), before, rtol=DOUBLE)


def test_kernels_have_length_one(maps, text):
    layer = TextConvolution(4, dtype="float64")
    pixels = np.broadcast_to(np.eye(4)[:, None], (3, 4, 4, 4))
    kernels = run(layer, pixels, text)[:, :, 0]
    lengths = np.linalg.norm(kernels.reshape(3, -1), axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=DOUBLE)


def test_case_9_without_text_weights_the_text_does_not_matter(maps, text):
    layer = TextConvolution(2, dtype="float64")
    layer(maps, text)
    layer.affine.kernel.assign(np.zeros((7, 8)))
    layer.affine.bias.assign(np.arange(8.0))
    np.testing.assert_array_equal(
        run(layer, maps, text), run(layer, maps, 5 - text)
    )


def test_wrong_input_explains_itself(maps, text):
    with pytest.raises(ValueError, match="`inputs` .* must have 4 dim"):
        TextConvolution(2)(maps[0], text)
    with pytest.raises(ValueError, match="`conditioning` .* of shape .batch"):
        TextConvolution(2)(maps, text[:, None])
    with pytest.raises(ValueError, match="`kernel_size` must be an integer"):
        TextConvolution(2, kernel_size=(3, 3))
