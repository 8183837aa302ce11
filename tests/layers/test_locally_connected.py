"""Acceptance cases 1, 2, 7, 8, 10 and 13: what comes out."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import LocallyConnected1D
from keras_fusion.layers import LocallyConnected2D
from keras_fusion.layers import LocallyConnected3D
from tests.layers.cases_convolution import locally_connected

LAYERS = {1: LocallyConnected1D, 2: LocallyConnected2D, 3: LocallyConnected3D}
CONVS = {rank: getattr(keras.layers, f"Conv{rank}D") for rank in LAYERS}
SIZES = {1: (11,), 2: (9, 7), 3: (5, 4, 6)}
KERNELS = {1: [2, 3], 2: [2, (3, 2)], 3: [2, (3, 1, 2)]}
# TensorFlow's convolutions take either strides or dilation.
STEPS = [(1, 1), (2, 1), (3, 1), (1, 2), (1, 3)]
PADDINGS = ["valid", "same", "causal"]


def draw(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def channels_first(x):
    return np.moveaxis(ops.convert_to_numpy(x), -1, 1)


def settings(rank):
    paddings = PADDINGS if rank == 1 else PADDINGS[:2]
    for kernel, (strides, dilation), padding in itertools.product(
        KERNELS[rank], STEPS, paddings
    ):
        extent = dilation * (np.max(kernel) - 1) + 1
        if padding != "valid" or extent <= min(SIZES[rank]):
            yield {
                "kernel_size": kernel,
                "strides": strides,
                "dilation_rate": dilation,
                "padding": padding,
            }


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_equal_weights_at_all_positions_are_a_convolution(rng, rank, groups):
    """Case 1, over strides, dilation, padding and both data formats."""
    x = draw(rng, 2, *SIZES[rank], 4)
    for arguments in settings(rank):
        conv = CONVS[rank](
            6, groups=groups, bias_initializer="normal", **arguments
        )
        expected = ops.convert_to_numpy(conv(x))
        layer = LAYERS[rank].from_conv(conv, x.shape)
        np.testing.assert_allclose(
            layer(x), expected, rtol=1e-5, atol=1e-5, err_msg=str(arguments)
        )

        config = {**conv.get_config(), "data_format": "channels_first"}
        first = CONVS[rank].from_config(config)
        first.build(channels_first(x).shape)
        first.set_weights(conv.get_weights())
        layer = LAYERS[rank].from_conv(first, channels_first(x).shape)
        np.testing.assert_allclose(
            layer(channels_first(x)),
            channels_first(expected),
            rtol=1e-5,
            atol=1e-5,
            err_msg=str(arguments),
        )


def random_layer(rng, rank, shape, **arguments):
    layer = LAYERS[rank](**arguments)
    layer.build(shape)
    layer.set_weights([draw(rng, *w.shape) for w in layer.weights])
    return layer


def test_strides_and_dilation_go_together(rng):
    """Case 2; the other settings are in the contract's table."""
    layer = random_layer(
        rng, 1, (3, 12, 2), filters=3, kernel_size=3, strides=2, dilation_rate=2
    )
    x = draw(rng, 3, 12, 2)
    weights = dict(zip(("kernel", "bias"), layer.get_weights(), strict=True))
    expected = locally_connected(weights, x, (3,), (2,), [(0, 0)], (2,))
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_one_window_is_a_dense_layer(rng):
    """Case 7: the window as large as the input."""
    x = draw(rng, 3, 4, 5, 2)
    layer = random_layer(rng, 2, x.shape, filters=6, kernel_size=(4, 5))
    kernel, bias = layer.get_weights()
    expected = x.reshape(3, -1) @ kernel[0] + bias[0, 0]
    np.testing.assert_allclose(layer(x)[:, 0, 0], expected, rtol=1e-4)


def test_window_of_one_with_one_filter_is_a_dot_product(rng):
    """Case 7: kernel 1, F = 1."""
    x = draw(rng, 3, 4, 5, 2)
    layer = random_layer(rng, 2, x.shape, filters=1, kernel_size=1)
    kernel, bias = layer.get_weights()
    kernel = kernel.reshape(4, 5, 2)
    expected = (x * kernel).sum(axis=-1, keepdims=True) + bias
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_windows_side_by_side_are_a_reshape(rng):
    """Case 7: stride = kernel, with a rest that no window holds."""
    x = draw(rng, 3, 7, 2)
    layer = random_layer(rng, 1, x.shape, filters=4, kernel_size=3, strides=3)
    kernel, bias = layer.get_weights()
    blocks = x[:, :6].reshape(3, 2, 6)
    expected = np.einsum("bpk,pkf->bpf", blocks, kernel) + bias
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


