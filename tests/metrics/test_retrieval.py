import keras
import numpy as np
import pytest

from keras_fusion.metrics import MedianRank
from keras_fusion.metrics import RecallAtK
from keras_fusion.metrics import RetrievalFScore


def result(metric, *arguments):
    metric.update_state(*arguments)
    return float(metric.result())


def order(right, scores):
    """Candidates from the best on; wrong ones first among equals."""
    return sorted(range(len(scores)), key=lambda c: (-scores[c], right[c]))


def drawn(rng, queries=40, candidates=9):
    """Coarse scores, so that many are equal, and some queries without right."""
    right = rng.random((queries, candidates)) < 0.25
    scores = rng.integers(4, size=right.shape).astype("float32")
    return right, scores


def first_right(right, scores):
    places = [
        place
        for place, candidate in enumerate(order(right, scores), 1)
        if right[candidate]
    ]
    return min(places, default=len(scores) + 1)


@pytest.mark.parametrize("k", [1, 3, 9, 20])
def test_recall_and_f_score_agree_with_sorting(rng, k):
    right, scores = drawn(rng)
    found = [
        first_right(r, s) <= min(k, 9)
        for r, s in zip(right, scores, strict=True)
    ]
    assert result(RecallAtK(k), right, scores) == pytest.approx(np.mean(found))
    f_scores = []
    for r, s in zip(right, scores, strict=True):
        hits = sum(r[c] for c in order(r, s)[:k])
        precision, recall = hits / min(k, 9), hits / max(1, r.sum())
        both = precision + recall
        f_scores.append(2 * precision * recall / both if both else 0)
    f_score = result(RetrievalFScore(k), right, scores)
    assert f_score == pytest.approx(np.mean(f_scores), rel=1e-5)


@pytest.mark.parametrize("queries", [1, 2, 7, 40])
def test_median_rank_agrees_with_sorting(rng, queries):
    right, scores = drawn(rng, queries)
    places = [first_right(r, s) for r, s in zip(right, scores, strict=True)]
    assert result(MedianRank(9), right, scores) == np.median(places)


def test_index_is_a_mask_with_one_right_candidate(rng):
    scores = rng.normal(size=(20, 6)).astype("float32")
    index = rng.integers(6, size=20)
    mask = np.eye(6)[index]
    for make in (RecallAtK, RetrievalFScore, lambda: MedianRank(6)):
        expected = result(make(), mask, scores)
        assert result(make(), index, scores) == expected
        assert result(make(), index[:, None], scores) == expected


@pytest.mark.parametrize("k", [1, 2, 5])
def test_recall_with_one_right_candidate_is_that_of_keras(rng, k):
    scores = rng.normal(size=(30, 6)).astype("float32")
    index = rng.integers(6, size=30)
    reference = keras.metrics.SparseTopKCategoricalAccuracy(k)
    assert result(RecallAtK(k), index, scores) == pytest.approx(
        result(reference, index, scores)
    )


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_constant_and_broken_scores_earn_nothing(value):
    scores = np.full((8, 5), value, "float32")
    index = np.arange(8) % 5
    assert result(RecallAtK(4), index, scores) == 0
    assert result(RetrievalFScore(4), index, scores) == 0
    assert result(MedianRank(5), index, scores) == 5


def test_perfect_scores_earn_everything(rng):
    right = rng.random((10, 6)) < 0.5
    right[:, 0] = True
    scores = right + 0.1 * rng.random((10, 6))
    assert result(RecallAtK(1), right, scores) == 1
    assert result(MedianRank(6), right, scores) == 1
    exact = np.zeros((10, 6))
    exact[:, :3] = 1
    assert result(RetrievalFScore(3), exact, exact) == 1


def test_wrong_sizes_explain_themselves():
    with pytest.raises(ValueError, match="`k` must be at least 1"):
        RecallAtK(0)
    with pytest.raises(ValueError, match="`k` must be at least 1"):
        RetrievalFScore(0)
    with pytest.raises(ValueError, match="expects 4 scores for each query"):
        MedianRank(4).update_state(np.zeros(2), np.zeros((2, 5)))
