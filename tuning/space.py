"""Search spaces: read, declared, and applied to the settings of a trial."""

import importlib.util
import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any
from typing import NamedTuple

import keras_tuner

from applications import settings
from applications.task import load_task

# Of the keys that keras-tuner's Hyperband adds to the values of a trial.
HYPERBAND_PREFIX = "tuner/"


class Objective(NamedTuple):
    direction: str
    """"max" or "min"."""
    key: str
    """Of `metrics.json`; `a.b` is key `b` of `a`."""

    def of(self, metrics: dict) -> float:
        """The score that these metrics have."""
        value = metrics
        for part in self.key.split("."):
            if not isinstance(value, dict) or part not in value:
                raise ValueError(
                    f"the objective {self.key} is not in the metrics, which "
                    f"have {', '.join(numbers(metrics))}"
                )
            value = value[part]
        if not isinstance(value, int | float):
            raise ValueError(
                f"the objective {self.key} must be a number, its value is "
                f"{value!r}"
            )
        return float(value)

    def better(self, score: float) -> float:
        """A key to sort by, the best first."""
        return -score if self.direction == "max" else score


def numbers(metrics: dict, prefix: str = "") -> dict[str, float]:
    """All numbers of nested metrics under their dotted keys."""
    flat = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            flat |= numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[prefix + name] = float(value)
    return flat


class Space:
    """What a file of a search space says."""

    def __init__(self, module: ModuleType, source: str) -> None:
        self.source = source
        for name in ("OBJECTIVE", "space"):
            if not hasattr(module, name):
                raise ValueError(
                    f"{source} must define OBJECTIVE and space(hp); it has no "
                    f"{name}"
                )
        self.objective = _objective(module.OBJECTIVE, source)
        self.start: dict[str, Any] = getattr(module, "START", {})
        self.function = module.space

    def declare(self) -> keras_tuner.HyperParameters:
        """All parameters, those under a condition included."""
        declared = keras_tuner.HyperParameters()
        self.function(declared)
        if not declared.space:
            raise ValueError(
                f"{self.source}: space(hp) asks for nothing; expected at "
                'least one parameter, such as hp.Float("learning_rate", ...)'
            )
        return declared

    def active(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values that count beside each other."""
        parameters = self._with_values(values)
        self.function(parameters)
        return {
            parameter.name: parameters.values[parameter.name]
            for parameter in parameters.space
            if parameters.is_active(parameter)
        }

    def changed(
        self, values: dict[str, Any], start: settings.Settings
    ) -> settings.Settings:
        """The config of a trial with these values."""
        changes = self.function(self._with_values(values))
        if not isinstance(changes, dict):
            raise ValueError(
                f"{self.source}: space(hp) must return a dict of settings, "
                f"received {changes!r}"
            )
        changes = {k: v for k, v in changes.items() if v is not None}
        return settings.from_json(
            json.dumps(changes), type(start), self.source, start
        )

    def _with_values(self, values: dict) -> keras_tuner.HyperParameters:
        parameters = keras_tuner.HyperParameters()
        parameters.values = {
            k: v
            for k, v in values.items()
            if not k.startswith(HYPERBAND_PREFIX)
        }
        return parameters


def _objective(text: Any, source: str) -> Objective:
    words = text.split() if isinstance(text, str) else []
    if len(words) != 2 or words[0] not in ("max", "min"):
        raise ValueError(
            f'{source}: OBJECTIVE must be "max KEY" or "min KEY", received '
            f"{text!r}"
        )
    return Objective(*words)


def load(task: str, file: Path | None) -> Space:
    """The space of a file, or the one that comes with a task."""
    if file is None:
        file = Path(str(load_task(task).__file__)).with_name("space.py")
        if not file.is_file():
            raise FileNotFoundError(
                f"no search space comes with {task}; give one as --space FILE"
            )
    if not file.is_file():
        raise FileNotFoundError(f"there is no search space {str(file)!r}")
    spec = importlib.util.spec_from_file_location(f"space_of_{task}", file)
    if spec is None or spec.loader is None:
        raise ValueError(
            f"a search space is a Python file FILE.py, received {str(file)!r}"
        )
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(
            f"{file} cannot be run ({type(error).__name__}: {error})"
        ) from error
    return Space(module, str(file))


def limits(parameter: Any) -> tuple[float, float] | None:
    """The range of a numeric parameter; None: it is a choice."""
    low = getattr(parameter, "min_value", None)
    return None if low is None else (low, parameter.max_value)


def choices(parameter: Any) -> list:
    """The values of a parameter without a range."""
    if type(parameter).__name__ == "Boolean":
        return [False, True]
    return list(getattr(parameter, "values", None) or [parameter.value])


def is_logarithmic(parameter: Any) -> bool:
    return getattr(parameter, "sampling", None) in ("log", "reverse_log")


def format_values(values: dict[str, Any]) -> str:
    """All in one line."""
    return " ".join(f"{name}={_short(v)}" for name, v in values.items())


def _short(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.3g}"
    return str(value).replace(" ", "+")
