"""The handwritten digits that come with scikit-learn, 8x8 pixels, 1,797."""

from typing import NamedTuple

import numpy as np
import sklearn.datasets

CLASSES = tuple("0123456789")
# Of a sequence in which a writer's digits stand together: the writers of
# one part are strangers to the others, but for one at each border.
ENDS = {"train": 1197, "validation": 1497, "test": 1797}
LEVELS = 16


class Digits(NamedTuple):
    images: np.ndarray
    """uint8 (count, 8, 8, 1)."""
    labels: np.ndarray
    """int64 (count,)."""


def load() -> dict[str, Digits]:
    """The parts for training, validation and test."""
    source = sklearn.datasets.load_digits()
    images = np.rint(source.images * (255 / LEVELS)).astype("uint8")
    splits, start = {}, 0
    for name, end in ENDS.items():
        splits[name] = Digits(
            images[start:end, ..., None],
            source.target[start:end].astype("int64"),
        )
        start = end
    return splits
