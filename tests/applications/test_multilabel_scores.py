import numpy as np
import pytest

from applications.datasets.label_sets import on_grid
from applications.multilabel_recognition import Config
from applications.multilabel_recognition import scores
from applications.multilabel_recognition import table

CONFIG = Config(classes=("a", "b", "c", "d"))


def area_under_the_envelope(chance, truth):
    """Another route: at each recall, the best precision from there on."""
    points = []
    for threshold in sorted(set(chance)):
        guess = chance >= threshold
        hits = (guess & truth).sum()
        points.append((hits / truth.sum(), hits / guess.sum()))
    recalls = sorted({recall for recall, _ in points} | {0.0})
    return sum(
        (high - low) * max(p for r, p in points if r >= high)
        for low, high in zip(recalls, recalls[1:], strict=False)
    )


@pytest.mark.parametrize("levels", [1000, 4])
def test_average_precision_is_the_area_under_the_envelope(rng, levels):
    for _ in range(20):
        chance = rng.integers(levels, size=25) / levels
        label = rng.integers(2, size=25)
        found = scores.average_precision(chance, label)
        expected = area_under_the_envelope(chance, label == 1)
        assert found == pytest.approx(expected)


def test_average_precision_by_hand():
    chance = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    # Precisions 1, 2/4 and 3/5; that at the second is raised to 3/5.
    label = np.array([1, 0, 0, 1, 1])
    found = scores.average_precision(chance, label)
    assert found == pytest.approx((1 + 3 / 5 + 3 / 5) / 3)
    unknown = np.array([1, -1, -1, 1, 1])
    assert scores.average_precision(chance, unknown) == 1
    assert scores.average_precision(chance, np.array([0, 0, -1, 0, 0])) is None
    # No ranking at all is worth as much as chance.
    assert scores.average_precision(np.zeros(5), label) == pytest.approx(3 / 5)


def test_precision_and_recall_by_hand():
    chance = np.array(
        [
            [0.9, 0.8, 0.1, 0.7],
            [0.2, 0.9, 0.8, 0.9],
            [0.6, 0.1, 0.7, 0.2],
            [0.1, 0.2, 0.4, 0.3],
        ]
    )
    # The third is unknown once, the last has no example, the last image none.
    label = np.array([[1, 0, 0, 0], [1, 1, -1, 0], [1, 1, 1, 0], [0, 0, 0, 0]])
    found = scores.scores(chance, label, CONFIG)
    half = found["at_half"]
    # Hits of a, b, c: 2, 1, 1; said: 2, 2, 1; there: 3, 2, 1.
    assert half["CP"] == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert half["CR"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    # Twice d was said.
    assert half["OP"] == pytest.approx(4 / 7)
    assert half["OR"] == pytest.approx(4 / 6)
    assert half["OF1"] == pytest.approx(2 * 4 / (7 + 6))
    p, r = half["CP"], half["CR"]
    assert half["CF1"] == pytest.approx(2 * p * r / (p + r))
    # Of each three, one of the second image unknown: 11 in all.
    assert found["top_3"]["OP"] == pytest.approx(4 / 11)
    assert found["average_precision"]["d"] is None
    assert found["prevalence"] == pytest.approx((3 / 4 + 2 / 4 + 1 / 3) / 3)
    assert "d absent" in table(found)


def test_nothing_said_has_no_precision_and_no_warning():
    found = scores.scores(np.zeros((2, 4)), np.eye(2, 4, dtype=int), CONFIG)
    assert set(found["at_half"].values()) == {0.0}


def test_pointing_counts_cells_that_the_object_touches():
    maps = np.zeros((2, 4, 2, 4))
    maps[:, :, 1, 2] = 1
    regions = np.zeros((2, 4, 56, 56), "uint8")
    regions[0, 0, 28:, 28:42] = 1  # all of the cell
    regions[0, 1, 55, 41] = 1  # a corner of it
    regions[0, 2, 27, 41] = 1  # the cell above
    regions[1, 0, :, :] = 1
    label = np.array([[1, 1, 1, 1], [0, 1, -1, 1]])
    points = scores.pointed(maps, regions, label)
    assert points == [
        (0, True, 1 / 8),
        (1, True, 1 / 8),
        (2, False, 1 / 8),
    ]
    found = scores.pointing(points, CONFIG)
    assert found["pointing_accuracy"] == pytest.approx(2 / 3)
    assert found["pointing_by_category"] == {"a": 1, "b": 1, "c": 0, "d": None}
    assert scores.pointing([], CONFIG) == {}


@pytest.mark.parametrize("size", [(3, 5), (7, 4), (12, 12)])
def test_cells_take_every_pixel_that_they_touch(rng, size):
    flags = rng.random((7, 9)) < 0.2
    found = on_grid(flags, size)
    for row, column in np.ndindex(size):
        top, bottom = 7 * row / size[0], 7 * (row + 1) / size[0]
        left, right = 9 * column / size[1], 9 * (column + 1) / size[1]
        expected = any(
            y + 1 > top + 1e-9
            and y < bottom - 1e-9
            and x + 1 > left + 1e-9
            and x < right - 1e-9
            for y, x in np.argwhere(flags)
        )
        assert found[row, column] == expected
