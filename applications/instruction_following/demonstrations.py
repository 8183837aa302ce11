"""The shortest ways for one block, on the grid of steps around its start.

The published demonstrations come from A* over the same grid. The goal is
usually no point of it, so that search visits all it can reach and ends at the
reachable point nearest to the goal. Here the reachable set of all worlds
grows at once, a step at a time, in array operations; ways are as short.
"""

from typing import NamedTuple

import numpy as np

from applications.instruction_following.rules import DIRECTIONS
from applications.instruction_following.rules import Rules

# Worlds that are searched at once: bounds the memory.
CHUNK = 256


class Demonstrations(NamedTuple):
    """A way for each world; what lies behind its end repeats the end."""

    points: np.ndarray
    """(worlds, horizon, 2), where the block is before each action."""
    actions: np.ndarray
    """(worlds, horizon); the last one stops, as do all behind it."""
    length: np.ndarray
    """(worlds,), actions with the one that stops."""


def demonstrate(
    positions: np.ndarray, block: np.ndarray, goal: np.ndarray, rules: Rules
) -> Demonstrations:
    """Ways of `block` from its place to as near to `goal` as it can come.

    Args:
        positions: (worlds, blocks, 2).
        block: (worlds,).
        goal: (worlds, 2).
        rules: The rules of all worlds.
    """
    parts = [
        _demonstrate(positions[rows], block[rows], goal[rows], rules)
        for rows in (
            slice(first, first + CHUNK)
            for first in range(0, len(positions), CHUNK)
        )
    ]
    return Demonstrations(*map(np.concatenate, zip(*parts, strict=True)))


def _demonstrate(
    positions: np.ndarray, block: np.ndarray, goal: np.ndarray, rules: Rules
) -> Demonstrations:
    rows = np.arange(len(positions))
    start = positions[rows, block]
    free, reach = free_points(positions, block, rules)
    steps = steps_from_start(free, rules.horizon)
    end = _nearest(steps, start, goal, reach, rules)
    count = steps[rows, end[:, 0], end[:, 1]].astype("int64")
    return _forward(_walk_back(steps, end), count, start, block, rules)


def free_points(
    positions: np.ndarray, block: np.ndarray, rules: Rules
) -> tuple[np.ndarray, int]:
    """Where a block may stand: (worlds, side, side), and the middle's index.

    Entry [w, reach + i, reach + j] is i steps right and j up from the start.
    """
    rows = np.arange(len(positions))
    start = positions[rows, block]
    reach = int(2 * rules.ground / rules.step)
    shifts = rules.step * np.arange(-reach, reach + 1)
    coordinates = start[:, :, None] + shifts  # (worlds, 2, side)
    on_ground = np.abs(coordinates) <= rules.ground
    free = on_ground[:, 0, :, None] & on_ground[:, 1, None, :]
    for other in range(rules.num_blocks):
        near = (
            np.abs(coordinates - positions[:, other, :, None]) < rules.clearance
        )
        near &= (block != other)[:, None, None]
        free &= ~(near[:, 0, :, None] & near[:, 1, None, :])
    free[:, reach, reach] = True
    return free, reach


def steps_from_start(free: np.ndarray, horizon: int) -> np.ndarray:
    """Steps to each point from the middle, -1 where `horizon` is too short."""
    middle = free.shape[1] // 2
    steps = np.full(free.shape, -1, "int16")
    front = np.zeros_like(free)
    front[:, middle, middle] = True
    steps[front] = 0
    unseen = free & ~front
    for count in range(1, horizon):
        grown = np.zeros_like(free)
        grown[:, 1:] |= front[:, :-1]
        grown[:, :-1] |= front[:, 1:]
        grown[:, :, 1:] |= front[:, :, :-1]
        grown[:, :, :-1] |= front[:, :, 1:]
        front = grown & unseen
        if not front.any():
            break
        steps[front] = count
        unseen &= ~front
    return steps


def _nearest(
    steps: np.ndarray,
    start: np.ndarray,
    goal: np.ndarray,
    reach: int,
    rules: Rules,
) -> np.ndarray:
    """Index of the reachable point nearest to the goal, fewest steps first."""
    shifts = rules.step * np.arange(-reach, reach + 1)
    offset = start[:, :, None] + shifts - goal[:, :, None]  # (worlds, 2, side)
    squared = offset[:, 0, :, None] ** 2 + offset[:, 1, None, :] ** 2
    # Equal distances differ in their last bits.
    cost = np.round(squared, 9) + 1e-12 * steps
    cost[steps < 0] = np.inf
    flat = cost.reshape(len(cost), -1).argmin(axis=1)
    return np.stack(np.unravel_index(flat, cost.shape[1:]), axis=1)


def _walk_back(steps: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The directions of a shortest way, from its end to its start; -1 then."""
    rows = np.arange(len(steps))
    padded = np.pad(steps, ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    here, directions = end.copy(), []
    for _ in range(int(steps[rows, end[:, 0], end[:, 1]].max())):
        count = steps[rows, here[:, 0], here[:, 1]]
        before = here[:, None] - DIRECTIONS  # (worlds, directions, 2)
        neighbors = padded[
            rows[:, None], before[..., 0] + 1, before[..., 1] + 1
        ]
        fits = (neighbors == count[:, None] - 1) & (count > 0)[:, None]
        chosen = np.where(fits.any(axis=1), fits.argmax(axis=1), -1)
        here = np.where((chosen >= 0)[:, None], before[rows, chosen % 4], here)
        directions.append(chosen)
    return (
        np.stack(directions, axis=1)
        if directions
        else np.full((len(steps), 0), -1)
    )


def _forward(
    backward: np.ndarray,
    count: np.ndarray,
    start: np.ndarray,
    block: np.ndarray,
    rules: Rules,
) -> Demonstrations:
    """Points and actions in time's order, from directions in the other."""
    # A way of `horizon - 1` moves still has to stop.
    time = np.arange(rules.horizon)
    moving = time < count[:, None]
    source = np.where(moving, count[:, None] - 1 - time, 0)
    padded = np.pad(backward, ((0, 0), (0, 1)), constant_values=0)
    direction = np.take_along_axis(padded, source, axis=1)
    actions = np.where(moving, 4 * block[:, None] + direction, rules.stop)
    step = DIRECTIONS[direction] * moving[..., None]
    steps = np.cumsum(step, axis=1)
    steps = np.concatenate([np.zeros_like(steps[:, :1]), steps[:, :-1]], axis=1)
    points = start[:, None] + rules.step * steps
    return Demonstrations(points, actions, count + 1)
