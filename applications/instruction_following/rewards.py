"""The reward of an action: the problem's, and two ways to shape it.

F1 is what the move gains in distance. F2 compares with a demonstration, after
Brys et al. 2015: a potential of 1 for doing what the demonstration does at
its point nearest to the block, if that is within a block's side of it.
"""

from typing import NamedTuple

import numpy as np

from applications.instruction_following.batched_world import Outcome
from applications.instruction_following.demonstrations import Demonstrations
from applications.instruction_following.rules import Rules

GOAL = 1.0
"""For stopping within a block's length of the target."""
WRONG = -1.0
"""For stopping elsewhere, and for a move that fails."""
STEP = -0.02
"""For every other move."""
LOW_POTENTIAL = -0.02
"""The demonstration's potential where one does not follow it."""


class Shaping(NamedTuple):
    """Which shapings count."""

    distance: bool = True
    demonstration: bool = True


def problem_reward(outcome: Outcome) -> np.ndarray:
    reward = np.where(outcome.moved, STEP, 0.0)
    reward = np.where(outcome.failed, WRONG, reward)
    arrived = np.where(outcome.after < 1, GOAL, WRONG)
    return np.where(outcome.stopped, arrived, reward)


def demonstration_potential(
    position: np.ndarray,
    actions: np.ndarray,
    demonstrations: Demonstrations,
    rules: Rules,
) -> np.ndarray:
    """The potential of an action with the right block at `position`.

    Args:
        position: (worlds, 2), where the right block is before the action.
        actions: (worlds,).
        demonstrations: Of the same worlds.
        rules: The rules of all worlds.
    """
    rows = np.arange(len(position))
    distances = np.linalg.norm(
        demonstrations.points - position[:, None], axis=-1
    )
    time = np.arange(distances.shape[1])
    distances = np.where(
        time < demonstrations.length[:, None], distances, np.inf
    )
    # The first one of those that are equally near.
    nearest = np.round(distances, 9).argmin(axis=1)
    near = distances[rows, nearest] <= rules.side
    follows = demonstrations.actions[rows, nearest] == actions
    return np.where(near & follows, 1.0, LOW_POTENTIAL)


def reward(
    outcome: Outcome,
    potential: np.ndarray,
    previous: np.ndarray,
    shaping: Shaping,
) -> tuple[np.ndarray, np.ndarray]:
    """The reward of an action, and the potential to compare the next with.

    A failed move is rewarded for nothing but its failure and leaves the
    potential. `previous` is `LOW_POTENTIAL` at the start of an episode.
    """
    total = problem_reward(outcome)
    fair = ~outcome.failed
    if shaping.distance:
        total = total + np.where(fair, outcome.before - outcome.after, 0.0)
    if shaping.demonstration:
        total = total + np.where(fair, potential - previous, 0.0)
    return total, np.where(fair, potential, previous)
