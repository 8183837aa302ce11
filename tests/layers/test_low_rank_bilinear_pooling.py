import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import LowRankBilinearPooling
from tests.layers.precision import DOUBLE

pytestmark = pytest.mark.usefixtures("double_precision")


def linear(units, rank, **kwargs):
    return LowRankBilinearPooling(
        units, rank, activation=None, projection_bias=False, **kwargs
    )


def factors(layer):
    weights = [ops.convert_to_numpy(p.kernel) for p in layer.projections]
    output = layer.output_projection
    return (
        *weights,
        ops.convert_to_numpy(output.kernel),
        ops.convert_to_numpy(output.bias),
    )


def test_case_1_is_a_bilinear_form_of_bounded_rank(rng):
    x, y = rng.normal(size=(7, 5)), rng.normal(size=(7, 4))
    layer = linear(3, 2, dtype="float64")
    fused = ops.convert_to_numpy(layer([x, y]))
    u, v, p, b = factors(layer)
    for i in range(3):
        w = u @ np.diag(p[:, i]) @ v.T
        assert np.linalg.matrix_rank(w) <= 2
        expected = [row @ w @ other for row, other in zip(x, y, strict=True)]
        np.testing.assert_allclose(fused[:, i], expected + b[i], rtol=DOUBLE)


def test_full_rank_can_be_any_bilinear_form(rng):
    w = rng.normal(size=(5, 4))
    left, values, right = np.linalg.svd(w, full_matrices=False)
    layer = linear(1, 4, dtype="float64")
    x, y = rng.normal(size=(7, 5)), rng.normal(size=(7, 4))
    layer([x, y])
    layer.projections[0].kernel.assign(left)
    layer.projections[1].kernel.assign(right.T)
    layer.output_projection.kernel.assign(values[:, None])
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer([x, y]))[:, 0],
        np.einsum("bi,ij,bj->b", x, w, y),
        rtol=DOUBLE,
    )


def test_case_1_biases_are_the_linear_terms_of_equation_4(rng):
    x, y = rng.normal(size=(7, 5)), rng.normal(size=(7, 4))
    layer = LowRankBilinearPooling(
        3, 2, activation=None, dtype="float64", name="biased"
    )
    layer([x, y])
    c = rng.normal(size=(2, 2))
    for projection, bias in zip(layer.projections, c, strict=True):
        projection.bias.assign(bias)
    u, v, p, b = factors(layer)
    expected = (
        (x @ u * (y @ v)) @ p
        + x @ (u * c[1]) @ p
        + y @ (v * c[0]) @ p
        + b
        + (c[0] * c[1]) @ p
    )
    fused = ops.convert_to_numpy(layer([x, y]))
    np.testing.assert_allclose(fused, expected, rtol=DOUBLE)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"activation": None}, -5.5),
        ({"activate_product": True}, -1.4901095074),
        ({"activate_product": False}, -1.0156557705),
    ],
)
def test_case_2_golden_values(arguments, expected):
    layer = LowRankBilinearPooling(
        1, 1, projection_bias=False, dtype="float64", **arguments
    )
    modalities = [np.array([[3.0, 9.0]]), np.array([[8.0, -1.0]])]
    layer(modalities)
    layer.projections[0].kernel.assign([[1.0], [0.0]])
    layer.projections[1].kernel.assign([[0.0], [1.0]])
    layer.output_projection.kernel.assign([[2.0]])
    layer.output_projection.bias.assign([0.5])
    fused = ops.convert_to_numpy(layer(modalities))
    # XLA computes `tanh` in double precision to seven digits.
    assert fused[0, 0] == pytest.approx(expected, abs=1e-6)


def test_weights_of_the_published_classifier():
    layer = LowRankBilinearPooling(3000)
    layer.build([(None, 4800), (None, 4096)])
    assert round(layer.count_params() / 1e6, 2) == 14.28


def exclusive_or(rng, size):
    x = rng.normal(size=(size, 8)).astype("float32")
    y = rng.normal(size=(size, 6)).astype("float32")
    u, v = np.ones(8), np.array([1, -1, 1, -1, 1, -1])
    return [x, y], ((x @ u) * (y @ v) > 0).astype("float32")


@pytest.mark.parametrize(
    ("fusion", "weights", "learns"),
    [
        (None, 15, False),
        ({"activation": None, "projection_bias": False}, 61, True),
        ({"activation": "tanh"}, 69, True),
        ({"activate_product": True, "projection_bias": False}, 61, True),
    ],
)
def test_case_12_learns_exclusive_or_of_modalities(
    rng, fusion, weights, learns
):
    inputs = [keras.Input((8,)), keras.Input((6,))]
    if fusion is None:
        joined = keras.layers.Concatenate()(inputs)
        outputs = keras.layers.Dense(1)(joined)
    else:
        outputs = LowRankBilinearPooling(1, rank=4, **fusion)(inputs)
    model = keras.Model(inputs, outputs)
    model.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    x, labels = exclusive_or(rng, 8000)
    model.fit(x, labels, batch_size=160, epochs=20, verbose=0)
    x, labels = exclusive_or(rng, 4000)
    predictions = model.predict(x, batch_size=4000, verbose=0)[:, 0] > 0
    accuracy = np.mean(predictions == labels)
    assert model.count_params() == weights
    if learns:
        assert accuracy >= 0.97
    else:
        assert abs(accuracy - 0.5) <= 0.03


def test_wrong_input_explains_itself():
    layer = LowRankBilinearPooling(2, 3)
    with pytest.raises(ValueError, match=r"Call it as `layer\(\[first"):
        layer(np.ones((2, 3)))
    with pytest.raises(ValueError, match="Pool or flatten the other axes"):
        layer([np.ones((2, 3)), np.ones((2, 4, 3))])
    with pytest.raises(ValueError, match="Pass the same samples"):
        layer([np.ones((2, 3)), np.ones((4, 3))])
    with pytest.raises(ValueError, match="`units` must be an integer of at"):
        LowRankBilinearPooling(0)
    with pytest.raises(ValueError, match="`rank` must be an integer of at"):
        LowRankBilinearPooling(2, rank=2.5)
