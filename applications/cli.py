"""The command line: `python -m applications TASK VERB --flags`.

A task's flags are the fields of its `Config`; the fields of the dataclasses
below are the flags of the verbs that use a run.
"""

import argparse
import contextlib
import dataclasses
import errno
import io
import itertools
import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from typing import Literal

import pydantic
import tyro

import applications
from applications import files
from applications import settings
from applications import startup
from applications.reports import Incomplete

PROGRAM = "python -m applications"
FORMATS = ("saved_model", "onnx")
# Characters of an error that nobody foresaw.
LONGEST = 300


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunCommand:
    run: str
    """A run, by its folder or by its name under RUNS_DIR/TASK."""
    runs_dir: str = "runs"
    """Folder that holds the runs."""

    def open(self, task: str) -> Any:
        """The run, a `runs.Run`."""
        # Keras is imported after TensorFlow has been told to be quiet.
        from applications import runs

        return runs.find(task, self.run, self.runs_dir)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate(RunCommand):
    """Measure a trained run, print the table, write evaluate-SPLIT.json."""

    data_dir: str | None = None
    """Folder with other data; None: the data it was trained on."""
    split: Literal["test", "validation"] | None = None
    """Part of the data; None: test if there is one, else validation."""

    def __call__(self, task: str) -> None:
        from applications import evaluation

        evaluation.evaluate(self.open(task), self.split, self.data_dir)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict(RunCommand):
    """Write a trained run's predictions for examples without labels."""

    data_dir: str
    """Folder with the examples."""
    out: Path | None = None
    """Folder to write to; None: RUN/predictions."""

    def __call__(self, task: str) -> None:
        from applications import evaluation

        evaluation.predict(self.open(task), self.data_dir, self.out)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(RunCommand):
    """Write a trained run's model for serving and check it on a batch."""

    format: tuple[Literal[FORMATS], ...] = ("saved_model",)
    """Formats to write, each into RUN/export/FORMAT."""

    def __call__(self, task: str) -> None:
        if not self.format:
            raise ValueError(
                f"format must be one or more of {', '.join(FORMATS)}"
            )
        from applications import export

        export.export(self.open(task), self.format)


VERBS: dict[str, Callable] = {
    "evaluate": Evaluate,
    "predict": Predict,
    "export": Export,
}


def main(arguments: list[str]) -> int:
    """Runs a command and returns its exit status."""
    return reported(_dispatch, arguments)


