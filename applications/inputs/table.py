"""Tables: columns of numbers and of categories, as one vector a row.

A number is brought to mean 0 and deviation 1 and followed by whether it is
there; a missing one is 0, the mean. A category is one 1 among zeros, and all
zeros where it is missing or was never seen.
"""

import math
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import numpy as np

# What programs write for a number that is not there. Among texts these are
# values like any other: a class may be called none.
NO_NUMBERS = ("nan", "na", "n/a", "null", "none")


class Columns(NamedTuple):
    """What is known of the columns of a table, of its training part."""

    numbers: tuple[str, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    categories: tuple[str, ...]
    """Values of the other columns, as COLUMN=VALUE."""

    @property
    def width(self) -> int:
        """Of the vectors."""
        return 2 * len(self.numbers) + len(self.categories)


def as_number(value: Any) -> float | None:
    """A finite number, or a text that is one; None: it is missing or none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def learn(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> Columns:
    """Which columns are numbers, how they are spread, and the categories."""
    numbers, means, deviations, categories = [], [], [], []
    for name in names:
        present = [row[name] for row in rows if not is_missing(row.get(name))]
        if are_numbers(present):
            found = map(as_number, present)
            values = [number for number in found if number is not None]
            numbers.append(name)
            means.append(float(np.mean(values)))
            # A constant column tells nothing and stays 0.
            deviations.append(float(np.std(values)) or 1.0)
        else:
            categories += sorted({f"{name}={value}" for value in present})
    return Columns(
        tuple(numbers), tuple(means), tuple(deviations), tuple(categories)
    )


def is_missing(value: Any) -> bool:
    """Whether a cell is empty."""
    return value is None or str(value).strip() == ""


def are_numbers(values: Sequence[Any]) -> bool:
    """Whether cells are numbers, or say that there is none, but not all."""
    there = [v for v in values if str(v).strip().lower() not in NO_NUMBERS]
    return bool(there) and None not in map(as_number, there)


def encode(
    rows: Sequence[dict[str, Any]], names: Sequence[str], columns: Columns
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float32 (rows, width), and whether a row has any cell."""
    vectors = np.zeros((len(rows), columns.width), "float32")
    present = np.zeros(len(rows), bool)
    start = 2 * len(columns.numbers)
    places = {key: start + i for i, key in enumerate(columns.categories)}
    others = [name for name in names if name not in columns.numbers]
    for index, row in enumerate(rows):
        for place, name in enumerate(columns.numbers):
            number = as_number(row.get(name))
            if number is not None:
                number -= columns.means[place]
                vectors[index, 2 * place] = number / columns.deviations[place]
                vectors[index, 2 * place + 1] = 1
                present[index] = True
        for name in others:
            value = row.get(name)
            if not is_missing(value):
                present[index] = True
                if (place := places.get(f"{name}={value}")) is not None:
                    vectors[index, place] = 1
    return vectors, present
