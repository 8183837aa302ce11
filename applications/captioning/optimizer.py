"""The published descent: momentum that rises, decay by the kind of weight."""

import re
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

# By the paper: momentum from and to, over epochs; the rate's factor an epoch.
MOMENTUM, RISE, RATE_DECAY = (0.5, 0.9), 20, 0.998
# Of weights whose path has the pattern, first of all of word tables.
DECAYS = {r"embeddings$|word_factors$|embedding_factors$": 1e-5, "": 1e-4}


@keras.saving.register_keras_serializable(package="captioning")
class DecayedMomentum(keras.optimizers.SGD):
    """Gradient descent whose momentum is a variable, and with L2 decays.

    Args:
        decays: Dict from a pattern of a weight's path to what its square is
            weighed with; the first that fits counts.
    """

    def __init__(
        self, *args: Any, decays: Mapping[str, float], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.decays = dict(decays)

    def build(self, variables: list) -> None:
        if self.built:
            return
        self._decays = [self.decay_of(variable.path) for variable in variables]
        super().build(variables)
        self.current_momentum = self.add_variable(
            (), initializer="zeros", name="current_momentum"
        )
        self.current_momentum.assign(self.momentum)

    def decay_of(self, path: str) -> float:
        for pattern, decay in self.decays.items():
            if re.search(pattern, path):
                return decay
        return 0.0

    def update_step(self, gradient, variable, learning_rate) -> None:
        gradient = ops.cast(gradient, variable.dtype)
        index = self._get_variable_index(variable)
        gradient = gradient + self._decays[index] * variable
        velocity = self.momentums[index]
        momentum = ops.cast(self.current_momentum, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype)
        step = momentum * velocity - rate * gradient
        self.assign(velocity, step)
        self.assign_add(variable, step)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "decays": self.decays}


class RisingMomentum(keras.callbacks.Callback):
    """Sets the momentum of an epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        low, high = MOMENTUM
        risen = low + (high - low) * min(1.0, epoch / RISE)
        self.model.optimizer.current_momentum.assign(risen)
