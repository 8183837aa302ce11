"""The rules of the blocks world, for one world and for many alike.

Positions are (right, up) on the board as the people saw it who wrote the
instructions. A block that a board lacks stands at `ABSENT`, beyond every
ground, where each of its moves fails and where nothing comes near it.

Action `4 * block + direction` moves a block by a step; the last one stops.
Directions keep the published order, in which they are called north, south,
east and west: the simulator's north is the people's left.
"""

import dataclasses

import numpy as np

DIRECTION_NAMES = ("left", "right", "up", "down")
DIRECTIONS = np.array([[-1, 0], [1, 0], [0, 1], [0, -1]])
ABSENT = 9.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
    """Sizes of a world; the defaults are those of the published one."""

    num_blocks: int = 20
    side: float = 0.1524
    """Side of a block, the unit in which distances are told."""
    step: float = 0.1
    """Length of a move."""
    margin: float = 0.002
    """How much wider than they are blocks count when they collide."""
    ground: float = 1.25
    """Largest coordinate of the center of a block."""
    horizon: int = 40
    """Actions after which an episode ends."""

    @property
    def num_actions(self) -> int:
        return 4 * self.num_blocks + 1

    @property
    def stop(self) -> int:
        return 4 * self.num_blocks

    @property
    def clearance(self) -> float:
        """Two blocks collide where they are less apart along both axes.

        The published test asks whether a corner of the moved square lies in
        the other square, widened; for squares of one size that is this.
        """
        return self.side + self.margin


BLOCKS = Rules()
# Five by five cells; neighbors touch and do not collide.
MINI = Rules(
    num_blocks=3, side=1.0, step=1.0, margin=0.0, ground=2.0, horizon=12
)


def present(positions: np.ndarray) -> np.ndarray:
    """Which blocks are on the board: (..., blocks) of (..., blocks, 2)."""
    return positions[..., 0] != ABSENT


def distance(
    positions: np.ndarray, targets: np.ndarray, rules: Rules
) -> np.ndarray:
    """The sum over blocks of the way to the target, in block lengths."""
    distances = np.linalg.norm(positions - targets, axis=-1)
    return distances.sum(axis=-1) / rules.side


def split_action(
    actions: np.ndarray, rules: Rules
) -> tuple[np.ndarray, np.ndarray]:
    """Block and direction of each action; direction 4 where it stops."""
    actions = np.asarray(actions)
    stops = actions == rules.stop
    block = np.where(stops, 0, actions // 4)
    return block, np.where(stops, 4, actions % 4)
