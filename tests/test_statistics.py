import numpy as np
import pytest

from keras_fusion.layers import LocallyConnectedFusion
from keras_fusion.statistics import branch_statistics

WEIGHTS = np.array([[1.0, -3.0], [1.0, 1.0], [0.0, 0.0]])
ACTIVATIONS = np.array([[9.0, 1.0], [9.0, 1.0], [1.0, 1.0]])


def test_channels_that_no_branch_reaches_have_no_share():
    statistics = branch_statistics(WEIGHTS, ACTIVATIONS)
    expected = {
        "mean": [2 / 3, -2 / 3],
        "mean_absolute": [2 / 3, 4 / 3],
        "share": [(1 / 4 + 1 / 2) / 2, (3 / 4 + 1 / 2) / 2],
        "contribution": [(3 / 4 + 9 / 10) / 2, (1 / 4 + 1 / 10) / 2],
    }
    assert set(statistics) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(statistics[name], values)


def test_shares_sum_to_one(rng):
    weights, activations = rng.normal(size=(2, 7, 3))
    # A channel without weights, and one whose branches are all silent.
    weights[0], activations[1] = 0, 0
    statistics = branch_statistics(weights, np.abs(activations))
    assert statistics["share"].sum() == pytest.approx(1)
    assert statistics["contribution"].sum() == pytest.approx(1)


def test_without_any_reached_channel_all_shares_are_zero():
    statistics = branch_statistics(np.zeros((4, 2)), np.ones((4, 2)))
    np.testing.assert_array_equal(statistics["share"], [0, 0])
    np.testing.assert_array_equal(statistics["contribution"], [0, 0])


def test_without_activations_there_is_no_contribution():
    assert set(branch_statistics(WEIGHTS)) == {
        "mean",
        "mean_absolute",
        "share",
    }


def test_the_layer_gives_the_same_statistics(rng):
    layer = LocallyConnectedFusion()
    layer.build([(None, 3)] * 2)
    layer.kernel.assign(WEIGHTS)
    branches = [rng.normal(size=(5, 3)) for _ in range(2)]
    activations = np.abs(branches).mean(axis=1).T
    expected = branch_statistics(WEIGHTS, activations)
    statistics = layer.branch_statistics(branches)
    assert set(statistics) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(statistics[name], values, rtol=1e-6)
