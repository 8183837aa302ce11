"""What a run found in its data, said before it starts."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from applications.reports import percent

# Classes that are named one by one.
SHOWN = 20
# Examples of a split whose pixels are looked at.
LOOKED_AT = 500


class Findings(NamedTuple):
    """What was found in a split."""

    examples: int
    inputs: dict[str, str]
    """Of each input its size and the range of its values, in words."""
    classes: dict[str, int] = {}
    """How many examples, or pixels, there are of each class."""
    pixels: bool = False
    """Whether pixels were counted."""
    looked_at: int | None = None
    """Examples that the inputs and the pixels are of; None: all."""


def some(count: int) -> np.ndarray:
    """Indices of the examples to look at, evenly spread over a split."""
    return np.linspace(0, count - 1, min(count, LOOKED_AT), dtype="int64")


def describe(
    data_dir: str | None,
    sizes: Mapping[str, int | None],
    found: Mapping[str, Findings],
    notes: Sequence[str],
) -> str:
    """A few lines about data, and warnings of what looks like a mistake.

    Args:
        data_dir: Where they are.
        sizes: Examples of every split that there is, where they are known.
        found: What was found in the splits that are used.
        notes: What was left out, and why.

    Raises:
        ValueError: If a split that is used has nothing to learn from, or to
            measure.
    """
    lines = [f"data: {data_dir or 'embedded'}"]
    for name, count in sizes.items():
        if name in found:
            lines += _about(name, found[name])
        else:
            size = "" if count is None else f"{count:,} examples, "
            lines.append(f"  {name}: {size}not used here")
    lines += [f"  {note}" for note in notes]
    if "train" in found:
        lines += _warnings(found["train"])
    return "\n".join(lines)


def _about(name: str, found: Findings) -> list[str]:
    total = sum(found.classes.values())
    if found.classes and not total:
        raise ValueError(
            f"no pixel of the {name} part has a class, all are to be ignored; "
            "give its masks class indices from 0"
        )
    text = f"  {name}: {found.examples:,} examples"
    if found.looked_at not in (None, found.examples):
        text += f", of which {found.looked_at:,} were looked at"
    lines = [text]
    lines += [f"    {key}: {value}" for key, value in found.inputs.items()]
    counts = [
        f"{key} {percent(value / total) if found.pixels else f'{value:,}'}"
        for key, value in list(found.classes.items())[:SHOWN]
    ]
    if len(found.classes) > SHOWN:
        counts.append(f"and {len(found.classes) - SHOWN:,} more")
    if counts:
        kind = "pixels" if found.pixels else "classes"
        lines.append(f"    {kind}: {', '.join(counts)}")
    return lines


def _warnings(found: Findings) -> list[str]:
    missing = [key for key, value in found.classes.items() if not value]
    present = [key for key, value in found.classes.items() if value]
    warnings = []
    if missing:
        names = ", ".join(missing[:SHOWN])
        warnings.append(f"warning: nothing to train on of: {names}")
    if len(present) == 1:
        hint = (
            "; 255 is ignored, so masks of 0 and 255 need 1 in its place"
            if found.pixels
            else ""
        )
        warnings.append(
            f"warning: the training part holds one class, {present[0]}{hint}"
        )
    return warnings
