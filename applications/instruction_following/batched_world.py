"""Thousands of blocks worlds that go on together, in array operations."""

from typing import NamedTuple

import numpy as np

from applications.instruction_following.rules import DIRECTIONS
from applications.instruction_following.rules import Rules

# The coordinate that a direction changes, and how.
AXIS = np.abs(DIRECTIONS).argmax(axis=1)
SIGN = DIRECTIONS.sum(axis=1)


class Outcome(NamedTuple):
    """What an action did, an entry for each world."""

    moved: np.ndarray
    """A block moved."""
    failed: np.ndarray
    """A move was tried and collided or left the ground."""
    stopped: np.ndarray
    """The world stopped at this action."""
    before: np.ndarray
    """Distance to the target before the action, in block lengths."""
    after: np.ndarray
    """The same after it."""


class BatchedWorld:
    """Worlds with the same rules and a start and a target each.

    A position is its start and a whole number of steps, so that a way there
    and back restores it to the last bit. A world that has stopped or reached
    the horizon is `done`: nothing changes it any more.
    """

    def __init__(
        self, rules: Rules, start: np.ndarray, targets: np.ndarray
    ) -> None:
        """Arrays of shape (worlds, blocks, 2)."""
        expected = (len(start), rules.num_blocks, 2)
        for name, array in {"start": start, "targets": targets}.items():
            if np.shape(array) != expected:
                raise ValueError(
                    f"{name} must have shape {expected}, received "
                    f"{np.shape(array)}; give every world all its blocks, "
                    "absent ones at rules.ABSENT"
                )
        self.rules = rules
        self.rows = np.arange(len(start))
        # Planes of (right and up, blocks, worlds): a move changes a number in
        # one of them, and NumPy is fastest over long last axes.
        self.first = _planes(start)
        self.targets = _planes(targets)
        self.places = self.first.copy()
        self.steps = np.zeros(self.first.shape, "int64")
        self.distances = _length(*(self.places - self.targets)) / rules.side
        # Memory that is asked for anew costs more than the arithmetic in it.
        self.scratch = np.empty(self.distances.shape)
        self.distance = self.distances.sum(axis=0)
        self.least = self.distance.copy()
        self.time = np.zeros(len(start), "int64")
        self.stopped = np.zeros(len(start), bool)

    @property
    def start(self) -> np.ndarray:
        """(worlds, blocks, 2)."""
        return self.first.transpose(2, 1, 0).copy()

    @property
    def positions(self) -> np.ndarray:
        """(worlds, blocks, 2)."""
        return self.places.transpose(2, 1, 0).copy()

    @property
    def done(self) -> np.ndarray:
        return self.stopped | (self.time >= self.rules.horizon)

    def select(self, rows: np.ndarray) -> "BatchedWorld":
        """A copy with these worlds, each as often as it is named."""
        world = object.__new__(BatchedWorld)
        world.rules = self.rules
        world.rows = np.arange(len(rows))
        for name, value in vars(self).items():
            if name not in ("rules", "rows"):
                setattr(world, name, value[..., rows])
        return world

    def step(self, actions: np.ndarray) -> Outcome:
        """Takes an action in every world."""
        rules = self.rules
        actions = np.asarray(actions)
        live = ~self.done
        stops = actions == rules.stop
        block = np.where(stops, 0, actions >> 2)
        # Where the number that changes is, and the other coordinate.
        flat = block * len(self.rows) + self.rows
        along, plane = AXIS[actions & 3], self.distances.size
        changed, other = flat + along * plane, flat + (1 - along) * plane
        first, steps = self.first.take(changed), self.steps.take(changed)
        sign, beside = SIGN[actions & 3], self.places.take(other)
        tries = live & ~stops
        coordinate = first + rules.step * (steps + sign)
        moved = tries & self._free(flat, along, coordinate, beside)
        before = self.distance
        # Where nothing moved, all is written as it was: cheaper than to
        # leave it out.
        steps += sign * moved
        coordinate = first + rules.step * steps
        self.steps.put(changed, steps)
        self.places.put(changed, coordinate)
        distances = _length(
            coordinate - self.targets.take(changed),
            beside - self.targets.take(other),
        )
        self.distances.put(flat, distances / rules.side)
        self.distance = self.distances.sum(axis=0)
        self.least = np.minimum(self.least, self.distance)
        self.time += live
        stopped = live & stops
        self.stopped |= stopped
        return Outcome(moved, tries & ~moved, stopped, before, self.distance)

    def _free(
        self,
        flat: np.ndarray,
        along: np.ndarray,
        coordinate: np.ndarray,
        beside: np.ndarray,
    ) -> np.ndarray:
        rules, gap = self.rules, self.scratch
        right = np.where(along, beside, coordinate)
        up = np.where(along, coordinate, beside)
        np.subtract(self.places[0], right, out=gap)
        near = np.less(np.abs(gap, out=gap), rules.clearance)
        np.subtract(self.places[1], up, out=gap)
        near &= np.less(np.abs(gap, out=gap), rules.clearance)
        near.put(flat, False)
        on_ground = np.maximum(np.abs(right), np.abs(up)) <= rules.ground
        return on_ground & ~np.logical_or.reduce(near, axis=0)


def _length(right: np.ndarray, up: np.ndarray) -> np.ndarray:
    # Several times as fast as `np.hypot`, whose care for overflow boards do
    # not need.
    return np.sqrt(right * right + up * up)


def _planes(boards: np.ndarray) -> np.ndarray:
    """(worlds, blocks, 2) to (2, blocks, worlds)."""
    return np.ascontiguousarray(np.transpose(boards, (2, 1, 0)), "float64")
