"""The board from above, for many boards at once and at any resolution.

A pixel has the mean color of what it covers, so that a picture tells places
to a fraction of a pixel. Each block is a square of its own color with a
square of another color in its middle: no two blocks look alike.
"""

import colorsys

import numpy as np

from applications.instruction_following.rules import ABSENT
from applications.instruction_following.rules import Rules

BOARD = (0.86, 0.85, 0.82)
MARK = 0.5
"""Side of the square in the middle, as a share of the block's."""


def looks(num_blocks: int) -> np.ndarray:
    """Colors of the blocks and of their marks, (blocks, 2, 3), of [0, 1]."""
    colors = []
    for index in range(num_blocks):
        hue = index / num_blocks
        body = colorsys.hsv_to_rgb(hue, 1.0, (0.95, 0.65, 0.35)[index % 3])
        mark = colorsys.hsv_to_rgb(
            (hue + 0.35 + 0.3 * (index % 2)) % 1,
            (0.9, 0.2)[index // 2 % 2],
            (1.0, 0.5, 0.8)[index % 3],
        )
        colors.append((body, mark))
    return np.array(colors, "float32")


def extent(rules: Rules) -> float:
    """Half the side of the picture: all blocks on the ground are on it."""
    return rules.ground + rules.side / 2


def render(positions: np.ndarray, rules: Rules, resolution: int) -> np.ndarray:
    """Pictures of boards.

    Args:
        positions: (boards, blocks, 2).
        rules: Of the boards.
        resolution: Height and width of the pictures.

    Returns:
        float32 array (boards, resolution, resolution, 3), from 0 to 1.
    """
    positions = np.asarray(positions, "float32")
    scale = resolution / (2 * extent(rules))
    half = rules.side * scale / 2
    size = int(np.ceil(2 * half)) + 1
    # A block that is not there falls on the margin, which is cut off.
    centers = np.clip(positions, -extent(rules), extent(rules)) * (1, -1)
    centers = (centers + extent(rules)) * scale + size
    centers[positions[..., 0] == ABSENT] = size / 2
    first = np.floor(centers - half).astype("int32")
    body = _covered(centers - first, half, size)  # (boards, blocks, 2, size)
    mark = _covered(centers - first, MARK * half, size)
    side = resolution + 2 * size
    canvas = np.empty((len(positions), side, side, 3), "float32")
    canvas[:] = BOARD
    within = np.arange(size)
    rows = np.arange(len(positions))[:, None, None]
    colors = looks(rules.num_blocks)
    # Block by block, since neighbors share pixels.
    for block, (body_color, mark_color) in enumerate(colors):
        tint = _square(body[:, block]) * (body_color - np.array(BOARD))
        tint += _square(mark[:, block]) * (mark_color - body_color)
        left, top = first[:, block].T
        pixels = (
            rows,
            (top[:, None] + within)[:, :, None],
            (left[:, None] + within)[:, None, :],
        )
        canvas[pixels] += tint
    return canvas[:, size:-size, size:-size]


def _covered(center: np.ndarray, half: float, pixels: int) -> np.ndarray:
    """The share of each of some pixels that is within `half` of a center."""
    left = np.arange(pixels, dtype="float32")
    center = center[..., None]
    end = np.minimum(center + half, left + 1)
    return np.clip(end - np.maximum(center - half, left), 0, 1)


def _square(covered: np.ndarray) -> np.ndarray:
    """Coverage of pixels from that of columns and rows, (boards, y, x, 1)."""
    return covered[:, 1, :, None, None] * covered[:, 0, None, :, None]
