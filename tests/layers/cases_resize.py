"""Resizing to the size of another tensor."""

import numpy as np

from keras_fusion import layers
from tests.layers.case import Case


def interpolate(maps, axis, size, align_corners):
    """NumPy's own linear interpolation of each line along an axis."""
    last = maps.shape[axis] - 1
    positions = np.arange(size)
    if align_corners:
        positions = np.linspace(0, last, size)
    else:
        positions = (positions + 0.5) * (last + 1) / size - 0.5
    return np.apply_along_axis(
        lambda line: np.interp(positions, np.arange(last + 1), line), axis, maps
    )


def resize_like(weights, maps, target, align_corners=False, axis=1):
    for moved in (axis, axis + 1):
        size = target.shape[moved]
        maps = interpolate(maps, moved, size, align_corners)
    return maps


def cubic_line(line, size):
    """The cubic through 0, 1 and the slopes of OpenCV, pixel by pixel."""
    resized = np.zeros(size)
    for i in range(size):
        at = (i + 0.5) * len(line) / size - 0.5
        low = int(np.floor(at))
        for pixel in range(low - 1, low + 3):
            d = abs(at - pixel)
            weight = 1 - 2.25 * d**2 + 1.25 * d**3
            if d > 1:
                weight = 3 - 6 * d + 3.75 * d**2 - 0.75 * d**3
            resized[i] += weight * line[min(max(pixel, 0), len(line) - 1)]
    return resized


def cubic(weights, maps, target):
    for axis in (1, 2):
        size = target.shape[axis]
        maps = np.apply_along_axis(cubic_line, axis, maps, size)
    return maps


CASES = [
    Case(
        "resize_like_cubic_outside_training",
        lambda: layers.ResizeLike(
            cubic_inference=True, data_format="channels_last"
        ),
        ((6, 3, 4, 2), (6, 5, 7, 3)),
        cubic,
        shape_only=(1,),
        weightless=True,
    ),
    Case(
        "resize_like",
        lambda: layers.ResizeLike(data_format="channels_last"),
        ((6, 3, 4, 2), (6, 5, 7, 3)),
        resize_like,
        shape_only=(1,),
        weightless=True,
    ),
    Case(
        "resize_like_aligned_channels_first",
        lambda: layers.ResizeLike(
            align_corners=True, data_format="channels_first"
        ),
        ((6, 2, 3, 4), (6, 3, 5, 2)),
        lambda weights, maps, target: resize_like(
            weights, maps, target, align_corners=True, axis=2
        ),
        shape_only=(1,),
        weightless=True,
    ),
]
