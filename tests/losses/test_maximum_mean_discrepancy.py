import numpy as np
import pytest
from keras import ops

from keras_fusion.losses import MaximumMeanDiscrepancy
from tests.gradients import gradients


def value(x, y, **arguments):
    return float(MaximumMeanDiscrepancy(**arguments)(x, y))


def pair_by_pair(x, y, bandwidths):
    both = np.concatenate([x, y]).astype("float64")
    scale = np.mean([[np.sum((u - v) ** 2) for v in both] for u in both])

    def kernel(u, v):
        distance = np.sum((u - v) ** 2) / scale
        return np.mean([np.exp(-distance / width) for width in bandwidths])

    within = [kernel(u, v) for z in (x, y) for u in z for v in z]
    across = [kernel(u, v) for u in x for v in y]
    return (sum(within) - 2 * sum(across)) / len(x) ** 2


@pytest.mark.parametrize("bandwidths", [(1.0,), (0.2, 3.0)])
def test_agrees_with_a_loop_over_pairs(rng, bandwidths):
    x, y = rng.normal(size=(2, 7, 3)).astype("float32")
    y = 2 * y + 1
    expected = pair_by_pair(x, y, bandwidths)
    assert value(x, y, bandwidths=bandwidths) == pytest.approx(
        expected, rel=1e-4
    )


def test_one_distribution_in_another_order_has_no_discrepancy(rng):
    x = rng.normal(size=(9, 4)).astype("float32")
    assert value(x, x[::-1]) == pytest.approx(0, abs=1e-6)
    assert value(x, x + 1) > 0.01


def test_place_and_scale_of_both_together_do_not_matter(rng):
    x, y = rng.normal(size=(2, 8, 3)).astype("float32")
    y = y + 1
    moved = value(100 + x, 100 + y)
    assert moved == pytest.approx(value(x, y), rel=1e-3)
    assert value(30 * x, 30 * y) == pytest.approx(value(x, y), rel=1e-4)
    assert value(y, x) == pytest.approx(value(x, y), rel=1e-5)


def test_axes_behind_the_batch_are_flattened(rng):
    x, y = rng.normal(size=(2, 6, 2, 3)).astype("float32")
    flat = value(x.reshape(6, 6), y.reshape(6, 6))
    assert value(x, y) == pytest.approx(flat, rel=1e-6)


def test_gradients_bring_the_distributions_together(rng):
    x, y = rng.normal(size=(2, 32, 2)).astype("float32")
    y = y + 3
    loss = MaximumMeanDiscrepancy()
    before = value(x, y)
    for _ in range(60):
        slopes = gradients(lambda a, b: ops.mean(loss.call(a, b)), x, y)
        x, y = x - 20 * slopes[0], y - 20 * slopes[1]
    assert value(x, y) < 0.05 * before
    assert np.linalg.norm(x.mean(axis=0) - y.mean(axis=0)) < 0.5


def test_equal_samples_stay_finite():
    x = np.ones((4, 3), "float32")
    assert value(x, x) == 0
    for slopes in gradients(MaximumMeanDiscrepancy().call, x, x):
        assert np.all(np.isfinite(slopes))


def test_wrong_bandwidth_explains_itself():
    with pytest.raises(ValueError, match="all above 0"):
        MaximumMeanDiscrepancy(bandwidths=())
