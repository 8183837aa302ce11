"""What agents learn from: demonstrations, or what their actions pay.

Each is a functional `keras.Model` with a loss of its own, so that `fit` drives
them all. With learning from rewards, a step of training plays a batch of
episodes with the policy as it is and learns from the states it met.
"""

from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from applications.instruction_following import policy
from applications.instruction_following.batched_world import BatchedWorld
from applications.instruction_following.demonstrations import Demonstrations
from applications.instruction_following.players import PolicyPlayer
from applications.instruction_following.rewards import LOW
from applications.instruction_following.rewards import Shaping
from applications.instruction_following.rewards import demonstration_potential
from applications.instruction_following.rewards import reward
from applications.instruction_following.rules import split_action

if TYPE_CHECKING:
    from applications.instruction_following.config import Config

DISCOUNT = 0.95
# Chance of a random action of "dqn", at first and from the middle on.
EXPLORE = (1.0, 0.1)
# Steps of training between two copies of the network that "dqn" aims at.
COPY_EVERY = 100
LEARN_FROM = 128
"""Transitions that "dqn" learns from in a step."""


def _crossentropy(target, logits):
    return keras.losses.sparse_categorical_crossentropy(
        target, logits, from_logits=True
    )


@keras.saving.register_keras_serializable(package="instruction_following")
class PlannerAgent(keras.Model):
    """Learns the block, the goal, and where every block is in the picture.

    Convolutions cost more than words. A batch of training has pictures for
    some of its boards only, from which it learns to see, and the places of the
    blocks of all its boards, with which it learns to read. Outside training
    it reads with what it sees and is given no places.
    """

    position_weight = 1.0

    def call(self, inputs, training=None, mask=None):
        if "places" not in inputs:
            return super().call(inputs, training=training, mask=mask)
        seen = self.get_layer("seeing")(inputs["picture"], training=training)
        given = {name: inputs[name] for name in ("places", "on_board", "text")}
        return seen | self.get_layer("reading")(given, training=training)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        loss = ops.mean(_crossentropy(y["source"], y_pred["source"]))
        loss = loss + ops.mean(_crossentropy(y["goal"], y_pred["goal"]))
        if "cells" not in y:
            return loss
        cells = ops.mean(_crossentropy(y["cells"], y_pred["cells"]))
        beside = ops.abs(y_pred["positions"] - y["positions"])
        beside = ops.mean(beside * y["present"][..., None])
        return loss + self.position_weight * (cells + beside)


@keras.saving.register_keras_serializable(package="instruction_following")
class PolicyAgent(keras.Model):
    """Likelihood of actions times what they pay, and entropy.

    With a reward of 1 for what is demonstrated and no entropy this is
    supervised learning, with the reward of what the policy sampled a
    contextual bandit, and with the sum of later rewards REINFORCE.
    """

    entropy_weight = 0.0
    published_gradient = False
    goal_weight = 0.0

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        direction, block = y_pred["direction"], y_pred["block"]
        unlikely = _crossentropy(y["direction"], direction)
        unlikely += y["block_counts"] * _crossentropy(y["block"], block)
        loss = y["reward"] * unlikely
        if self.entropy_weight:
            measure = (
                policy.published_entropy
                if self.published_gradient
                else policy.entropy
            )
            entropy = measure(direction, block)
            loss = loss - self.entropy_weight * y["explores"] * entropy
        if self.goal_weight and "goal" in y_pred and "goal" in y:
            goal = _crossentropy(y["goal"], y_pred["goal"])
            loss = loss + self.goal_weight * goal
        return ops.mean(loss)