ODD = {
    "filters": 4,
    "kernel_size": (3, 2),
    "strides": (2, 1),
    "padding": "same",
    "groups": 2,
}
FORMATS = [("channels_last", (2, 5, 4, 6)), ("channels_first", (2, 6, 5, 4))]


@pytest.mark.parametrize(("data_format", "shape"), FORMATS)
def test_dense_matrix_gives_the_same_outputs(rng, data_format, shape):
    """Case 8."""
    layer = random_layer(rng, 2, shape, data_format=data_format, **ODD)
    x = draw(rng, *shape)
    matrix, bias = layer.to_dense()
    expected = ops.convert_to_numpy(layer(x)).reshape(2, -1)
    np.testing.assert_allclose(
        x.reshape(2, -1) @ matrix + bias, expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("shape", "arguments", "kernel", "bias"),
    [
        ((32, 32, 3), (64, 3), 1_612_800 - 57_600, 57_600),
        ((63, 63, 16), (16, 9), 62_726_400, 48_400),
        ((55, 55, 16), (16, 7, 2), 7_840_000, 10_000),
        ((25, 25, 16), (16, 5), 2_822_400, 7_056),
    ],
)
def test_number_of_weights(shape, arguments, kernel, bias):
    """Case 10: the example of Keras 2, and the layers of DeepFace."""
    layer = LocallyConnected2D(
        *arguments, kernel_initializer="zeros", dtype="float16"
    )
    layer.build((None, *shape))
    assert np.prod(layer.kernel.shape) == kernel
    assert np.prod(layer.bias.shape) == bias


def test_cloned_model_has_the_layer_with_its_settings():
    inputs = keras.Input((6, 5, 4))
    outputs = LocallyConnected2D(name="local", activation="relu", **ODD)(inputs)
    clone = keras.models.clone_model(keras.Model(inputs, outputs))
    assert clone.output_shape == (None, 3, 5, 4)
    assert clone.get_layer("local").groups == 2


def test_padding_by_pairs_is_padding_of_the_input(rng):
    x = draw(rng, 2, 5, 4, 3)
    pads = ((2, 0), (1, 3))
    layer = random_layer(
        rng, 2, x.shape, filters=2, kernel_size=3, padding=pads
    )
    padded = np.pad(x, [(0, 0), *pads, (0, 0)])
    other = LocallyConnected2D(2, 3)
    other.build(padded.shape)
    other.set_weights(layer.get_weights())
    np.testing.assert_allclose(layer(x), other(padded), rtol=1e-5, atol=1e-5)


def test_sizes_are_those_of_convolutions():
    """Case 13: compute_output_shape for all settings."""
    for rank in LAYERS:
        for arguments in settings(rank):
            shape = (None, *SIZES[rank], 4)
            layer, conv = (
                kind[rank](2, **arguments) for kind in (LAYERS, CONVS)
            )
            expected = conv.compute_output_shape(shape)
            assert layer.compute_output_shape(shape) == expected, arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "`filters` must be an integer of at least 1"),
        ({"kernel_size": 0}, "`kernel_size` must be a positive integer, or 2"),
        ({"strides": (1, 2, 3)}, r"Received: strides=\(1, 2, 3\)"),
        ({"padding": "causal"}, r"`padding` must be one of \['valid', 'same'"),
        ({"padding": ((1, 1),)}, "a tuple of 2 pairs"),
        ({"implementation": 4}, "must be 1, 2 or 3"),
        ({"groups": 2}, "`filters` must be a multiple of `groups`"),
        ({"data_format": "last"}, '"channels_last" or "channels_first"'),
    ],
)
def test_wrong_argument_explains_itself(arguments, message):
    with pytest.raises(ValueError, match=message):
        LocallyConnected2D(**{"filters": 3, "kernel_size": 2, **arguments})


def test_wrong_input_explains_itself():
    with pytest.raises(ValueError, match="Set all dimensions but the batch"):
        LocallyConnected2D(3, 2)(keras.Input((None, 8, 3)))
    with pytest.raises(ValueError, match="must have 4 dimensions"):
        LocallyConnected2D(3, 2)(keras.Input((8, 3)))
    with pytest.raises(ValueError, match="smaller than a window"):
        LocallyConnected2D(3, 5)(keras.Input((8, 4, 3)))
    with pytest.raises(ValueError, match="`channels` must be a multiple"):
        LocallyConnected2D(4, 2, groups=2)(keras.Input((8, 8, 3)))
    with pytest.raises(ValueError, match="must be a built keras.layers.Conv2D"):
        LocallyConnected2D.from_conv(keras.layers.Conv2D(2, 3), (None, 8, 8, 3))
