"""The command line: `python -m tuning TASK --flags`.

The flags of a search are the fields of `flags.Flags` and those of the task's
`Config`, which all its trials share.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Literal

import tyro

import applications
from applications import cli
from applications import settings
from tuning.flags import Flags

PROGRAM = "python -m tuning"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep(cli.RunCommand):
    """Score a trained exchange network at many thresholds, without training."""

    threshold: str = "1e-4:1e-1:25"
    """LEAST:MOST:COUNT, or a single value; spaced evenly as logarithms."""
    data_dir: str | None = None
    """Folder with other data; None: the data it was trained on."""
    split: Literal["test", "validation"] | None = None
    """Part of the data; None: validation if there is one, else test."""

    def __call__(self, task: str) -> None:
        from tuning import sweep

        run = self.open(task)
        sweep.sweep(run, self.threshold, self.split, self.data_dir)


VERBS = {"sweep": Sweep}


def main(arguments: list[str]) -> int:
    """Runs a command and returns its exit status."""
    return cli.reported(_dispatch, arguments)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_list_tasks())
        return 0
    name, *flags = arguments
    task = cli.load_task(name)
    if flags and not flags[0].startswith("-"):
        verb, *flags = flags
        if verb not in VERBS:
            raise ValueError(
                f"unknown verb {verb!r}; without a verb, flags begin a search; "
                f"the verbs are: {', '.join(VERBS)}"
            )
        cli.parse(VERBS[verb], flags, f"{PROGRAM} {name} {verb}")(name)
        return 0
    _search(name, task, flags, arguments)
    return 0


def _list_tasks() -> str:
    width = max(map(len, applications.TASKS))
    tasks = [
        f"  {name:{width}}  {line}" for name, line in applications.TASKS.items()
    ]
    usage = [
        f"usage: {PROGRAM} TASK [OPTIONS]         search",
        f"       {PROGRAM} TASK sweep [OPTIONS]   {Sweep.__doc__}",
        "",
        "tasks:",
    ]
    return "\n".join([*usage, *tasks])


def _search(name: str, task, flags: list[str], arguments: list[str]) -> None:
    from tuning import chief
    from tuning import search
    from tuning import workers

    start, flags = cli.starting_config(task, flags)
    if start is task.PRESETS["default"]:
        start = _start_of(name, flags, start)

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Command:
        search: tyro.conf.OmitArgPrefixes[Flags] = Flags()
        trials: tyro.conf.OmitArgPrefixes[task.Config] = start

    command = cli.parse(
        Command,
        flags,
        f"{PROGRAM} {name}",
        description=(
            f"Search the settings of {name}: {applications.TASKS[name]}. "
            "What all trials share comes from --preset NAME or --config FILE, "
            "given beside the options."
        ),
    )
    # What the environment says is checked before anything is written.
    chief.role()
    begun = search.begin(name, command.search, command.trials)
    workers.run(begun, arguments)


def _start_of(
    name: str, flags: list[str], default: settings.Settings
) -> settings.Settings:
    """The settings that a space starts from, where no preset is given."""
    from tuning import space

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    # What is wrong with it is said when all flags are parsed.
    parser.add_argument("--space", type=Path, nargs="?")
    file = parser.parse_known_args(flags)[0].space
    try:
        return space.load(name, file).start(default)
    except FileNotFoundError:
        return default
