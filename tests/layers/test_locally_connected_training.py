"""Acceptance cases 9, 11, 12, 13 and 14: what training meets."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import LocallyConnected1D
from keras_fusion.layers import LocallyConnected2D
from tests.layers.gradients import gradients


def draw(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def random_layer(rng, shape, **arguments):
    layer = LocallyConnected2D(**arguments)
    layer.build(shape)
    layer.set_weights([draw(rng, *w.shape) for w in layer.weights])
    return layer


ODD = {
    "filters": 4,
    "kernel_size": (3, 2),
    "strides": (2, 1),
    "padding": "same",
    "groups": 2,
}
FORMATS = [("channels_last", (2, 5, 4, 6)), ("channels_first", (2, 6, 5, 4))]


@pytest.mark.parametrize("patch_limit", [10**6, 1])
@pytest.mark.parametrize(("data_format", "shape"), FORMATS)
def test_gradients_are_those_of_the_dense_matrix(
    rng, data_format, shape, patch_limit
):
    """Case 9, with the windows whole and made a row at a time."""
    layer = random_layer(
        rng, shape, data_format=data_format, patch_limit=patch_limit, **ODD
    )
    assert (layer._pieces > 1) == (patch_limit == 1)
    x = draw(rng, *shape)
    upstream = draw(rng, *layer.compute_output_shape(shape))
    inputs = keras.Input(shape[1:])
    model = keras.Model([inputs], layer(inputs))
    (by_input,), by_weight = gradients(model, [x], [upstream])
    flat_x, flat = x.reshape(2, -1), upstream.reshape(2, -1)
    matrix, _ = layer.to_dense()
    np.testing.assert_allclose(
        by_input.reshape(2, -1), flat @ matrix.T, rtol=1e-4, atol=1e-5
    )
    rows, columns, inside = layer._matrix_indices()
    by_matrix = flat_x.T @ flat
    expected = np.where(inside, by_matrix[rows, columns], 0)
    np.testing.assert_allclose(
        by_weight["kernel"], expected, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        by_weight["bias"].ravel(), flat.sum(axis=0), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_bad_pixel_stays_within_the_windows_that_hold_it(rng, value):
    """Cases 9 and 12."""
    x = draw(rng, 1, 8, 9, 2)
    layer = random_layer(rng, x.shape, filters=3, kernel_size=3)
    x[0, 4, 5, 0] = value
    bad = ~np.isfinite(ops.convert_to_numpy(layer(x))).all(axis=(0, 3))
    held = np.zeros((6, 7), bool)
    held[2:5, 3:6] = True
    np.testing.assert_array_equal(bad, held)


@pytest.mark.parametrize(
    ("initializer", "variance"),
    [
        ("glorot_uniform", 2 / (36 + 72)),
        ("he_normal", 2 / 36),
        (keras.initializers.VarianceScaling(mode="fan_out"), 1 / 72),
        (keras.initializers.RandomNormal(stddev=0.3), 0.09),
    ],
)
def test_spread_at_each_position_is_that_of_a_convolution(
    initializer, variance
):
    """Case 11: 3x3 windows of 4 channels, 8 filters."""
    layer = LocallyConnected2D(8, 3, kernel_initializer=initializer)
    layer.build((None, 16, 16, 4))
    spread = ops.convert_to_numpy(layer.kernel).std()
    assert spread == pytest.approx(variance**0.5, rel=0.02)


def test_stacked_layers_keep_the_spread(rng):
    """Case 11."""
    x = draw(rng, 16, 16, 16, 4)
    for _ in range(4):
        x = LocallyConnected2D(4, 3, padding="same")(x)
    assert 0.3 <= ops.convert_to_numpy(x).std() <= 3


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_is_close(rng, policy):
    """Case 13; compiling, saving and empty batches are in the contract."""
    x = draw(rng, 2, 8, 7, 4)
    layer = random_layer(rng, x.shape, filters=6, kernel_size=3)
    half = LocallyConnected2D.from_config(
        {**layer.get_config(), "dtype": policy}
    )
    half.build(x.shape)
    half.set_weights(layer.get_weights())
    expected = ops.convert_to_numpy(layer(x))
    outputs = ops.convert_to_numpy(ops.cast(half(x), "float32"))
    assert np.abs(outputs - expected).max() <= 1e-2 * np.abs(expected).max()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="graph")
def test_graph_does_not_grow_with_positions():
    """Case 14; the time itself is measured by benchmarks."""
    import tensorflow as tf

    def operations(steps):
        layer = LocallyConnected1D(8, 3)
        layer.build((None, steps, 8))
        spec = tf.TensorSpec((None, steps, 8))
        graph = tf.function(layer).get_concrete_function(spec).graph
        return len(graph.get_operations())

    assert operations(2048) == operations(16)
