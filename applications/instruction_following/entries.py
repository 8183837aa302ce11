"""Lists of objects in JSON files; a mistake is told with its entry."""

import json
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from typing import TypeVar

import numpy as np

from applications import files
from applications.instruction_following.rules import Rules

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


def texts(entry: dict, name: str) -> list[str]:
    """The texts that an entry has under a name."""
    found = value(entry, name, list)
    if not all(map(_is_text, found)):
        raise ValueError(
            f"{name} must be texts, received {reprlib.repr(found)}"
        )
    return found


def text(entry: dict, name: str) -> str:
    """The text that an entry has under a name."""
    found = value(entry, name, str)
    if not _is_text(found):
        raise ValueError(f"{name} must be a text, received {found[:80]!a}")
    return found


def _is_text(found: Any) -> bool:
    """Whether it can be written as UTF-8: half a character cannot."""
    try:
        return isinstance(found, str) and found.encode() is not None
    except UnicodeEncodeError:
        return False


def positions(state: Any, coordinates: str, rules: Rules) -> np.ndarray:
    """The positions of blocks on the ground, (blocks, coordinates)."""
    width, most = coordinates.count(",") + 1, rules.num_blocks
    if not isinstance(state, list) or not 0 < len(state) <= most:
        raise ValueError(
            f"expected up to {most} positions {coordinates}, received "
            f"{reprlib.repr(state)}"
        )
    for number, place in enumerate(state, 1):
        right = isinstance(place, list) and len(place) == width
        if not right or not all(_is_on(rules, number) for number in place):
            raise ValueError(
                f"position {number} must be {coordinates}, numbers from "
                f"{-rules.ground:g} to {rules.ground:g}, received "
                f"{reprlib.repr(place)}"
            )
    return np.array(state, "float64")


def _is_on(rules: Rules, coordinate: Any) -> bool:
    """Whether it is on the ground; what is not finite is not either."""
    if isinstance(coordinate, bool) or not isinstance(coordinate, int | float):
        return False
    return abs(coordinate) <= rules.ground
