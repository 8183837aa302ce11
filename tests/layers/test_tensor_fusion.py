import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import LowRankTensorFusion
from keras_fusion.layers import TensorFusion
from tests.layers.gradients import gradients

WIDTHS = (3, 4, 2)


def vectors(rng):
    return [rng.normal(size=(6, d)).astype("float32") for d in WIDTHS]


def built(layer, rng):
    layer.build([(None, d) for d in WIDTHS])
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    return layer


def fuse(layer, xs):
    return ops.convert_to_numpy(layer(xs))


def test_kernel_holds_constant_features_and_products(rng):
    x, y, z = xs = vectors(rng)
    kernel = np.zeros((4, 5, 3, 4))
    kernel[0, 0, 0, 0] = 7
    kernel[0, 2, 0, 1] = 1
    kernel[3, 0, 2, 2] = 1
    kernel[1, 4, 1, 3] = 1
    layer = built(TensorFusion(4), rng)
    layer.kernel.assign(kernel.reshape(-1, 4))
    expected = [
        np.full(6, 7),
        y[:, 1],
        x[:, 2] * z[:, 1],
        x[:, 0] * y[:, 3] * z[:, 0],
    ]
    np.testing.assert_allclose(
        fuse(layer, xs), np.stack(expected, axis=1), rtol=1e-5, atol=1e-6
    )


def test_order_of_modalities_is_the_order_of_the_kernels_axes(rng):
    xs = vectors(rng)
    layer, turned = built(TensorFusion(2), rng), TensorFusion(2)
    turned.build([(None, d) for d in reversed(WIDTHS)])
    kernel = ops.convert_to_numpy(layer.kernel).reshape(4, 5, 3, 2)
    turned.kernel.assign(kernel.transpose(2, 1, 0, 3).reshape(-1, 2))
    np.testing.assert_allclose(
        fuse(turned, xs[::-1]), fuse(layer, xs), rtol=1e-4, atol=1e-4
    )


def test_low_rank_fusion_of_enough_rank_is_any_tensor_fusion(rng):
    xs = vectors(rng)
    full = built(TensorFusion(2), rng)
    # One product for each pair of features of the last two modalities.
    rank = 5 * 3
    low_rank = built(LowRankTensorFusion(2, rank), rng)
    kernel = ops.convert_to_numpy(full.kernel).reshape(4, 15, 2)
    seconds, thirds = np.divmod(np.arange(rank), 3)
    factors = [
        kernel,
        np.repeat(np.eye(5)[:, seconds, None], 2, axis=2),
        np.repeat(np.eye(3)[:, thirds, None], 2, axis=2),
    ]
    for weight, factor in zip(low_rank.factors, factors, strict=True):
        weight.assign(factor.reshape(weight.shape))
    low_rank.rank_weights.assign(np.ones(rank))
    low_rank.bias.assign(np.zeros(2))
    np.testing.assert_allclose(
        fuse(low_rank, xs), fuse(full, xs), rtol=1e-4, atol=1e-4
    )


def test_low_rank_fusion_registers_every_factor():
    layer = LowRankTensorFusion(2, rank=1)
    layer.build([(None, 10), (None, 10)])
    # Two factors of 11 x 2, one weight for the rank, two biases: libraries
    # that keep the factors in a plain list count 3.
    assert layer.count_params() == 47
    names = [weight.name for weight in layer.trainable_weights]
    assert sorted(names) == ["bias", "factor_0", "factor_1", "rank_weights"]


@pytest.mark.parametrize("modalities", [2, 3])
def test_every_factor_of_low_rank_fusion_gets_a_gradient(rng, modalities):
    xs = vectors(rng)[:modalities]
    layer = LowRankTensorFusion(2, rank=4)
    output = layer(xs)
    upstream = rng.normal(size=output.shape).astype("float32")
    by_input, by_weight = gradients(layer, xs, [upstream])
    assert len(by_weight) == modalities + 2
    for name, gradient in by_weight.items():
        # No row (feature), rank or unit is left out.
        assert np.all(np.abs(gradient) > 0), name
    for gradient in by_input:
        assert np.all(np.abs(gradient) > 0)


def test_low_rank_fusion_starts_with_unit_variance_whatever_its_rank(rng):
    xs = [rng.normal(size=(256, 64)).astype("float32") for _ in range(3)]
    for rank in (1, 4, 64):
        layer = LowRankTensorFusion(256, rank)
        variance = np.var(fuse(layer, xs))
        assert variance == pytest.approx(1, abs=0.25), rank


@pytest.mark.parametrize("layer_class", [TensorFusion, LowRankTensorFusion])
def test_absent_modality_leaves_the_others(rng, layer_class):
    xs = vectors(rng)
    layer = built(layer_class(2), rng)
    xs[1] = np.zeros_like(xs[1])
    before = fuse(layer, xs)
    assert np.ptp(before, axis=0).min() > 0.1


def test_sequences_are_refused_after_the_first_call_too():
    layer = TensorFusion(2)
    layer([np.ones((2, 3)), np.ones((2, 4))])
    with pytest.raises(ValueError, match="must be of shape"):
        layer([np.ones((2, 5, 3)), np.ones((2, 4))])
