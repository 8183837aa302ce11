import re
from typing import Any

import keras

from keras_fusion.types import Tensor

Schedule = keras.optimizers.schedules.LearningRateSchedule
Factor = Any
"""A float, or a `Schedule` of the step."""


def rate_factors(
    multipliers: dict[str, Factor], paths: list[str]
) -> list[Factor]:
    """Returns the factor of each path: that of the first match, or 1."""
    for pattern in multipliers:
        if not any(re.search(pattern, path) for path in paths):
            raise ValueError(
                "Each pattern in `multipliers` must match a weight. "
                f"Received: {pattern!r}, which matches none of {paths}"
            )
    return [
        next(
            (
                factor
                for pattern, factor in multipliers.items()
                if re.search(pattern, path)
            ),
            1.0,
        )
        for path in paths
    ]


class _MultiRate:
    """What both optimizers add to Keras's: a factor for each variable.

    It stands in front of one of Keras's optimizers, whose methods it extends.
    """

    def __init__(
        self,
        *args: Any,
        multipliers: dict[str, Factor] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.multipliers = {
            pattern: as_factor(value)
            for pattern, value in (multipliers or {}).items()
        }

    def build(self, variables: list[keras.Variable]) -> None:
        self._paths = [variable.path for variable in variables]
        self._factors = rate_factors(self.multipliers, self._paths)
        super().build(variables)  # type: ignore[misc]

    def change_multipliers(self, multipliers: dict[str, Factor]) -> None:
        """Replaces the factors, in the middle of a training too.

        A step that is compiled keeps the old ones: make it anew, with
        `model.make_train_function(force=True)`.
        """
        if self.built:  # type: ignore[attr-defined]
            self._factors = rate_factors(multipliers, self._paths)
        self.multipliers = dict(multipliers)

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Any
    ) -> None:
        index = self._get_variable_index(variable)  # type: ignore[attr-defined]
        factor = self._factors[index]
        if isinstance(factor, Schedule):
            factor = factor(self.iterations)  # type: ignore[attr-defined]
        rate = learning_rate * factor
        super().update_step(gradient, variable, rate)  # type: ignore[misc]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()  # type: ignore[misc]
        multipliers = {
            pattern: keras.optimizers.schedules.serialize(factor)
            if isinstance(factor, Schedule)
            else factor
            for pattern, factor in self.multipliers.items()
        }
        return {**config, "multipliers": multipliers}


def as_factor(value: Factor | dict[str, Any]) -> Factor:
    if isinstance(value, dict):
        return keras.optimizers.schedules.deserialize(value)
    return value


@keras.saving.register_keras_serializable(package="keras_fusion")
class MultiRateSGD(_MultiRate, keras.optimizers.SGD):
    """`keras.optimizers.SGD` with a learning rate for each group of weights.

    The learning rate of a weight is `learning_rate` times the factor of the
    first pattern found in the weight's path (`layer/sublayer/name`); other
    weights have factor 1.

    Args:
        l2: Float. Added to the gradient as `l2 * weight` before momentum, for
            every weight, as other frameworks understand weight decay. Keras's
            own `weight_decay` shrinks the weight apart from momentum.
            Defaults to `0`.
        multipliers: Dict from a regular expression to a float, or to a
            `keras.optimizers.schedules.LearningRateSchedule` of the step.
            Defaults to none. `change_multipliers` replaces them.

    All other arguments are those of `keras.optimizers.SGD`.

    Raises:
        ValueError: If a pattern matches no weight.

    Example:

    >>> optimizer = keras_fusion.optimizers.MultiRateSGD(
    ...     0.1, multipliers={"bias$": 2.0}
    ... )
    >>> dense = keras.layers.Dense(1, use_bias=True)
    >>> dense.build((None, 1))
    >>> kernel = float(dense.kernel[0, 0])
    >>> optimizer.apply(
    ...     [keras.ops.ones((1, 1)), keras.ops.ones((1,))],
    ...     dense.trainable_variables,
    ... )
    >>> round(kernel - float(dense.kernel[0, 0]), 4)
    0.1
    >>> round(float(dense.bias[0]), 4)
    -0.2
    """

    def __init__(self, *args: Any, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.l2 = l2

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Any
    ) -> None:
        if self.l2:
            gradient = gradient + self.l2 * variable
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l2": self.l2}


@keras.saving.register_keras_serializable(package="keras_fusion")
class MultiRateAdamW(_MultiRate, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` with a learning rate for groups of weights.

    The learning rate of a weight is `learning_rate` times the factor of the
    first pattern found in the weight's path (`layer/sublayer/name`); other
    weights have factor 1. Weight decay keeps the common learning rate.

    Args:
        multipliers: Dict from a regular expression to a float, or to a
            `keras.optimizers.schedules.LearningRateSchedule` of the step.
            Defaults to none. `change_multipliers` replaces them.

    All other arguments are those of `keras.optimizers.AdamW`.

    Raises:
        ValueError: If a pattern matches no weight.

    Example:

    >>> optimizer = keras_fusion.optimizers.MultiRateAdamW(
    ...     1e-3, weight_decay=1e-4, multipliers={"ensemble/alpha": 10.0}
    ... )
    """
