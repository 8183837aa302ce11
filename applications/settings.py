"""The settings that every task has: types, bounds, JSON.

pydantic holds every field to its type and bounds wherever a config is made:
on the command line, from JSON, in a search, by `dataclasses.replace`.
"""

import dataclasses
import difflib
import inspect
import json
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from typing import Any
from typing import Literal
from typing import Protocol
from typing import TypeVar

import pydantic
import tyro
from pydantic import AfterValidator
from pydantic import Field

# Single precision takes what is smaller for 0 before long.
SMALL, LARGE = 1e-12, 1e9
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
NonNegativeInt = Annotated[int, Field(ge=0, le=2**31 - 1)]
Size = Annotated[int, Field(ge=1, le=4096)]
"""Filters, units, pixels: an axis of a tensor."""
Depth = Annotated[int, Field(ge=1, le=100)]
"""Things that follow each other in a network."""
NonNegative = Annotated[float, Field(ge=0, le=LARGE)]
Positive = Annotated[float, Field(ge=SMALL, le=LARGE)]
Share = Annotated[float, Field(ge=0, lt=1)]
"""A part of a whole, which is never all of it."""


def _different(values: tuple) -> tuple:
    if len(set(values)) < len(values):
        raise ValueError("must not hold the same value twice")
    return values


def _folder_name(name: str) -> str:
    wrong = not name.isprintable() or set(name) & set("/\\")
    if wrong or not name or name.startswith(".") or len(name.encode()) > 200:
        raise ValueError(
            "must be the name of one folder, up to 200 characters that can be "
            "printed, and not start with a dot"
        )
    return name


FolderName = Annotated[str, AfterValidator(_folder_name)]
# An empty path would be the folder that one is in.
Place = Annotated[str, Field(min_length=1, pattern="^[^\\x00]*$")]


Depths = Annotated[tuple[Depth, ...], Field(min_length=1, max_length=100)]
Sizes = Annotated[tuple[Size, ...], Field(min_length=1, max_length=100)]
Names = Annotated[tuple[str, ...], AfterValidator(_different)]
FolderNames = Annotated[tuple[FolderName, ...], AfterValidator(_different)]
Numbers = Annotated[tuple[Count, ...], AfterValidator(_different)]
"""Numbers from 1, each at most once: of stages, of branches."""

# Nothing is converted: the text "3" and the truth value True are no numbers.
_STRICT = pydantic.ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def _hint(bounds: str) -> Any:
    return tyro.conf.arg(
        help_behavior_hint=lambda default: f"({bounds}; default: {default})"
    )


def in_words(schema: dict[str, Any]) -> str:
    """The bounds of a JSON schema; "" where there are none worth saying."""
    if "anyOf" in schema:
        return in_words(schema["anyOf"][0])
    if "items" in schema:
        words = in_words(schema["items"])
        if schema.get("minItems"):
            words = f"one or more, {words}".removesuffix(", ")
        return words
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None and "exclusiveMinimum" not in schema:
        return ""
    start = f"{low:g}" if low is not None else "more than 0"
    if "exclusiveMaximum" in schema:
        return f"{start} to less than {schema['exclusiveMaximum']:g}"
    if high is None or high >= LARGE:
        return "more than 0" if low in (None, SMALL) else f"{start} or more"
    return f"{start} to {high:g}"


def settings(config_class: type) -> type:
    """Makes a class a frozen dataclass whose fields are validated.

    Their bounds are told by the help of the command line too.
    """
    fields = config_class.__annotations__
    for name, kind in fields.items():
        if bounds := in_words(pydantic.TypeAdapter(kind).json_schema()):
            fields[name] = Annotated[kind, _hint(bounds)]
    make = pydantic.dataclasses.dataclass(
        frozen=True, kw_only=True, config=_STRICT
    )
    return make(config_class)


@settings
class Settings:
    """Base of every task's `Config`; a task gives the defaults it lacks."""

    name: FolderName = "default"
    """Name of the run; the same name resumes it."""
    data_dir: Place | None = None
    """Your own data; None: the embedded data."""
    runs_dir: Place = "runs"
    """Folder of the runs, as RUNS_DIR/TASK/NAME; shared by all workers."""
    epochs: Count
    """Passes over the training data; may grow to continue a run."""
    batch_size: Count
    """Examples a step, all replicas together."""
    learning_rate: Positive
    """Step size of the optimizer at its start."""
    seed: NonNegativeInt = 0
    """Of the weights, the order of the data and all random choices."""
    strategy: Literal["one", "mirrored", "multi_worker"] = "one"
    """One device, those of this machine, or several machines (TF_CONFIG)."""
    devices: Count | None = None
    """Replicas on this machine; None: all its GPUs, or one CPU."""
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    """Data type policy of the model's layers."""


Config = TypeVar("Config", bound=Settings)


class Described(Protocol):
    """A record of one way among several, such as a way of fusing."""

    name: str
    description: str


def one_of(records: Mapping[str, Described], text: str) -> Any:
    """The names of records as the type of a field, what they are as its help.

    Args:
        records: Records by name.
        text: Help that stands before their descriptions.
    """
    described = "; ".join(
        f"{record.name}: {record.description}" for record in records.values()
    )
    return Annotated[
        Literal[tuple(records)], tyro.conf.arg(help=f"{text} {described}.")
    ]


def select(
    config: Settings, builder: Callable, **arguments: Any
) -> dict[str, Any]:
    """The arguments of a builder: those given, and settings of their names.

    Args:
        config: A task's config; of its fields only the task's own count.
        builder: A function.
        **arguments: What the settings do not say, or not as they are.
    """
    own = {field.name for field in dataclasses.fields(config)}
    own -= {field.name for field in dataclasses.fields(Settings)}
    return {
        name: getattr(config, name)
        for name in inspect.signature(builder).parameters
        if name in own
    } | arguments


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

    Without `start` it comes from the defaults of the class.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{source} must hold a JSON object of settings")
    known = [field.name for field in dataclasses.fields(config_class)]
    if unknown := sorted(set(values) - set(known)):
        near = difflib.get_close_matches(unknown[0], known)
        raise ValueError(
            f"{source} has unknown settings: {', '.join(unknown)}; "
            + (f"is {near[0]} meant?" if near else "`train --help` lists all")
        )
    if start is not None:
        values = dataclasses.asdict(start) | values
    try:
        return pydantic.TypeAdapter(config_class).validate_json(
            json.dumps(values)
        )
    except pydantic.ValidationError as error:
        raise ValueError(f"{source}: {explain(error)}") from error


# pydantic's words, and those of the other errors of this project.
WORDS = {
    "Input should": "must",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    " after validation": "",
}


def explain(error: pydantic.ValidationError) -> str:
    """What is wrong with which settings, in one line."""
    return "; ".join(
        _explain_one(problem) for problem in error.errors(include_url=False)
    )


def _explain_one(problem: dict[str, Any]) -> str:
    name, *rest = problem["loc"] or ("",)
    where = f"{name}{''.join(f'[{index}]' for index in rest)}"
    text = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        # Of several settings together; it names them itself.
        return text
    for theirs, ours in WORDS.items():
        text = text.replace(theirs, ours)
    separator = "" if text.startswith("must") else ":"
    return f"{where}{separator} {text}, received {problem['input']!r}"
