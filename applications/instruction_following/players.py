"""Who acts in worlds: a policy, a planner, and what they are compared with.

A player is called with a `BatchedWorld` and returns an action for each of its
worlds, every step anew.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from applications.instruction_following import policy
from applications.instruction_following.batched_world import BatchedWorld
from applications.instruction_following.config import Config
from applications.instruction_following.demonstrations import Demonstrations
from applications.instruction_following.demonstrations import demonstrate
from applications.instruction_following.goal_network import goal_places
from applications.instruction_following.rendering import render
from applications.instruction_following.rules import ABSENT
from applications.instruction_following.rules import present
from applications.instruction_following.rules import split_action

Player = Callable[[BatchedWorld], np.ndarray]
# A planner sees blocks a little beside their places: it keeps away from them
# this much more than it has to, or less where neighbors touch.
SAFETY_MARGINS = {"blocks": 0.002, "mini": -0.3}
# Added for every failure, in block lengths.
MARGIN_STEP = 0.02


class Played(NamedTuple):
    """How episodes ended, an entry for each."""

    distance: np.ndarray
    """To the target at the end, in block lengths."""
    least: np.ndarray
    """The smallest distance on the way."""
    stopped: np.ndarray
    """The player stopped before the horizon."""
    path: np.ndarray
    """(times, worlds, blocks, 2): all positions, the start first."""


def play(player: Player, world: BatchedWorld) -> Played:
    path = [world.positions]
    for _ in range(world.rules.horizon):
        world.step(player(world))
        path.append(world.positions)
        if world.done.all():
            break
    return Played(world.distance, world.least, world.stopped, np.stack(path))


def stopping(world: BatchedWorld) -> np.ndarray:
    return np.full(len(world.rows), world.rules.stop)


def random_player(rng: np.random.Generator) -> Player:
    """Every action is as likely as any other."""
    return lambda world: rng.integers(
        world.rules.num_actions, size=len(world.rows)
    )


def oracle(demonstrations: Demonstrations) -> Player:
    """Does what is demonstrated."""
    return lambda world: demonstrations.actions[
        world.rows, np.minimum(world.time, world.rules.horizon - 1)
    ]


class PolicyPlayer:
    """Asks a policy in every state, of which it keeps the latest pictures.

    `choose` takes scores of the actions, (states, actions), and returns one
    of them for each state. `seen` are the inputs of the latest states.
    """

    def __init__(
        self,
        scores: Callable[[dict], np.ndarray],
        config: Config,
        text: np.ndarray,
        choose: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        self.scores = scores
        self.config = config
        self.text = text
        self.choose = choose
        side = config.resolution
        shape = (len(text), side, side, 3 * config.frames)
        self.pictures = np.zeros(shape, "float32")
        no_block = config.rules.num_blocks
        self.previous_block = np.full(len(text), no_block, "int32")
        self.previous_direction = np.full(len(text), 5, "int32")

    def __call__(self, world: BatchedWorld) -> np.ndarray:
        live = np.flatnonzero(~world.done)
        self.see(world, live)
        actions = np.full(len(world.rows), world.rules.stop)
        self.seen = self.inputs(live)
        actions[live] = self.choose(self.scores(self.seen))
        block, direction = split_action(actions, world.rules)
        # A stop has no block.
        stops = direction == 4
        self.previous_block = np.where(
            stops, world.rules.num_blocks, block
        ).astype("int32")
        self.previous_direction = direction.astype("int32")
        return actions

    def see(self, world: BatchedWorld, live: np.ndarray) -> None:
        new = render(world.positions[live], world.rules, self.config.resolution)
        before = self.pictures[live][..., :-3]
        self.pictures[live] = np.concatenate([new, before], axis=-1)

    def inputs(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "picture": self.pictures[rows],
            "text": self.text[rows],
            "previous_direction": self.previous_direction[rows],
            "previous_block": self.previous_block[rows],
        }


class PlannerPlayer:
    """Looks and reads once, plans a path, and follows it.

    Where a move failed it looks again and plans anew from what it sees, to
    the same goal, further around the other blocks.
    """

    def __init__(
        self,
        outputs: Callable[[dict], dict],
        config: Config,
        text: np.ndarray,
    ) -> None:
        self.outputs = outputs
        self.config = config
        self.text = text
        self.goals = goal_places(config.world)
        self.plans: Demonstrations | None = None

    def __call__(self, world: BatchedWorld) -> np.ndarray:
        if self.plans is None:
            self.block, self.goal, positions = self.look(world, world.rows)
            self.planned_at = np.zeros(len(world.rows), "int64")
            self.failures = np.zeros(len(world.rows), "int64")
            self.plans = self.plan(positions, world.rows)
            self.steps = world.steps.copy()
        else:
            self.replan(world)
        self.steps = world.steps.copy()
        time = np.minimum(world.time - self.planned_at, world.rules.horizon - 1)
        return self.plans.actions[world.rows, time]

    def replan(self, world: BatchedWorld) -> None:
        """Where nothing moved although it should have."""
        unmoved = (world.steps == self.steps).all(axis=(0, 1))
        failed = unmoved & ~world.done
        self.failures += failed
        for count in np.unique(self.failures[failed]):
            rows = np.flatnonzero(failed & (self.failures == count))
            positions = self.look(world, rows)[2]
            new = self.plan(positions, rows, MARGIN_STEP * count)
            for old, value in zip(self.plans, new, strict=True):
                old[rows] = value
            self.planned_at[rows] = world.time[rows]

    def look(
        self, world: BatchedWorld, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The block that is meant, its goal, and all positions, as seen."""
        rules = world.rules
        board = world.positions[rows]
        if "state" in self.config.modalities:
            inputs = {"positions": board.astype("float32")}
        else:
            inputs = {"picture": render(board, rules, self.config.resolution)}
        outputs = self.outputs(inputs | {"text": self.text[rows]})
        seen = outputs["present"] > 0.5
        positions = np.where(
            seen[..., None], outputs["positions"] * rules.side, ABSENT
        )
        block = np.where(seen, outputs["source"], -1e9).argmax(axis=1)
        return block, self.nearest_goal(outputs["goal"]), positions

    def nearest_goal(self, logits: np.ndarray) -> np.ndarray:
        """The place that is nearest to the goal on average."""
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        distances = np.linalg.norm(self.goals[:, None] - self.goals, axis=-1)
        return self.goals[(share @ distances).argmin(axis=1)]

    def plan(
        self, positions: np.ndarray, rows: np.ndarray, extra: float = 0.0
    ) -> Demonstrations:
        rules = self.config.rules
        margin = SAFETY_MARGINS[self.config.world] + extra * rules.side
        widened = dataclasses.replace(rules, margin=rules.margin + margin)
        return demonstrate(
            positions, self.block[rows], self.goal[rows], widened
        )


