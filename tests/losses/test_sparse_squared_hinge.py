import keras
import numpy as np
import pytest

from keras_fusion.losses import SparseSquaredHinge


def test_is_that_of_keras_for_signs_summed_over_the_classes(rng):
    labels, scores = rng.integers(5, size=7), 2 * rng.normal(size=(7, 5))
    signs = 2 * np.eye(5)[labels] - 1
    expected = 5 * keras.losses.SquaredHinge(reduction=None)(signs, scores)
    for shape in ((7,), (7, 1)):
        received = SparseSquaredHinge(reduction=None)(
            labels.reshape(shape), scores
        )
        np.testing.assert_allclose(received, expected, rtol=1e-5)


def test_scores_beyond_their_margins_cost_nothing():
    loss = SparseSquaredHinge()
    assert float(loss([2], np.array([[-1.0, -7.0, 1.5]]))) == 0
    # Rectified scores cannot get there: each wrong class costs 1.
    assert float(loss([2], np.array([[0.0, 0.0, 1.5]]))) == pytest.approx(2)
