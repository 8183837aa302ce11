"""The networks, their optimizers, and what happens between epochs."""

from pathlib import Path
from typing import Any

import keras

from applications.instruction_following import scores
from applications.instruction_following.config import Config
from applications.instruction_following.goal_network import goal_network
from applications.instruction_following.goal_network import goal_places
from applications.instruction_following.learning import PlannerAgent
from applications.instruction_following.learning import PolicyAgent
from applications.instruction_following.learning import RolloutAgent
from applications.instruction_following.learning import ValueAgent
from applications.schedules import warm_up_and_cosine
from applications.settings import select
from keras_fusion import models

# Of the gradient of each weight, as published.
CLIPNORM = 5.0
WEIGHT_DECAY = 1e-4


def build_model(config: Config) -> keras.Model:
    if config.agent == "planner":
        model = _planner(config)
    else:
        model = _policy(config)
    # The published agent learns at one rate by plain Adam.
    decay = 0.0 if config.published_start else WEIGHT_DECAY
    model.compile(
        keras.optimizers.AdamW(
            config.learning_rate, weight_decay=decay, clipnorm=CLIPNORM
        )
    )
    return model


def _planner(config: Config) -> PlannerAgent:
    network = goal_network(
        config.rules,
        len(config.words) + 2,
        goal_places(config.world),
        None if "state" in config.modalities else config.resolution,
        filters=config.filters[0],
        embedding=config.word_units,
        units=config.text_units,
        peaks=config.peaks,
        dropout=config.dropout,
    )
    agent = PlannerAgent(network.input, network.output, name="planner")
    agent.position_weight = config.position_weight
    return agent


def _policy(config: Config) -> PolicyAgent:
    network = models.instruction_agent(
        **select(
            config,
            models.instruction_agent,
            num_blocks=config.rules.num_blocks,
            num_words=len(config.words) + 2,
            picture_shape=(
                *(config.resolution, config.resolution),
                3 * config.frames,
            ),
            goal=config.goal_weight > 0,
        )
    )
    if config.learning == "dqn":
        joint = network.get_layer("joint").output
        values = keras.layers.Dense(config.rules.num_actions, name="values")
        agent = ValueAgent(network.input, {"values": values(joint)}, name="dqn")
        return agent.begin(config)
    supervised = config.learning == "supervised"
    agent_class = PolicyAgent if supervised else RolloutAgent
    agent = agent_class(network.input, network.output, name="policy")
    agent.entropy_weight = config.entropy
    agent.published_gradient = config.published_gradient
    agent.goal_weight = config.goal_weight
    return agent if supervised else agent.begin(config)


def learning_rate_at(epoch: int, config: Config) -> float:
    """Constant as published, or warm-up and half a cosine.

    Learning from rewards may begin with demonstrations at a rate of their own.
    """
    warming = config.learning != "supervised" and epoch < config.warm_start
    if warming and config.warm_start_rate is not None:
        return config.warm_start_rate
    if config.published_start or config.learning != "supervised":
        return config.learning_rate
    return warm_up_and_cosine(epoch, config.epochs, config.learning_rate)


class RolloutSchedule(keras.callbacks.Callback):
    """Tells an agent that plays episodes which epoch it is.

    After the demonstrations its direction head may start anew, as published:
    what it has learned there it would hardly explore against. With a rate of
    their own the demonstrations have their own optimizer: then it forgets.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        config = self.config
        self.model.rollout.epoch = epoch
        resets = config.reset_direction and config.learning != "dqn"
        if resets and 0 < epoch == config.warm_start:
            head = self.model.get_layer("direction")
            head.kernel.assign(
                head.kernel_initializer(head.kernel.shape, head.kernel.dtype)
            )
            head.bias.assign(0 * head.bias)
        own_optimizer = config.warm_start_rate is not None
        if own_optimizer and 0 < epoch == config.warm_start:
            for variable in self.model.optimizer.variables:
                if variable.name != "learning_rate":
                    variable.assign(keras.ops.zeros_like(variable))


class Distance(keras.callbacks.Callback):
    """Adds how a batch of validation episodes ends to the logs."""

    def __init__(self, config: Config, batch: Any, every: int) -> None:
        super().__init__()
        self.config = config
        self.batch = batch
        self.every = every

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if (epoch + 1) % self.every or logs is None:
            return
        played = scores.played(self.model, [self.batch], self.config)
        logs["val_end_distance"] = played.distance.mean()
        logs["val_success"] = scores.successes(played).mean()


def callbacks(
    config: Config, batch: Any, run_dir: Path
) -> list[keras.callbacks.Callback]:
    chosen: list[keras.callbacks.Callback] = [
        keras.callbacks.LearningRateScheduler(
            lambda epoch: learning_rate_at(epoch, config)
        ),
        Distance(config, batch, max(1, config.epochs // 20)),
    ]
    if config.learning != "supervised":
        chosen.append(RolloutSchedule(config))
    return chosen
