"""What agents learn from: demonstrations, or the rewards of their actions.

Each is a functional `keras.Model` with a loss of its own, so that `fit` drives
them all. With learning from rewards, a step of training plays a batch of
episodes with the policy as it is and learns from its transitions.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from applications.instruction_following import policy
from applications.instruction_following.batched_world import BatchedWorld
from applications.instruction_following.config import Config
from applications.instruction_following.demonstrations import Demonstrations
from applications.instruction_following.memory import Memory
from applications.instruction_following.players import PolicyPlayer
from applications.instruction_following.rewards import LOW_POTENTIAL
from applications.instruction_following.rewards import Shaping
from applications.instruction_following.rewards import demonstration_potential
from applications.instruction_following.rewards import reward
from applications.instruction_following.rules import split_action

DISCOUNT = 0.95
# Of a random action of "dqn", at first and from the middle on.
EXPLORATION_RATES = (1.0, 0.1)
# Steps of training between two copies into the target network of "dqn".
TARGET_UPDATE_STEPS = 100
# Transitions that "dqn" learns from in a step.
REPLAY_BATCH_SIZE = 128


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
        board = {name: inputs[name] for name in ("places", "on_board", "text")}
        return seen | self.get_layer("reading")(board, training=training)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        loss = ops.mean(_crossentropy(y["source"], y_pred["source"]))
        loss = loss + ops.mean(_crossentropy(y["goal"], y_pred["goal"]))
        if "cells" not in y:
            return loss
        cells = ops.mean(_crossentropy(y["cells"], y_pred["cells"]))
        error = ops.abs(y_pred["positions"] - y["positions"])
        error = ops.mean(error * y["present"][..., None])
        return loss + self.position_weight * (cells + error)


@keras.saving.register_keras_serializable(package="instruction_following")
class PolicyAgent(keras.Model):
    """Likelihood of actions times their rewards, and entropy.

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
        surprise = _crossentropy(y["direction"], direction)
        surprise += y["block_counts"] * _crossentropy(y["block"], block)
        loss = y["reward"] * surprise
        if self.entropy_weight:
            entropy_of = (
                policy.published_entropy
                if self.published_gradient
                else policy.entropy
            )
            entropy = entropy_of(direction, block)
            loss = loss - self.entropy_weight * y["explores"] * entropy
        if self.goal_weight and "goal" in y_pred and "goal" in y:
            goal = _crossentropy(y["goal"], y_pred["goal"])
            loss = loss + self.goal_weight * goal
        return ops.mean(loss)


class Rollout:
    """Plays a model's episodes; its state is no part of the model's."""

    def __init__(self, model: keras.Model, config: Config) -> None:
        self.model = model
        self.config = config
        self.epoch = 0
        self.memory = Memory(config.memory, config.text_length)
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

    def episodes(
        self, x: dict, y: dict, imitate: bool
    ) -> dict[str, np.ndarray]:
        """Plays a batch of episodes; their transitions, one after another."""
        config, rules, rng = self.config, self.config.rules, self.rng()
        world = BatchedWorld(rules, y["start"], y["target"])
        demonstrations = Demonstrations(y["points"], y["actions"], y["length"])
        player = PolicyPlayer(
            lambda inputs: self.scores(
                {k: tf.convert_to_tensor(v) for k, v in inputs.items()}
            ).numpy(),
            config,
            x["text"],
            self.chooser(world, demonstrations, rng, imitate),
        )
        shaping = Shaping(
            "distance" in config.shaping, "demonstration" in config.shaping
        )
        potential = np.full(len(world.rows), LOW_POTENTIAL)
        transitions = []
        while not world.done.all():
            live = np.flatnonzero(~world.done)
            position = world.positions[world.rows, y["moving"]]
            actions = player(world)
            outcome = world.step(actions)
            new = demonstration_potential(
                position, actions, demonstrations, rules
            )
            rewards, potential = reward(outcome, new, potential, shaping)
            transitions.append(
                player.seen
                | {
                    "episode": live,
                    "action": actions[live],
                    "reward": rewards[live],
                    "ends": world.done[live],
                }
            )
        return joined(transitions)

    def replayed(self, lesson: dict) -> dict[str, np.ndarray]:
        """Remembers what was demonstrated and draws from all that was."""
        self.memory.add(lesson)
        count = min(self.config.warm_start_replay, len(self.memory))
        order = self.rng().permutation(len(self.memory))
        return self.memory.at(order[:count])

    def chooser(self, world, demonstrations, rng, imitate):
        if imitate:
            # Live worlds all are at the same time.
            return lambda scores: demonstrations.actions[
                ~world.done, world.time.max()
            ]
        return lambda scores: policy.sampled(scores, rng)


def joined(transitions: list[dict]) -> dict[str, np.ndarray]:
    """Those of all times in one, episode by episode, then by time."""
    whole = {
        name: np.concatenate([at_a_time[name] for at_a_time in transitions])
        for name in transitions[0]
    }
    order = np.argsort(whole["episode"], kind="stable")
    return {name: value[order] for name, value in whole.items()}


