"""The parameters of a search space, as keras-tuner holds them."""

import math
from typing import Any

import keras_tuner

# Of the keys that keras-tuner's Hyperband adds to the values of a trial.
HYPERBAND_PREFIX = "tuner/"


def with_values(values: dict[str, Any]) -> keras_tuner.HyperParameters:
    """Parameters that have these values where a space asks for them."""
    parameters = keras_tuner.HyperParameters()
    parameters.values = {
        k: v for k, v in values.items() if not k.startswith(HYPERBAND_PREFIX)
    }
    return parameters


def wrong(parameter: Any) -> str:
    """What is wrong with a parameter and keras-tuner takes, or nothing."""
    if (ends := limits(parameter)) is None:
        return ""
    if not all(map(math.isfinite, ends)):
        return f"must have finite limits, received {ends[0]} and {ends[1]}"
    if parameter.step is not None and not parameter.step > 0:
        return f"must have a step above 0, received {parameter.step}"
    default = parameter.default
    is_number = isinstance(default, int | float)
    if not is_number or not ends[0] <= default <= ends[1]:
        return (
            f"must have a default from {ends[0]} to {ends[1]}, received "
            f"{default!r}"
        )
    return ""


def limits(parameter: Any) -> tuple[float, float] | None:
    """The range of a numeric parameter; None: it is a choice."""
    low = getattr(parameter, "min_value", None)
    return None if low is None else (low, parameter.max_value)


def choices(parameter: Any) -> list:
    """The values of a parameter without a range."""
    if type(parameter).__name__ == "Boolean":
        return [False, True]
    return list(getattr(parameter, "values", None) or [parameter.value])


def values_of(parameter: Any) -> list:
    """All values of a choice; the ends of a range."""
    return list(limits(parameter) or choices(parameter))


def is_logarithmic(parameter: Any) -> bool:
    return getattr(parameter, "sampling", None) in ("log", "reverse_log")


def format_values(values: dict[str, Any]) -> str:
    """All in one line."""
    return " ".join(f"{name}={_short(v)}" for name, v in values.items())


def _short(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.3g}"
    return str(value).replace(" ", "+")
