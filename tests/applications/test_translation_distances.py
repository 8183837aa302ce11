"""FID and KID against what is known without an estimator."""

import itertools

import numpy as np
import pytest

from applications.image_translation import distances
from applications.image_translation import inception
from applications.image_translation.config import Config


def with_moments(rng, mean, covariance, count=50):
    """Features whose mean and covariance are exactly these."""
    x = rng.normal(size=(count, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return x @ np.linalg.cholesky(covariance).T + mean


def test_frechet_distance_of_two_gaussians_that_share_their_axes(rng):
    first = with_moments(rng, np.array([1.0, 2.0]), np.diag([4.0, 9.0]))
    second = with_moments(rng, np.array([4.0, -2.0]), np.diag([1.0, 16.0]))
    # |m1 - m2|^2 and the squared differences of the deviations.
    expected = (3**2 + 4**2) + ((2 - 1) ** 2 + (3 - 4) ** 2)
    received = distances.frechet_distance(first, second)
    assert received == pytest.approx(expected)


def test_frechet_distance_does_not_depend_on_the_axes(rng):
    first = with_moments(rng, np.zeros(3), np.diag([1.0, 2.0, 3.0]))
    second = with_moments(rng, np.ones(3), np.array(np.eye(3) + 0.5))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    assert distances.frechet_distance(
        first @ turn, second @ turn
    ) == pytest.approx(distances.frechet_distance(first, second))


def test_frechet_distance_of_a_set_from_itself_is_zero(rng):
    # Fewer examples than features: the covariance is singular.
    x = rng.normal(size=(5, 20))
    assert distances.frechet_distance(x, x) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_of_few_examples_is_too_large(rng):
    """The bias that the reports warn of: truth is 0."""
    few, many = (
        np.mean(
            [
                distances.frechet_distance(
                    rng.normal(size=(count, 8)), rng.normal(size=(count, 8))
                )
                for _ in range(10)
            ]
        )
        for count in (10, 400)
    )
    assert few > 10 * many > 0


def kernel(x, y):
    return (x @ y / len(x) + 1) ** 3


def test_kernel_distance_is_that_of_all_pairs(rng):
    first, second = rng.normal(size=(4, 3)), rng.normal(size=(5, 3)) + 1
    within = [
        np.mean([kernel(a, b) for a, b in itertools.permutations(x, 2)])
        for x in (first, second)
    ]
    across = np.mean([kernel(a, b) for a in first for b in second])
    received = distances.kernel_distance(first, second)
    assert received == pytest.approx(sum(within) - 2 * across)


def test_kernel_distance_is_right_on_average_for_few_examples():
    """All samples of a distribution of two points, each as likely."""
    points = np.array([[0.0, 1.0], [2.0, 0.0]])
    other = np.array([[1.0, 1.0], [0.0, 0.0]])
    expected = (
        np.mean([kernel(a, b) for a in points for b in points])
        + np.mean([kernel(a, b) for a in other for b in other])
        - 2 * np.mean([kernel(a, b) for a in points for b in other])
    )
    indices = list(itertools.product(range(2), repeat=3))
    received = np.mean(
        [
            distances.kernel_distance(points[list(i)], other[list(j)])
            for i in indices
            for j in indices
        ]
    )
    assert received == pytest.approx(expected)


def test_kernel_distance_in_blocks_is_the_same(rng, monkeypatch):
    first, second = rng.normal(size=(7, 3)), rng.normal(size=(6, 3))
    whole = distances.kernel_distance(first, second)
    monkeypatch.setattr(distances, "ROWS", 2)
    assert distances.kernel_distance(first, second) == pytest.approx(whole)


def test_weights_are_found_where_keras_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert inception.weights_file(Config()) is None
    file = tmp_path / "models" / inception.FILE
    file.parent.mkdir()
    file.touch()
    assert inception.weights_file(Config()) == file
    given = Config(inception_weights="nowhere.h5")
    assert inception.weights_file(given) is None
    with pytest.raises(FileNotFoundError, match="an existing file"):
        inception.check(given)


def test_weights_of_another_network_are_refused(tmp_path):
    file = tmp_path / "a.weights.h5"
    file.write_text("no weights")
    with pytest.raises(ValueError, match="such as Keras's inception_v3"):
        inception.network(file)