def returns(
    rewards: np.ndarray, ends: np.ndarray, discount: float
) -> np.ndarray:
    """The sum of each state's and all later rewards of its episode."""
    totals, total = np.empty_like(rewards), 0.0
    for index in range(len(rewards) - 1, -1, -1):
        total = rewards[index] + (0.0 if ends[index] else discount * total)
        totals[index] = total
    return totals


@keras.saving.register_keras_serializable(package="instruction_following")
class RolloutAgent(PolicyAgent):
    """Learns from episodes that it plays; each state's reward is its own."""

    def begin(self, config: Config) -> "RolloutAgent":
        # Keras would track what is an attribute of a model.
        object.__setattr__(self, "_rollout", Rollout(self, config))
        return self

    @property
    def rollout(self) -> Rollout:
        return self.__dict__["_rollout"]

    def train_step(self, data):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        names = [*x, *y]
        arrays = tf.py_function(
            lambda *values: self._rolled_out(
                dict(zip(names, (v.numpy() for v in values), strict=True)),
                list(x),
            ),
            [*x.values(), *y.values()],
            list(TYPES.values()),
        )
        targets = dict(zip(TYPES, arrays, strict=True))
        for name, value in targets.items():
            shape = self.input[name].shape[1:] if name in self.input else ()
            value.set_shape((None, *shape))
        inputs = {name: targets.pop(name) for name in self.input}
        return super().train_step((inputs, targets))

    def _rolled_out(self, values: dict, inputs: list[str]) -> list[np.ndarray]:
        x = {name: values[name] for name in inputs}
        rollout = self.rollout
        imitate = rollout.epoch < rollout.config.warm_start
        transitions = rollout.episodes(x, values, imitate)
        batch = transitions | self.targets(transitions, values, imitate)
        config = rollout.config
        if imitate and config.warm_start_replay and config.learning != "dqn":
            batch = rollout.replayed(batch)
        return [np.asarray(batch[name], kind) for name, kind in TYPES.items()]

    def targets(self, transitions: dict, y: dict, imitate: bool) -> dict:
        config = self.rollout.config
        block, direction = split_action(transitions["action"], config.rules)
        rewards = transitions["reward"]
        if imitate:
            block = y["moving"][transitions["episode"]]
            rewards = np.ones_like(rewards)
        elif config.learning == "reinforce":
            rewards = returns(rewards, transitions["ends"], 1.0)
        counts = (direction < 4) | imitate | config.published_gradient
        return {
            "block": block,
            "direction": direction,
            "block_counts": counts,
            "reward": rewards,
            "explores": np.full(len(rewards), not imitate),
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
class ValueAgent(RolloutAgent):
    """Deep Q-learning: the value of an action is its reward and what follows.

    Transitions go into a memory; each step learns from some of them, towards
    values of a network that is copied now and then.
    """

    def begin(self, config: Config) -> "ValueAgent":
        rollout = ReplayRollout(self, config)
        object.__setattr__(self, "_rollout", rollout)
        return self

    def targets(self, transitions: dict, y: dict, imitate: bool) -> dict:
        return self.rollout.replayed(transitions)

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


class ReplayRollout(Rollout):
    def __init__(self, model: keras.Model, config: Config) -> None:
        super().__init__(model, config)
        self.target = keras.models.clone_model(model)
        self.target.set_weights(model.get_weights())
        self.target_values = tf.function(
            lambda inputs: self.target(inputs, training=False)["values"],
            reduce_retracing=True,
        )

    def chooser(self, world, demonstrations, rng, imitate):
        done = 2 * self.epoch / max(1, self.config.epochs)
        first, last = EXPLORATION_RATES
        rate = max(last, first - done * (first - last))
        # Its memory starts with demonstrations, as other agents do.
        if imitate:
            return super().chooser(world, demonstrations, rng, imitate)

        def choose(scores: np.ndarray) -> np.ndarray:
            best = policy.greedy(scores, rng)
            uniform = rng.integers(scores.shape[1], size=len(scores))
            return np.where(rng.random(len(scores)) < rate, uniform, best)

        return choose

    def replayed(self, transitions: dict) -> dict[str, np.ndarray]:
        """Adds transitions to the memory and draws a batch from it."""
        following = {
            f"next_{name}": np.roll(transitions[name], -1, axis=0)
            for name in ("picture", "previous_direction", "previous_block")
        }
        self.memory.add(transitions | following)
        rows = self.rng().integers(len(self.memory), size=REPLAY_BATCH_SIZE)
        drawn = self.memory.at(rows)
        block, direction = split_action(drawn["action"], self.config.rules)
        ones = np.ones(len(rows))
        return drawn | {
            "block": block,
            "direction": direction,
            "reward": drawn["reward"] + self.bootstrap(drawn),
            "block_counts": ones,
            "explores": ones,
        }

    def bootstrap(self, drawn: dict) -> np.ndarray:
        """The discounted value of the next state, by the target network."""
        if int(self.model.optimizer.iterations) % TARGET_UPDATE_STEPS == 0:
            self.target.set_weights(self.model.get_weights())
        names = ("picture", "previous_direction", "previous_block")
        inputs = {n: tf.convert_to_tensor(drawn[f"next_{n}"]) for n in names}
        inputs["text"] = tf.convert_to_tensor(drawn["text"])
        best = self.target_values(inputs).numpy().max(axis=1)
        return np.where(drawn["ends"], 0.0, DISCOUNT * best)
