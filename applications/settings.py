"""The settings that every task has, and their JSON form."""

import dataclasses
import json
import math
import types
import typing
from pathlib import Path
from typing import Any
from typing import Literal
from typing import TypeVar


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of every task's `Config`; a task gives the defaults it lacks."""

    name: str = "default"
    """Name of the run; the same name resumes it."""
    data_dir: str | None = None
    """Your own data; None: the embedded data."""
    runs_dir: str = "runs"
    """Folder of the runs, as RUNS_DIR/TASK/NAME; shared by all workers."""
    epochs: int
    """Passes over the training data; may grow to continue a run."""
    batch_size: int
    """Examples a step, all replicas together."""
    learning_rate: float
    """Step size of the optimizer at its start."""
    seed: int = 0
    """Of the weights, the order of the data and all random choices."""
    strategy: Literal["one", "mirrored", "multi_worker"] = "one"
    """One device, those of this machine, or several machines (TF_CONFIG)."""
    devices: int | None = None
    """Replicas on this machine; None: all its GPUs, or one CPU."""
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    """Data type policy of the model's layers."""


Config = TypeVar("Config", bound=Settings)


def check(config: Settings) -> None:
    """Raises ValueError or FileNotFoundError for values no task can use."""
    for name in ("epochs", "batch_size"):
        value = getattr(config, name)
        if value < 1:
            raise ValueError(f"{name} must be at least 1, received {value}")
    if config.devices is not None and config.devices < 1:
        raise ValueError(
            f"devices must be at least 1, received {config.devices}"
        )
    if not (math.isfinite(config.learning_rate) and config.learning_rate > 0):
        raise ValueError(
            "learning_rate must be a positive number, received "
            f"{config.learning_rate}"
        )
    if not 0 <= config.seed < 2**32:
        raise ValueError(
            f"seed must be between 0 and 2**32 - 1, received {config.seed}"
        )
    check_name(config.name)
    if config.data_dir is not None:
        check_folder(config.data_dir, "data_dir")


def check_name(name: str) -> None:
    if not name or name.startswith(".") or set(name) & set("/\\\0"):
        raise ValueError(
            "name must be the name of one folder that does not start with a "
            f"dot, received {name!r}"
        )


def check_folder(path: str | Path, field: str) -> None:
    if not Path(path).is_dir():
        raise FileNotFoundError(
            f"{field} must be an existing folder, received {str(path)!r}"
        )


def to_json(config: Settings) -> str:
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(
    text: str,
    config_class: type[Config],
    source: str | Path,
    start: Config | None = None,
) -> Config:
    """A config from a JSON object; what it lacks comes from `start`.

    Without `start` it comes from the defaults of the class. Lists become
    tuples: a config holds nothing that can change.
    """
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{source} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{source} must hold a JSON object of settings")
    known = typing.get_type_hints(config_class)
    if unknown := sorted(set(values) - set(known)):
        raise ValueError(
            f"{source} has unknown settings: {', '.join(unknown)}; known are: "
            f"{', '.join(known)}"
        )
    values = {name: _tuples(value) for name, value in values.items()}
    for name, value in values.items():
        if not _fits(value, known[name]):
            raise ValueError(
                f"{source}: {name} must be {_words(known[name])}, received "
                f"{value!r}"
            )
    if start is not None:
        return dataclasses.replace(start, **values)
    return config_class(**values)


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return value


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in arguments)
    if origin is Literal:
        return value in arguments
    if origin is typing.Annotated:
        return _fits(value, arguments[0])
    if origin is tuple:
        return isinstance(value, tuple) and _tuple_fits(value, arguments)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is None:
        return value is None
    return not isinstance(hint, type) or isinstance(value, hint)


def _tuple_fits(value: tuple, arguments: tuple) -> bool:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return all(_fits(item, arguments[0]) for item in value)
    return len(value) == len(arguments) and all(map(_fits, value, arguments))


def _words(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)