def reported(dispatch: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Runs a command; an error becomes one line and an exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A name that cannot be printed is no reason to stop.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return dispatch(arguments)
    except pydantic.ValidationError as error:
        print(f"error: {settings.explain(error)}", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        print(f"error: {_one_line(explained(error))}", file=sys.stderr)
        return 2
    except (FloatingPointError, Incomplete) as error:
        print(f"error: {_one_line(str(error))}", file=sys.stderr)
        return 1
    except Exception as error:
        print(f"error: {_report(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130


# What to do about what the system says.
ADVICE = {
    errno.ENOSPC: "free some space: the same command goes on from there",
    errno.EDQUOT: "free some space: the same command goes on from there",
    errno.EEXIST: "move it away, or give another name",
    errno.ENOTDIR: "a folder was expected: move the file away, or give another",
    errno.EISDIR: "a file was expected: move the folder away, or give another",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EACCES: "change its permissions, or give another place",
    errno.EROFS: "give a place that can be written to",
}


def explained(error: Exception) -> str:
    """What went wrong, which file it is about, and what to do."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    advice = ADVICE.get(error.errno)
    return f"{where}{error.strerror}" + (f"; {advice}" if advice else "")


def _report(error: Exception) -> str:
    """Writes what nobody foresaw into a file of its own."""
    if files.FULL in str(error):
        return explained(OSError(errno.ENOSPC, files.FULL))
    if type(error).__name__ in ("MemoryError", "ResourceExhaustedError"):
        return "the memory is too small for this; give smaller sizes"
    with tempfile.NamedTemporaryFile(
        "w", prefix="keras-fusion-", suffix=".txt", delete=False
    ) as file:
        traceback.print_exception(error, file=file)
    text = _one_line(f"{type(error).__name__}: {error}")[:LONGEST]
    return f"{text} (this was not foreseen; where it happened: {file.name})"


def _one_line(message: str) -> str:
    return " ".join(message.split())


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_list_tasks())
        return 0
    name, *rest = arguments
    task = load_task(name)
    verbs = VERBS | getattr(task, "VERBS", {})
    if not rest or rest[0] in ("-h", "--help"):
        print(_list_verbs(name, task, verbs))
        return 0
    verb, *flags = rest
    if verb == "train":
        return _train(name, task, flags)
    if verb not in verbs:
        raise ValueError(
            f"unknown verb {verb!r} of {name}; its verbs are: "
            f"{', '.join(['train', *verbs])}"
        )
    command = parse(verbs[verb], flags, f"{PROGRAM} {name} {verb}")
    command(name)
    return 0


def load_task(name: str) -> Any:
    """Imports a task, and TensorFlow before it, without its notes."""
    applications.check_task(name)
    startup.import_tensorflow()
    from applications import task

    return task.load_task(name)


def _list_tasks() -> str:
    width = max(map(len, applications.TASKS))
    tasks = [
        f"  {name:{width}}  {line}" for name, line in applications.TASKS.items()
    ]
    usage = [f"usage: {PROGRAM} TASK VERB [OPTIONS]", "", "tasks:"]
    return "\n".join([*usage, *tasks])


def _list_verbs(name: str, task: Any, verbs: dict) -> str:
    lines = {"train": "Train a run, or continue it."}
    lines |= {
        verb: (command.__doc__ or "").strip().split("\n")[0]
        for verb, command in verbs.items()
    }
    width = max(map(len, lines))
    return "\n".join(
        [
            f"usage: {PROGRAM} {name} VERB [OPTIONS]",
            "",
            f"{name}: {applications.TASKS[name]}",
            "",
            "verbs (each with its own --help):",
            *(f"  {verb:{width}}  {line}" for verb, line in lines.items()),
            "",
            f"presets of train: {', '.join(task.PRESETS)}",
        ]
    )


def _train(name: str, task: Any, flags: list[str]) -> int:
    start, flags = starting_config(task, flags)
    config = parse(
        task.Config,
        flags,
        f"{PROGRAM} {name} train",
        default=start,
        description=(
            f"{applications.TASKS[name]}. The defaults below come from "
            "--preset NAME or --config FILE (a config.json), given beside the "
            f"options; presets: {', '.join(task.PRESETS)}."
        ),
    )
    from applications import training

    training.train(name, config)
    return 0


def starting_config(
    task: Any, flags: list[str]
) -> tuple[settings.Settings, list[str]]:
    """The config that the flags change, and the flags left to parse."""
    parser = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, exit_on_error=False
    )
    parser.add_argument("--preset")
    parser.add_argument("--config")
    try:
        given, flags = parser.parse_known_args(flags)
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from error
    if given.preset is not None and given.config is not None:
        raise ValueError("give either --preset or --config, not both")
    preset = "default" if given.preset is None else given.preset
    if preset not in task.PRESETS:
        raise ValueError(
            f"unknown preset {preset!r}; the presets are: "
            f"{', '.join(task.PRESETS)}"
        )
    start = task.PRESETS[preset]
    if given.config is not None:
        file = Path(given.config)
        if not file.is_file():
            raise FileNotFoundError(f"there is no config file {given.config!r}")
        text = files.read_text(file)
        start = settings.from_json(text, task.Config, file, start)
    return start, flags


def parse(command: Callable, flags: list[str], prog: str, **options) -> Any:
    """tyro's result; its boxed messages become a line."""
    boxed = io.StringIO()
    try:
        with contextlib.redirect_stderr(boxed):
            return tyro.cli(command, args=flags, prog=prog, **options)
    except SystemExit as stop:
        if not stop.code:
            raise
        reason = _validation_error(stop)
        text = (
            settings.explain(reason) if reason else _unboxed(boxed.getvalue())
        )
        raise ValueError(f"{text} (see {prog} --help)") from stop


def _validation_error(
    error: BaseException | None,
) -> pydantic.ValidationError | None:
    """What pydantic said before tyro put it into a box."""
    while error is not None:
        if isinstance(error, pydantic.ValidationError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _unboxed(text: str) -> str:
    """What stands between the title and the first rule of a tyro message."""
    lines = [line.strip("│| ") for line in text.splitlines()]
    # Rules and corners are of other characters where those cannot be printed.
    rules = [bool(re.match("[─╭╰]|[+-]-{4}", line)) for line in lines]
    first = rules.index(True) + 1 if True in rules else 0
    inner = itertools.takewhile(
        lambda pair: not pair[1],
        zip(lines[first:], rules[first:], strict=True),
    )
    return _one_line(" ".join(line for line, _ in inner))