class Playing:
    """A model's part that plays; its state is no part of the model's."""

    def __init__(self, model: keras.Model, config: "Config") -> None:
        self.model = model
        self.config = config
        self.epoch = 0
        self.scores = tf.function(self._scores, reduce_retracing=True)

    def _scores(self, inputs: dict) -> tf.Tensor:
        outputs = self.model(inputs, training=False)
        if "values" in outputs:
            return outputs["values"]
        return policy.action_log_probabilities(
            outputs["direction"], outputs["block"]
        )

    def rng(self) -> np.random.Generator:
        step = int(self.model.optimizer.iterations)
        return np.random.default_rng([self.config.seed, 2, step])

    def episodes(self, x: dict, y: dict, teach: bool) -> dict[str, np.ndarray]:
        """Plays a batch of episodes; the states met, episode by episode."""
        config, rules, rng = self.config, self.config.rules, self.rng()
        world = BatchedWorld(rules, y["start"], y["target"])
        ways = Demonstrations(y["points"], y["actions"], y["length"])
        player = PolicyPlayer(
            lambda inputs: self.scores(
                {k: tf.convert_to_tensor(v) for k, v in inputs.items()}
            ).numpy(),
            config,
            x["text"],
            self.chooser(world, ways, rng, teach),
        )
        shaping = Shaping(
            "distance" in config.shaping, "demonstration" in config.shaping
        )
        potential = np.full(len(world.rows), LOW)
        met = []
        while not world.done.all():
            live = np.flatnonzero(~world.done)
            place = world.positions[world.rows, y["moving"]]
            actions = player(world)
            outcome = world.step(actions)
            now = demonstration_potential(place, actions, ways, rules)
            paid, potential = reward(outcome, now, potential, shaping)
            met.append(
                player.seen
                | {
                    "episode": live,
                    "action": actions[live],
                    "paid": paid[live],
                    "ends": world.done[live],
                }
            )
        return gathered(met)

    def chooser(self, world, ways, rng, teach):
        if teach:
            # Live worlds all are at the same time.
            return lambda scores: ways.actions[~world.done, world.time.max()]
        return lambda scores: policy.sampled(scores, rng)


def gathered(met: list[dict]) -> dict[str, np.ndarray]:
    """States of all times in one, episode by episode, then by time."""
    whole = {
        name: np.concatenate([state[name] for state in met]) for name in met[0]
    }
    order = np.argsort(whole["episode"], kind="stable")
    return {name: value[order] for name, value in whole.items()}


def returns(paid: np.ndarray, ends: np.ndarray, discount: float) -> np.ndarray:
    """The sum of each state's and all later rewards of its episode."""
    total, later = np.empty_like(paid), 0.0
    for index in range(len(paid) - 1, -1, -1):
        later = paid[index] + (0.0 if ends[index] else discount * later)
        total[index] = later
    return total


@keras.saving.register_keras_serializable(package="instruction_following")
class PlayingAgent(PolicyAgent):
    """Learns from episodes that it plays; each state's reward is its own."""

    def begin(self, config: "Config") -> "PlayingAgent":
        # Keras would track what is an attribute of a model.
        object.__setattr__(self, "_playing", Playing(self, config))
        return self

    @property
    def playing(self) -> Playing:
        return self.__dict__["_playing"]

    def train_step(self, data):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        names = [*x, *y]
        arrays = tf.py_function(
            lambda *values: self._played(
                dict(zip(names, (v.numpy() for v in values), strict=True)),
                list(x),
            ),
            [*x.values(), *y.values()],
            list(TYPES.values()),
        )
        made = dict(zip(TYPES, arrays, strict=True))
        for name, value in made.items():
            shape = self.input[name].shape[1:] if name in self.input else ()
            value.set_shape((None, *shape))
        inputs = {name: made.pop(name) for name in self.input}
        return super().train_step((inputs, made))

    def _played(self, values: dict, given: list[str]) -> list[np.ndarray]:
        x = {name: values[name] for name in given}
        playing = self.playing
        teach = playing.epoch < playing.config.warm_start
        met = playing.episodes(x, values, teach)
        lessons = met | self.lessons(met, values, teach)
        return [np.asarray(lessons[name], kind) for name, kind in TYPES.items()]

    def lessons(self, met: dict, y: dict, teach: bool) -> dict:
        config = self.playing.config
        block, direction = split_action(met["action"], config.rules)
        paid = met["paid"]
        if teach:
            block = y["moving"][met["episode"]]
            paid = np.ones_like(paid)
        elif config.learning == "reinforce":
            paid = returns(paid, met["ends"], 1.0)
        counts = (direction < 4) | teach | config.published_gradient
        return {
            "block": block,
            "direction": direction,
            "block_counts": counts,
            "reward": paid,
            "explores": np.full(len(paid), not teach),
        }


