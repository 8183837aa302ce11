"""Small boards with generated instructions: three blocks on five by five.

A text names the block that moves, another one, and the side of it where the
first one is to go: "move the red block above the blue block".
"""

import numpy as np

from applications.instruction_following.demonstrations import demonstrate
from applications.instruction_following.episodes import Episodes
from applications.instruction_following.rules import DIRECTIONS
from applications.instruction_following.rules import MINI

COLORS = ("red", "green", "blue")
SIDES = ("left of", "right of", "above", "below")
"""In the order of the directions."""
PHRASES = (
    "move the {} block {} the {} block",
    "put the {} block {} the {} one",
    "place {} {} {}",
    "the {} block goes {} the {} block",
)
CELLS = 5


def generate(count: int, seed: int, phrases: int = len(PHRASES)) -> Episodes:
    """Episodes, each with one board and one text.

    Boards whose goal is off the board, taken or walled in are drawn again; so
    are those whose block is at its goal already.
    """
    rng = np.random.default_rng(seed)
    starts, goals, blocks, texts = [], [], [], []
    while sum(map(len, starts)) < count:
        start, goal, block, text = _draw(2 * count + 8, rng, phrases)
        starts.append(start)
        goals.append(goal)
        blocks.append(block)
        texts += text
    start, goal, block = map(np.concatenate, (starts, goals, blocks))
    start, goal, block = start[:count], goal[:count], block[:count]
    target = start.copy()
    target[np.arange(count), block] = goal
    return Episodes(
        start, target, block, tuple(texts[:count]), np.arange(count)
    )


def _draw(count: int, rng: np.random.Generator, phrases: int) -> tuple:
    rows = np.arange(count)
    order = rng.random((count, CELLS**2)).argsort(axis=1)
    cells = order[:, : MINI.num_blocks]
    start = np.stack([cells % CELLS, cells // CELLS], -1) - CELLS // 2
    pair = rng.random((count, MINI.num_blocks)).argsort(axis=1)[:, :2]
    side = rng.integers(len(SIDES), size=count)
    phrase = rng.integers(phrases, size=count)
    goal = start[rows, pair[:, 1]] + DIRECTIONS[side]
    taken = (start == goal[:, None]).all(axis=2).any(axis=1)
    good = ~taken & (np.abs(goal).max(axis=1) <= MINI.ground)
    start, goal = start.astype("float64"), goal.astype("float64")
    good[good] = _reachable(start[good], pair[good, 0], goal[good])
    texts = [
        PHRASES[phrase[row]].format(
            COLORS[pair[row, 0]], SIDES[side[row]], COLORS[pair[row, 1]]
        )
        for row in rows[good]
    ]
    return (
        start[good],
        goal[good],
        pair[good, 0],
        texts,
    )


def _reachable(
    start: np.ndarray, block: np.ndarray, goal: np.ndarray
) -> np.ndarray:
    paths = demonstrate(start, block, goal, MINI)
    ends = paths.points[np.arange(len(goal)), paths.length - 1]
    return (ends == goal).all(axis=1)
