import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import FactoredLogBilinear
from keras_fusion.layers import LogBilinear


def built(rng, factors=6, **weights):
    layer = FactoredLogBilinear(7, 5, factors)
    layer.build((2, 3), (2, 4))
    for weight in layer.weights:
        value = weights.get(weight.name, rng.normal(size=weight.shape))
        weight.assign(value)
    return layer


def embeddings_of(layer):
    return ops.convert_to_numpy(layer.word_factors @ layer.embedding_factors)


def samples(rng, size=6):
    context = rng.integers(7, size=(size, 3))
    return context, rng.normal(size=(size, 4)).astype("float32")


def logits(layer, context, x):
    return ops.convert_to_numpy(layer(context, x))


def scores(layer, context, x):
    """Logits without the biases."""
    return ops.convert_to_numpy(layer(context, x) - layer.bias)


# The numbers of the cases are those of the reference note, section 1.7.
def test_case_1_number_of_weights():
    layer = FactoredLogBilinear(17, 16, factors=24)
    layer.build((2, 5), (2, 12))
    assert layer.count_params() == 2569


def test_case_2_probabilities_of_two_words_are_those_by_hand():
    layer = FactoredLogBilinear(2, 1, factors=1)
    layer.build((1, 1), (1, 1))
    layer.embedding_factors.assign([[1.0]])
    layer.modality_factors.assign([[0.5]])
    layer.word_factors.assign([[1.0], [-1.0]])
    layer.context_kernel.assign([[[2.0]]])
    layer.modality_kernel.assign([[0.0]])
    context = np.zeros((1, 1), "int32")
    for x, expected in ((2, 0.9820137900), (-2, 0.0179862100)):
        both = logits(layer, context, np.array([[x]], "float32"))[0]
        likelihood = np.exp(both[0]) / np.exp(both).sum()
        assert likelihood == pytest.approx(expected, abs=1e-6)


def test_case_4_modality_shifts_logits_differently_in_each_context(rng):
    layer = built(rng)
    context, x = samples(rng)
    shifts = scores(layer, context, np.repeat(x[:1], 6, axis=0))
    shifts -= scores(layer, context, np.repeat(x[1:2], 6, axis=0))
    assert np.max(np.abs(shifts - shifts[:1])) > 1


def test_case_5_open_gates_leave_the_log_bilinear_model(rng):
    context, x = samples(rng)
    x[:, 0] = 1
    gates = np.zeros((4, 6))
    gates[0] = 1
    layer = built(rng, modality_factors=gates)
    additive = LogBilinear(7, 5)
    additive.build((2, 3), (2, 4))
    additive.embeddings.assign(embeddings_of(layer))
    for name in ("context_kernel", "modality_kernel", "bias"):
        getattr(additive, name).assign(getattr(layer, name))
    np.testing.assert_allclose(
        logits(layer, context, x),
        logits(additive, context, x),
        rtol=1e-4,
        atol=1e-4,
    )


def test_case_5_closed_gates_leave_the_biases(rng):
    layer = built(rng, modality_factors=np.zeros((4, 6)))
    np.testing.assert_array_equal(scores(layer, *samples(rng)), 0)


def test_case_5_scores_are_linear_or_quadratic_in_the_modality(rng):
    context, x = samples(rng)
    linear = built(rng, modality_kernel=np.zeros((4, 5)))
    once = scores(linear, context, x)
    np.testing.assert_allclose(
        scores(linear, context, 3 * x), 3 * once, rtol=1e-3, atol=1e-3
    )
    quadratic = built(rng)
    # A quadratic has one third difference, 0, and one second difference.
    values = [scores(quadratic, context, step * x) for step in range(4)]
    np.testing.assert_array_equal(values[0], 0)
    second = np.diff(values, n=2, axis=0)
    assert np.max(np.abs(second)) > 1
    scale = np.abs(values).max()
    np.testing.assert_allclose(second[0], second[1], atol=1e-5 * scale)


# The dense form of case 6 is the reference in cases_log_bilinear.py.
@pytest.mark.parametrize("rank", [5, 3])
def test_case_6_enough_factors_keep_the_embeddings(rng, rank):
    table = rng.normal(size=(7, rank)) @ rng.normal(size=(rank, 5))
    for factors in (rank, 6):
        layer = built(rng, factors)
        layer.assign_embeddings(table)
        np.testing.assert_allclose(embeddings_of(layer), table, atol=1e-5)
        # A factor that is 0 in both tables would never learn.
        halves = np.abs(layer.word_factors).sum(axis=0)
        halves += np.abs(layer.embedding_factors).sum(axis=1)
        assert np.all(halves > 1e-3)


def test_case_6_fewer_factors_lose_the_tail_of_the_singular_values(rng):
    table = rng.normal(size=(7, 5))
    squares = np.square(np.linalg.svd(table, compute_uv=False))
    for factors in (1, 2, 3, 4):
        layer = built(rng, factors)
        layer.assign_embeddings(table)
        error = np.linalg.norm(embeddings_of(layer) - table)
        tail = np.sqrt(squares[factors:].sum() / squares.sum())
        assert error / np.linalg.norm(table) == pytest.approx(tail, rel=1e-4)


def test_codes_of_captions_and_images_meet_in_one_broadcast(rng):
    layer = built(rng)
    captions = rng.integers(7, size=(4, 2, 3))
    images = rng.normal(size=(5, 4)).astype("float32")
    contexts = ops.expand_dims(layer.encode_context(captions), 1)
    modalities = layer.encode_modality(images)[None, :, None]
    together = ops.convert_to_numpy(layer.logits(contexts, modalities))
    for i in range(4):
        for j in range(5):
            alone = logits(layer, captions[i : i + 1], images[j : j + 1])
            np.testing.assert_allclose(
                together[i, j], alone[0], rtol=1e-4, atol=1e-3
            )


def test_wrong_input_explains_itself(rng):
    with pytest.raises(ValueError, match="factors=0"):
        FactoredLogBilinear(7, 5, factors=0)
    with pytest.raises(ValueError, match="Pool or flatten"):
        FactoredLogBilinear(7, 5)(samples(rng)[0], np.zeros((6, 4, 4)))


@pytest.mark.parametrize("shape", [(7, 4), (6, 5), (5, 7), (7,)])
def test_a_table_of_another_shape_is_refused(shape):
    layer = FactoredLogBilinear(7, 5)
    layer.build((None, 3), (None, 4))
    with pytest.raises(ValueError, match=r"must be of shape \(7, 5\)"):
        layer.assign_embeddings(np.ones(shape))
