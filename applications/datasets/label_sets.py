"""Sets of images with any number of categories each."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

PRESENT, ABSENT, UNKNOWN = 1, 0, -1
# Cells of a side of the grid on which objects are known.
GRID = 56


class Entry(NamedTuple):
    """What is known about one image."""

    source: str
    """File and row, for messages."""
    image: Path
    present: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    """Categories of which nothing is known here."""
    boxes: Mapping[str, Sequence[tuple[float, float, float, float]]] = {}
    """Of categories: left, top, right, bottom in shares of the image."""


class Split(NamedTuple):
    """The examples of a split."""

    names: tuple[str, ...]
    read: Callable[[int], dict[str, np.ndarray]]
    """Images (height, width, channels) of an example, by modality."""
    labels: np.ndarray
    """int8 (examples, categories) of 1, 0, and -1 for unknown."""
    regions: Callable[[int], np.ndarray] | None = None
    """Of an example, where each category is: uint8 (categories, 56, 56)."""

    def __len__(self) -> int:
        return len(self.labels)


class Source(NamedTuple):
    """What was found where a config says that its data are."""

    classes: tuple[str, ...]
    sizes: dict[str, int]
    read: Callable[[str], Split]
    notes: tuple[str, ...] = ()
    """What was left out, and how a validation part was made."""


def label_matrix(
    entries: Sequence[Entry], classes: Sequence[str], hint: str
) -> np.ndarray:
    """The labels of entries, int8 (entries, categories).

    Raises:
        ValueError: If an entry has a category that is no class; the line
            ends with `hint`.
    """
    places = {name: place for place, name in enumerate(classes)}
    labels = np.full((len(entries), len(classes)), ABSENT, "int8")
    for row, entry in enumerate(entries):
        for name in (*entry.present, *entry.unknown):
            if name not in places:
                known = ", ".join(list(classes)[:20])
                raise ValueError(
                    f"{entry.source} has the category {name!r}; the known "
                    f"ones are {known}{', ...' * (len(classes) > 20)}; {hint}"
                )
        labels[row, [places[name] for name in entry.unknown]] = UNKNOWN
        labels[row, [places[name] for name in entry.present]] = PRESENT
    return labels


def box_regions(entry: Entry, classes: Sequence[str]) -> np.ndarray:
    """The cells that the boxes of each category touch."""
    regions = np.zeros((len(classes), GRID, GRID), "uint8")
    for name, boxes in entry.boxes.items():
        for left, top, right, bottom in boxes:
            columns = _touched(left, right)
            regions[
                list(classes).index(name), _touched(top, bottom), columns
            ] = 1
    return regions


def _touched(low: float, high: float) -> slice:
    first = min(GRID - 1, max(0, int(np.floor(GRID * low))))
    return slice(first, max(first + 1, int(np.ceil(GRID * high))))


def mask_regions(mask: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """The cells in which a mask has each of some class numbers."""
    regions = np.zeros((len(numbers), GRID, GRID), "uint8")
    there = set(np.unique(mask).tolist())
    for place, number in enumerate(numbers):
        if number in there:
            regions[place] = on_grid(mask == number, (GRID, GRID))
    return regions


def on_grid(flags: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Whether any flag is set in each cell of a grid over (height, width).

    A cell takes every pixel that it touches.
    """
    rows = _any_along(flags.astype(bool), size[0], 0)
    return _any_along(rows, size[1], 1).astype("uint8")


def _any_along(flags: np.ndarray, cells: int, axis: int) -> np.ndarray:
    length = flags.shape[axis]
    if length == cells:
        return flags
    edges = np.arange(cells + 1) * length / cells
    first = np.floor(edges[:-1]).astype(int)
    last = np.maximum(np.ceil(edges[1:]).astype(int), first + 1)
    # Set flags before each place.
    before = np.insert(np.cumsum(flags, axis=axis), 0, 0, axis=axis)
    counts = np.take(before, last, axis) - np.take(before, first, axis)
    return counts > 0


def mask_labels(
    counts: np.ndarray, numbers: Sequence[int], least_area: float
) -> np.ndarray:
    """Labels of masks from their pixels of each number, (masks, 256).

    A class of fewer pixels than that share of the mask is unknown.
    """
    pixels = counts[:, list(numbers)]
    least = least_area * counts.sum(axis=1, keepdims=True)
    labels = np.where(pixels > 0, UNKNOWN, ABSENT)
    labels = np.where((pixels > 0) & (pixels >= least), PRESENT, labels)
    return labels.astype("int8")
