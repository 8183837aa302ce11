"""Lists of objects in JSON files; a mistake is told with its entry."""

import json
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from typing import TypeVar

import numpy as np

from applications import files
from applications.instruction_following.rules import ABSENT

Read = TypeVar("Read")

NAMES = {str: "a text", int: "a number", list: "a list of one or more"}


def read(file: Path, what: str, of: Callable[[dict], Read]) -> list[Read]:
    """What `of` makes of each entry of a file, which is a list of `what`."""
    text = files.read_text(file)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not readable JSON: {error}") from error
    if not isinstance(content, list) or not content:
        raise ValueError(
            f"{file} must hold a list of {what}, received "
            f"{reprlib.repr(content)}"
        )
    return each(content, f"{file}, entry", of)


def each(entries: list, where: str, of: Callable[[dict], Read]) -> list[Read]:
    """What `of` makes of each entry; errors begin with `where` and a number."""
    results = []
    for number, entry in enumerate(entries, 1):
        try:
            if not isinstance(entry, dict):
                raise ValueError(
                    f"expected an object, received {reprlib.repr(entry)}"
                )
            results.append(of(entry))
        except ValueError as error:
            raise ValueError(f"{where} {number}: {error}") from error
    return results


def value(entry: dict, name: str, kind: type) -> Any:
    """What an entry has under a name."""
    if name not in entry:
        raise ValueError(
            f"expected {name!r}, received only {reprlib.repr(list(entry))}"
        )
    found = entry[name]
    if not isinstance(found, kind) or isinstance(found, bool) or found == []:
        raise ValueError(
            f"{name} must be {NAMES[kind]}, received {reprlib.repr(found)}"
        )
    return found


def positions(state: Any, coordinates: str, most: int) -> np.ndarray:
    """The positions of blocks, (blocks, coordinates)."""
    width = coordinates.count(",") + 1
    if not isinstance(state, list) or not 0 < len(state) <= most:
        raise ValueError(
            f"expected up to {most} positions {coordinates}, received "
            f"{reprlib.repr(state)}"
        )
    for number, place in enumerate(state, 1):
        right = isinstance(place, list) and len(place) == width
        if not right or not all(map(_is_coordinate, place)):
            raise ValueError(
                f"position {number} must be {coordinates}, numbers below "
                f"{ABSENT:g}, received {reprlib.repr(place)}"
            )
    return np.array(state, "float64")


def _is_coordinate(number: Any) -> bool:
    """Whether it is one; what is not finite is not below the limit either."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return False
    return abs(number) < ABSENT
