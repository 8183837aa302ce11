"""Random square crops of aligned images and their mask.

What is drawn is a pure function of uniform numbers in [0, 1) that the caller
gives, the same for every modality and the mask.
"""

from typing import NamedTuple

import numpy as np

from applications.inputs import image as images
from applications.inputs import mask as masks
from applications.inputs.image import NormalizedImage

# Scale, top, left, mirror, turn; then for each modality contrast, brightness
# and absence.
COMMON_DRAWS = 5
OWN_DRAWS = 3


class Augmentation(NamedTuple):
    """What may happen to a crop."""

    side: int
    """Height and width of the crop, in pixels."""
    scale: tuple[float, float]
    """Range of the random scale."""
    short_side: int
    """Pixels that it leaves at least of the short side of an image."""
    mirror: bool
    """Mirror half of the crops."""
    turn: bool
    """Turn crops by a random multiple of a right angle."""
    jitter: float
    """Random contrast and brightness of each modality."""
    absence: float
    """Share of crops in which a modality is missing, zero all over."""
    interpolations: tuple[images.Interpolation, ...]
    """How each modality is resized."""


def num_draws(modalities: int) -> int:
    return COMMON_DRAWS + OWN_DRAWS * modalities


def crop(
    modalities: tuple[NormalizedImage, ...],
    mask: np.ndarray,
    draws: np.ndarray,
    how: Augmentation,
) -> tuple[np.ndarray, ...]:
    """A crop of every modality, float32 of three channels, then of the mask."""
    low, high = how.scale
    scale = low + (high - low) * draws[0]
    scale = max(scale, how.short_side / min(mask.shape))
    side = max(1, round(how.side / scale))
    window = Window(
        _offset(mask.shape[0], side, draws[1]),
        _offset(mask.shape[1], side, draws[2]),
        side,
    )
    size = (how.side, how.side)
    crops = []
    for index, modality in enumerate(modalities):
        own = draws[COMMON_DRAWS + OWN_DRAWS * index :][:OWN_DRAWS]
        part = modality._replace(image=window.of(modality.image))
        pixels = window.padded(_jittered(part.values(), own, how), mask.shape)
        pixels = images.resize(pixels, size, how.interpolations[index])
        crops.append(images.three_channels(_oriented(pixels, draws, how)))
    part = window.padded(window.of(mask), mask.shape, masks.IGNORE)
    part = _oriented(masks.resize(part, size), draws, how)
    return (*crops, part.astype("int32"))


class Window(NamedTuple):
    """A square that may reach over the borders of an image."""

    top: int
    left: int
    side: int

    def of(self, array: np.ndarray) -> np.ndarray:
        """The part that lies on the image."""
        rows = slice(max(0, self.top), self.top + self.side)
        columns = slice(max(0, self.left), self.left + self.side)
        return array[rows, columns]

    def padded(
        self, part: np.ndarray, size: tuple[int, ...], value: int = 0
    ) -> np.ndarray:
        """The whole square, `value` where an image of `size` ends."""
        if part.shape[:2] == (self.side, self.side):
            return part
        before = (max(0, -self.top), max(0, -self.left))
        widths = [
            (start, self.side - start - length)
            for start, length in zip(before, part.shape, strict=False)
        ]
        widths += [(0, 0)] * (part.ndim - 2)
        return np.pad(part, widths, constant_values=value)


def _offset(length: int, side: int, draw: float) -> int:
    """A start in [0, length - side], or, of a short image, the negative."""
    slack = abs(length - side)
    start = min(int(draw * (slack + 1)), slack)
    return start if length >= side else -start


def _oriented(
    image: np.ndarray, draws: np.ndarray, how: Augmentation
) -> np.ndarray:
    if how.mirror and draws[3] < 0.5:
        image = image[:, ::-1]
    if how.turn:
        image = np.rot90(image, int(4 * draws[4]))
    return np.ascontiguousarray(image)


def _jittered(
    image: np.ndarray, draws: np.ndarray, how: Augmentation
) -> np.ndarray:
    """Contrast and brightness noise, in deviations, or nothing at all."""
    contrast, brightness = how.jitter * (2 * draws[:2] - 1)
    if draws[2] < how.absence:
        return np.zeros_like(image)
    return image * (1 + contrast) + brightness
