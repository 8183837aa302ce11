"""Layers that multiply modalities, where products leave float16's range."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion import layers
from tests.layers.gradients import gradients

LARGEST = np.finfo("float16").max

# What each is called with: vectors, or a sequence of queries and one of
# values, or maps and a vector.
VECTORS = {
    "tensor_fusion": lambda: layers.TensorFusion(4),
    "low_rank_tensor_fusion": lambda: layers.LowRankTensorFusion(4),
    "low_rank_bilinear_pooling": lambda: layers.LowRankBilinearPooling(
        4, rank=32, activation="relu"
    ),
    "low_rank_bilinear_pooling_with_shortcut": (
        lambda: layers.LowRankBilinearPooling(
            4, rank=32, activation="linear", shortcut=True
        )
    ),
    "factorized_bilinear_pooling": lambda: layers.FactorizedBilinearPooling(
        4, normalize=False
    ),
    "block_term_fusion": lambda: layers.BlockTermFusion(
        4, projection_units=32, num_blocks=4, normalize=False
    ),
    "compact_bilinear_pooling": lambda: layers.CompactBilinearPooling(
        32, normalize=False, seed=0
    ),
}
ATTENTIONS = {
    "bilinear_attention": lambda: layers.BilinearAttention(
        16, activation="linear"
    ),
    "bilinear_attention_with_hidden_units": lambda: layers.BilinearAttention(
        16, activation="relu", hidden_units=8, out_activation="relu"
    ),
    "pairwise_bilinear_attention": lambda: layers.PairwiseBilinearAttention(
        16, num_glimpses=2
    ),
}
CONDITIONED = {
    "film": layers.FiLM,
    "text_convolution": lambda: layers.TextConvolution(4, normalize=False),
}
NORMALIZED = {
    "factorized_bilinear_pooling": lambda: layers.FactorizedBilinearPooling(
        4, dropout=0
    ),
    "block_term_fusion": lambda: layers.BlockTermFusion(
        4, projection_units=32, num_blocks=4
    ),
    "compact_bilinear_pooling": lambda: layers.CompactBilinearPooling(
        32, seed=0
    ),
}


def large(rng, *shape):
    return 100 * rng.normal(size=shape).astype("float32")


def in_both_precisions(make, *arguments):
    """Outputs in float32 and in mixed float16 by the same weights."""
    single = make()
    half = type(single).from_config(
        {**single.get_config(), "dtype": "mixed_float16"}
    )
    expected = ops.convert_to_numpy(single(*arguments))
    half(*arguments)
    half.set_weights(single.get_weights())
    outputs = half(*arguments)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float16"
    return expected, ops.convert_to_numpy(outputs).astype("float32")


def assert_equal_within_range(expected, outputs):
    expected = np.clip(expected, -LARGEST, LARGEST)
    assert np.all(np.isfinite(outputs))
    error = np.linalg.norm(outputs - expected)
    assert error <= 1e-2 * np.linalg.norm(expected)


@pytest.mark.parametrize("modalities", [2, 3])
@pytest.mark.parametrize("name", VECTORS)
def test_fusions_of_large_vectors_end_at_the_largest_number(
    rng, name, modalities
):
    inputs = [large(rng, 8, width) for width in (32, 24, 12)[:modalities]]
    assert_equal_within_range(*in_both_precisions(VECTORS[name], inputs))


@pytest.mark.parametrize("name", ATTENTIONS)
def test_attention_over_large_values_stays_finite(rng, name):
    query, value = large(rng, 4, 3, 32), large(rng, 4, 9, 24)
    _, outputs = in_both_precisions(ATTENTIONS[name], query, value)
    assert np.all(np.isfinite(outputs))


@pytest.mark.parametrize("name", CONDITIONED)
def test_maps_times_large_texts_end_at_the_largest_number(rng, name):
    maps, text = large(rng, 4, 5, 5, 24), 10 * large(rng, 4, 32)
    assert_equal_within_range(
        *in_both_precisions(CONDITIONED[name], maps, text)
    )


def test_factored_logits_of_large_features_end_at_the_largest_number(rng):
    context = rng.integers(50, size=(8, 3)).astype("int32")
    assert_equal_within_range(
        *in_both_precisions(
            lambda: layers.FactoredLogBilinear(50, 16),
            context,
            3 * large(rng, 8, 32),
        )
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "float16"])
@pytest.mark.parametrize("scale", [0.0, 1e-4])
@pytest.mark.parametrize("name", NORMALIZED)
def test_gradients_of_signed_roots_near_zero_are_finite(
    rng, name, scale, policy
):
    layer = NORMALIZED[name]()
    layer = type(layer).from_config({**layer.get_config(), "dtype": policy})
    present = (large(rng, 4, 32) / 10).astype("float16")
    absent = (scale * rng.normal(size=(4, 24))).astype("float16")
    upstream = np.ones(layer([present, absent]).shape, "float16")
    by_input, by_weight = gradients(layer, [present, absent], [upstream])
    assert all(np.all(np.isfinite(x)) for x in by_input)
    assert all(np.all(np.isfinite(x)) for x in by_weight.values())


@pytest.mark.parametrize("scale", [0.0, 1e-4])
def test_gradients_of_text_kernels_near_zero_are_finite(rng, scale):
    layer = layers.TextConvolution(4, dtype="mixed_float16")
    maps = rng.normal(size=(4, 3, 3, 5)).astype("float16")
    text = (scale * rng.normal(size=(4, 24))).astype("float16")
    upstream = np.ones(layer(maps, text).shape, "float16")
    unpacked = Unpacked(layer)
    unpacked([maps, text])
    by_input, _ = gradients(unpacked, [maps, text], [upstream])
    assert all(np.all(np.isfinite(x)) for x in by_input)


class Unpacked(keras.layers.Layer):
    """A layer of two arguments as a layer of one list."""

    def __init__(self, layer):
        super().__init__(dtype="mixed_float16")
        self.layer = layer

    def call(self, inputs):
        return self.layer(*inputs)
