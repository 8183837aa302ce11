from typing import Any

import keras
from keras import ops

from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class InversePowerDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that falls as a power of the step, and never to zero.

        rate = initial_rate * (1 + decay * step)^-power

    As a multiplier of `MultiRateSGD` it is how the companion classifiers of
    deeply-supervised nets fade: their own learning rate falls, while their
    losses keep their weight.

    Args:
        initial_rate: Float, the rate of step 0.
        decay: Float, at least 0. Defaults to `1e-4`, as published.
        power: Float, at least 0. Defaults to `0.75`, as published.

    Raises:
        ValueError: If `decay` or `power` is negative.

    Example:

    >>> rate = keras_fusion.optimizers.InversePowerDecay(0.001)
    >>> [round(1e6 * float(rate(step))) for step in (0, 10_000, 50_000)]
    [1000, 595, 261]

    Reference:

    - [Lee et al., 2015](https://arxiv.org/abs/1409.5185), in its released
      solver
    """

    def __init__(
        self, initial_rate: float, decay: float = 1e-4, power: float = 0.75
    ) -> None:
        super().__init__()
        if decay < 0 or power < 0:
            raise ValueError(
                "`decay` and `power` must be at least 0, or the rate grows. "
                f"Received: decay={decay}, power={power}"
            )
        self.initial_rate = initial_rate
        self.decay = decay
        self.power = power

    def __call__(self, step: Tensor) -> Tensor:
        grown = 1 + self.decay * ops.cast(step, "float32")
        return self.initial_rate * ops.power(grown, -self.power)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_rate": self.initial_rate,
            "decay": self.decay,
            "power": self.power,
        }
