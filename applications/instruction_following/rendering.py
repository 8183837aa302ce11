"""The board from above, for many boards at once and at any resolution.

A pixel has the mean colour of what it covers, so that a picture tells places
to a fraction of a pixel. Each block is a square of its own colour with a
square of another colour in its middle: no two blocks look alike.
"""

import colorsys

import numpy as np

from applications.instruction_following.rules import ABSENT
from applications.instruction_following.rules import Rules

BOARD = (0.86, 0.85, 0.82)
MARK = 0.5
"""Side of the square in the middle, as a share of the block's."""


def looks(num_blocks: int) -> np.ndarray:
    """Colours of the blocks and of their marks, (blocks, 2, 3), of [0, 1]."""
    colours = []
    for index in range(num_blocks):
        hue = index / num_blocks
        body = colorsys.hsv_to_rgb(hue, 1.0, (0.95, 0.65, 0.35)[index % 3])
        mark = colorsys.hsv_to_rgb(
            (hue + 0.35 + 0.3 * (index % 2)) % 1,
            (0.9, 0.2)[index // 2 % 2],
            (1.0, 0.5, 0.8)[index % 3],
        )
        colours.append((body, mark))
    return np.array(colours, "float32")


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
    centres = np.clip(positions, -extent(rules), extent(rules)) * (1, -1)
    centres = (centres + extent(rules)) * scale + size
    centres[positions[..., 0] == ABSENT] = size / 2
    first = np.floor(centres - half).astype("int32")
    body = _covered(centres - first, half, size)  # (boards, blocks, 2, size)
    mark = _covered(centres - first, MARK * half, size)
    side = resolution + 2 * size
    canvas = np.empty((len(positions), side, side, 3), "float32")
    canvas[:] = BOARD
    within = np.arange(size)
    rows = np.arange(len(positions))[:, None, None]
    colours = looks(rules.num_blocks)
    # Block by block, since neighbours share pixels.
    for block, (body_colour, mark_colour) in enumerate(colours):
        tint = _square(body[:, block]) * (body_colour - np.array(BOARD))
        tint += _square(mark[:, block]) * (mark_colour - body_colour)
        left, top = first[:, block].T
        place = (
            rows,
            (top[:, None] + within)[:, :, None],
            (left[:, None] + within)[:, None, :],
        )
        canvas[place] += tint
    return canvas[:, size:-size, size:-size]


def _covered(centre: np.ndarray, half: float, pixels: int) -> np.ndarray:
    """The share of each of some pixels that is within `half` of a centre."""
    left = np.arange(pixels, dtype="float32")
    centre = centre[..., None]
    end = np.minimum(centre + half, left + 1)
    return np.clip(end - np.maximum(centre - half, left), 0, 1)


def _square(covered: np.ndarray) -> np.ndarray:
    """Coverage of pixels from that of columns and rows, (boards, y, x, 1)."""
    return covered[:, 1, :, None, None] * covered[:, 0, None, :, None]