TYPES = {
    "picture": "float32",
    "text": "int32",
    "previous_direction": "int32",
    "previous_block": "int32",
    "block": "int32",
    "direction": "int32",
    "block_counts": "float32",
    "reward": "float32",
    "explores": "float32",
}


@keras.saving.register_keras_serializable(package="instruction_following")
class ValueAgent(PlayingAgent):
    """Deep Q-learning: the value of an action is its reward and what follows.

    Transitions go into a memory; each step learns from some of them, towards
    values of a network that is copied now and then. The memory is not kept
    when training stops and goes on.
    """

    def begin(self, config: "Config") -> "ValueAgent":
        playing = ValuePlaying(self, config)
        object.__setattr__(self, "_playing", playing)
        return self

    def lessons(self, met: dict, y: dict, teach: bool) -> dict:
        return self.playing.remembered(met)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        stop = y_pred["values"].shape[1] - 1
        move = 4 * y["block"] + y["direction"]
        action = ops.where(y["direction"] == 4, stop, move)
        chosen = ops.take_along_axis(y_pred["values"], action[:, None], axis=1)[
            :, 0
        ]
        return keras.losses.huber(y["reward"], chosen)


class ValuePlaying(Playing):
    def __init__(self, model: keras.Model, config: "Config") -> None:
        super().__init__(model, config)
        self.memory: dict[str, np.ndarray] | None = None
        self.target = keras.models.clone_model(model)
        self.target.set_weights(model.get_weights())
        self.aimed_at = tf.function(
            lambda inputs: self.target(inputs, training=False)["values"],
            reduce_retracing=True,
        )

    def chooser(self, world, ways, rng, teach):
        done = 2 * self.epoch / max(1, self.config.epochs)
        chance = max(EXPLORE[1], EXPLORE[0] - done * (EXPLORE[0] - EXPLORE[1]))
        # Its memory starts with demonstrations, as other agents do.
        if teach:
            return super().chooser(world, ways, rng, teach)

        def choose(scores: np.ndarray) -> np.ndarray:
            best = policy.greedy(scores, rng)
            any_one = rng.integers(scores.shape[1], size=len(scores))
            return np.where(rng.random(len(scores)) < chance, any_one, best)

        return choose

    def remembered(self, met: dict) -> dict[str, np.ndarray]:
        """Adds what was met to the memory and draws from it."""
        text = met["text"]
        wide = np.zeros((len(text), self.config.text_length), "int32")
        wide[:, : text.shape[1]] = text
        following = {
            f"next_{name}": np.roll(met[name], -1, axis=0)
            for name in ("picture", "previous_direction", "previous_block")
        }
        new = met | {"text": wide} | following
        if self.memory is not None:
            new = {
                name: np.concatenate([self.memory[name], value])
                for name, value in new.items()
            }
        self.memory = {k: v[-self.config.memory :] for k, v in new.items()}
        rng = self.rng()
        count = len(self.memory["paid"])
        rows = rng.integers(count, size=LEARN_FROM)
        drawn = {name: value[rows] for name, value in self.memory.items()}
        block, direction = split_action(drawn["action"], self.config.rules)
        ones = np.ones(len(rows))
        return drawn | {
            "block": block,
            "direction": direction,
            "reward": drawn["paid"] + self.later(drawn),
            "block_counts": ones,
            "explores": ones,
        }

    def later(self, drawn: dict) -> np.ndarray:
        if int(self.model.optimizer.iterations) % COPY_EVERY == 0:
            self.target.set_weights(self.model.get_weights())
        names = ("picture", "previous_direction", "previous_block")
        inputs = {n: tf.convert_to_tensor(drawn[f"next_{n}"]) for n in names}
        inputs["text"] = tf.convert_to_tensor(drawn["text"])
        best = self.aimed_at(inputs).numpy().max(axis=1)
        return np.where(drawn["ends"], 0.0, DISCOUNT * best)
