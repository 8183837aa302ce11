import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import PairwiseBilinearAttention
from tests.layers.cases_bilinear import pairwise_attention
from tests.layers.precision import DOUBLE

pytestmark = pytest.mark.usefixtures("double_precision")


def attend(layer, query, value, **kwargs):
    refined, weights = layer(
        query, value, return_attention_scores=True, **kwargs
    )
    return ops.convert_to_numpy(refined), ops.convert_to_numpy(weights)


@pytest.fixture
def query(rng):
    return rng.normal(size=(2, 5, 3))


@pytest.fixture
def value(rng):
    return rng.normal(size=(2, 4, 6))


def test_case_8_two_glimpses_agree_with_the_loop_over_pairs(query, value):
    layer = PairwiseBilinearAttention(4, num_glimpses=2, dtype="float64")
    refined, weights = attend(layer, query, value)
    named = {
        w.path.removeprefix(f"{layer.name}/"): ops.convert_to_numpy(w)
        for w in layer.weights
    }
    expected = pairwise_attention(named, query, value)
    np.testing.assert_allclose(refined, expected, rtol=DOUBLE)
    np.testing.assert_allclose(weights.sum(axis=(2, 3)), 1, rtol=DOUBLE)


def test_case_8_attention_of_rank_one_pools_each_side_on_its_own(
    rng, query, value
):
    layer = PairwiseBilinearAttention(
        4, num_glimpses=1, activation=None, dtype="float64"
    )
    layer(query, value)
    # With scores of zero, the masks alone make the attention.
    layer.score_kernel.assign(np.zeros((1, 12)))
    rows = np.array([[1, 1, 0, 0, 1], [0, 1, 0, 0, 0]], "bool")
    columns = np.array([[1, 0, 0, 1], [1, 1, 1, 0]], "bool")
    refined, weights = attend(
        layer, query, value, query_mask=rows, value_mask=columns
    )
    a = rows / rows.sum(axis=1, keepdims=True)
    b = columns / columns.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        weights[:, 0], np.einsum("bi,bj->bij", a, b), rtol=DOUBLE
    )
    first = layer.query_projections[0](np.einsum("bi,bix->bx", a, query))
    second = layer.value_projections[0](np.einsum("bj,bjy->by", b, value))
    added = layer.residuals[0](first * second)
    expected = query + ops.convert_to_numpy(added)[:, None]
    np.testing.assert_allclose(refined, expected, rtol=DOUBLE)


def test_without_a_valid_pair_only_biases_are_added(query, value):
    layer = PairwiseBilinearAttention(4, num_glimpses=2, dtype="float64")
    refined, weights = attend(
        layer, query, value, value_mask=np.zeros((2, 4), "bool")
    )
    assert np.all(weights == 0)
    np.testing.assert_array_equal(refined, query)


def test_masks_of_embeddings_arrive_by_themselves_and_go_on():
    words = np.array([[1, 2, 0], [3, 0, 0]])
    regions = np.array([[1, 0], [2, 3]])
    embed = keras.layers.Embedding(5, 6, mask_zero=True)
    layer = PairwiseBilinearAttention(4, num_glimpses=1)
    refined, weights = layer(
        embed(words), embed(regions), return_attention_scores=True
    )
    pairs = (words > 0)[:, :, None] & (regions > 0)[:, None]
    assert np.array_equal(ops.convert_to_numpy(weights)[:, 0] > 0, pairs)
    mask = ops.convert_to_numpy(refined._keras_mask)
    assert np.array_equal(mask, words > 0)


def test_documented_number_of_weights(query, value):
    layer = PairwiseBilinearAttention(4, num_glimpses=3)
    layer(query, value)
    attention = (3 + 6 + 2 + 3) * 12
    glimpse = (3 + 6 + 2) * 4 + (4 + 1) * 3
    assert layer.count_params() == attention + 3 * glimpse


def test_wrong_input_explains_itself(query, value):
    with pytest.raises(ValueError, match="`value` .* must have 3 dim"):
        PairwiseBilinearAttention(4)(query, value[:, 0])
    with pytest.raises(ValueError, match="`num_glimpses` must be an integer"):
        PairwiseBilinearAttention(4, num_glimpses=0)
