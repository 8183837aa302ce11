import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import FactorizedBilinearPooling
from keras_fusion.layers import LowRankBilinearPooling
from tests.layers.precision import DOUBLE

pytestmark = pytest.mark.usefixtures("double_precision")


def plain(units, rank, **kwargs):
    return FactorizedBilinearPooling(
        units,
        rank,
        normalize=False,
        projection_bias=False,
        dtype="float64",
        **kwargs,
    )


def run(layer, *inputs, **kwargs):
    return ops.convert_to_numpy(layer(*inputs, **kwargs))


def kernels(layer):
    return [ops.convert_to_numpy(p.kernel) for p in layer.projections]


def test_case_7_each_unit_is_a_bilinear_form_of_its_own(rng):
    x, y = rng.normal(size=(6, 5)), rng.normal(size=(6, 4))
    layer = plain(3, rank=2)
    fused = run(layer, [x, y])
    u, v = kernels(layer)
    for i in range(3):
        window = slice(2 * i, 2 * i + 2)
        w = u[:, window] @ v[:, window].T
        expected = np.einsum("bi,ij,bj->b", x, w, y)
        np.testing.assert_allclose(fused[:, i], expected, rtol=DOUBLE)


def test_case_7_rank_one_is_low_rank_pooling_without_last_projection(rng):
    modalities = [rng.normal(size=(6, 5)), rng.normal(size=(6, 4))]
    layer = plain(3, rank=1)
    fused = run(layer, modalities)
    low_rank = LowRankBilinearPooling(
        3, 3, activation=None, projection_bias=False, dtype="float64"
    )
    low_rank(modalities)
    for projection, kernel in zip(
        low_rank.projections, kernels(layer), strict=True
    ):
        projection.kernel.assign(kernel)
    low_rank.output_projection.kernel.assign(np.eye(3))
    expected = run(low_rank, modalities)
    np.testing.assert_allclose(fused, expected, rtol=DOUBLE)


def test_later_blocks_are_of_higher_order(rng):
    modalities = [rng.normal(size=(6, 5)), rng.normal(size=(6, 4))]
    layer = plain(6, rank=2, num_blocks=3)
    fused = run(layer, modalities)
    doubled = run(layer, [2 * x for x in modalities])
    orders = np.repeat([2, 4, 6], 2)
    np.testing.assert_allclose(doubled, fused * 2.0**orders, rtol=DOUBLE)


def test_dropout_is_seeded_and_rests_outside_training(rng):
    modalities = [rng.normal(size=(6, 5)), rng.normal(size=(6, 4))]
    layers = [plain(3, 4, dropout=0.5, seed=1) for _ in range(2)]
    resting = [run(layer, modalities) for layer in layers]
    for projection, kernel in zip(
        layers[1].projections, kernels(layers[0]), strict=True
    ):
        projection.kernel.assign(kernel)
    dropped = [run(layer, modalities, training=True) for layer in layers]
    np.testing.assert_array_equal(dropped[0], dropped[1])
    assert np.any(dropped[0] != resting[0])
    again = run(layers[0], modalities)
    np.testing.assert_array_equal(again, resting[0])


def test_missing_modality_of_zeros_trains_without_nan(rng):
    inputs = [keras.Input((5,)), keras.Input((4,))]
    model = keras.Model(inputs, FactorizedBilinearPooling(4)(inputs))
    model.compile("sgd", "mse")
    x = [rng.normal(size=(6, 5)), np.zeros((6, 4))]
    model.fit(x, np.ones((6, 4)), verbose=0)
    assert all(np.all(np.isfinite(w)) for w in model.get_weights())


def test_weights_of_the_published_classifier():
    layer = FactorizedBilinearPooling(1000)
    layer.build([(None, 4800), (None, 4096)])
    classifier = 1000 * 3000 + 3000
    assert round((layer.count_params() + classifier) / 1e6, 2) == 47.49


def test_blocks_that_do_not_divide_units_explain_themselves():
    with pytest.raises(ValueError, match="units=7, num_blocks=2"):
        FactorizedBilinearPooling(7, num_blocks=2)