def policy_scores(model: keras.Model) -> Callable[[dict], np.ndarray]:
    """Log probabilities of all actions, or their values."""

    @tf.function(reduce_retracing=True)
    def call(inputs: dict) -> tf.Tensor:
        outputs = model(inputs, training=False)
        if "values" in outputs:
            return outputs["values"]
        return policy.action_log_probabilities(
            outputs["direction"], outputs["block"]
        )

    return lambda inputs: call(_tensors(inputs)).numpy()


def planner_outputs(model: keras.Model) -> Callable[[dict], dict]:
    """A planner's outputs as arrays, with who is present."""

    @tf.function(reduce_retracing=True)
    def call(inputs: dict) -> dict:
        return model(inputs, training=False)

    def outputs(inputs: dict) -> dict[str, np.ndarray]:
        arrays = {k: v.numpy() for k, v in call(_tensors(inputs)).items()}
        if "cells" in arrays:
            logits = arrays["cells"]
            share = np.exp(logits - logits.max(-1, keepdims=True))
            arrays["present"] = 1 - share[..., -1] / share.sum(axis=-1)
        else:
            arrays["present"] = present(inputs["positions"]).astype("float32")
        return arrays

    return outputs


def _tensors(inputs: dict) -> dict[str, tf.Tensor]:
    return {name: tf.convert_to_tensor(value) for name, value in inputs.items()}
