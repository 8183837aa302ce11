"""What the numbers of images become: -1 to 1, by one range for all of them.

A range is that of a modality, never of an image, so that the same value means
the same wherever it occurs.
"""

from collections.abc import Sequence

import numpy as np

from applications import findings

Range = tuple[float, float]
BYTES: Range = (0.0, 255.0)
# Of the values of an image, beyond the range: more is in other units.
MOST_BEYOND = 0.5


def learn(examples: Sequence, names: Sequence[str]) -> dict[str, Range]:
    """The range of each modality, from examples of the training part.

    Images of 8 bits have all of theirs; of others the least and the largest
    value count.
    """
    first = examples[0]
    if all(first[name].dtype == "uint8" for name in names):
        return dict.fromkeys(names, BYTES)
    seen = [examples[index] for index in findings.some(len(examples))]
    return {name: _of_all([e[name] for e in seen], name) for name in names}


def _of_all(images: Sequence[np.ndarray], name: str) -> Range:
    if all(image.dtype == "uint8" for image in images):
        return BYTES
    low = float(min(image.min() for image in images))
    high = float(max(image.max() for image in images))
    if low == high:
        raise ValueError(
            f"{name} is {low:g} all over the training part; expected "
            "images that show something"
        )
    return low, high


def scaled(image: np.ndarray, value_range: Range) -> np.ndarray:
    """float32 from -1 to 1; what lies beyond the range is cut off."""
    low, high = value_range
    shares = (image.astype("float32") - low) * (2 / (high - low))
    return np.clip(shares - 1, -1, 1).astype("float32")


def restored(image: np.ndarray, value_range: Range) -> np.ndarray:
    """The values, float32, that `scaled` had made -1 to 1 of."""
    low, high = value_range
    return ((image + 1) * ((high - low) / 2) + low).astype("float32")


def check(image: np.ndarray, value_range: Range, name: str) -> None:
    """Raises ValueError for an image that looks like one in other units."""
    low, high = value_range
    beyond = ((image < low) | (image > high)).mean()
    if beyond > MOST_BEYOND:
        raise ValueError(
            f"{name} holds values from {image.min():g} to {image.max():g}; "
            f"expected {low:g} to {high:g}, as in the training part; give it "
            "in the same units, or train with other --ranges"
        )


def in_words(names: Sequence[str], ranges: Sequence[Range]) -> str:
    """A line about what -1 and 1 mean."""
    listed = ", ".join(
        f"{name} {low:g} to {high:g}"
        for name, (low, high) in zip(names, ranges, strict=True)
    )
    return f"values that become -1 to 1, others are cut off: {listed}"
