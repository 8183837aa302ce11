"""One trial: a training in a process of its own, and what came of it.

What a training leaves behind ends with its process: memory, graphs, a crash.
"""

import dataclasses
import math
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any
from typing import Literal

import pydantic

from applications import files
from applications import settings
from tuning import child
from tuning import damage
from tuning.objective import numbers
from tuning.parameters import HYPERBAND_PREFIX
from tuning.parameters import format_values
from tuning.progress import say
from tuning.search import Search


@pydantic.dataclasses.dataclass(
    frozen=True, config=pydantic.ConfigDict(strict=True, extra="forbid")
)
class Trial:
    name: str
    values: dict[str, Any]
    """Of the parameters that count beside each other."""
    continues: str | None = None
    """An earlier trial, whose weights it started from."""
    status: Literal["running", "completed", "failed"] = "running"
    message: str = ""
    """Why it failed."""
    score: float | None = None
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    """The numbers of `metrics.json`, and those beside the score."""


def run(search: Search, name: str, values: dict[str, Any]) -> Trial:
    """Trains a trial, or goes on with it; one that has ended stays as it is.

    `values` may hold Hyperband's keys: the trial then starts from the weights
    of an earlier one and is trained for as long as they say.
    """
    trial = Trial(
        name,
        search.space.active(values),
        values.get(f"{HYPERBAND_PREFIX}trial_id"),
    )
    say(f"trial {name}: {format_values(trial.values)}")
    began = time.monotonic()
    known = read(search, name)
    if known and known.status != "running" and known.values == trial.values:
        trial = known
    else:
        epochs = values.get(f"{HYPERBAND_PREFIX}epochs")
        try:
            config = search.config(name, values, epochs)
        except ValueError as error:
            # The values that were checked at the start were others.
            trial = _failed(search, trial, str(error))
        else:
            trial = _train(search, trial, config)
    if trial.status == "failed":
        say(f"trial {name} failed: {trial.message}")
    else:
        result = f"{search.space.objective.key} {trial.score:.4f}"
        say(f"trial {name}: {result} ({time.monotonic() - began:.0f} s)")
    return trial


def read(search: Search, name: str) -> Trial | None:
    """The trial of this name, if it has begun."""
    folder = search.folder / name
    file = folder / "trial.json"
    if not file.is_file():
        return None
    with damage.told(file):
        trial = Trial(name, **files.read_json(file))
        if (trial.status == "completed") != (trial.score is not None):
            raise ValueError("a trial has a score when it is completed")
    if trial.status != "completed":
        return trial
    file = folder / "metrics.json"
    with damage.told(file):
        metrics = files.read_json(file)
        if search.space.objective.of(metrics) != trial.score:
            raise ValueError("it has not the score that trial.json has")
    return dataclasses.replace(trial, metrics=_columns(search, metrics))


def _write(search: Search, trial: Trial) -> None:
    """All of a trial but its name and metrics, which have their own places."""
    record = dataclasses.asdict(trial)
    del record["name"], record["metrics"]
    files.write_json(search.folder / trial.name / "trial.json", record)


def _columns(search: Search, metrics: dict) -> dict[str, float]:
    """Those numbers that stand by themselves or beside the objective."""
    shown = ("", search.space.objective.key.rpartition(".")[0])
    return {
        name: value
        for name, value in numbers(metrics).items()
        if name.rpartition(".")[0] in shown and name != "epochs_asked"
    }


def _train(search: Search, trial: Trial, config: settings.Settings) -> Trial:
    folder = search.folder / trial.name
    _write(search, trial)
    _inherit(search.folder, trial.continues, folder)
    message = ""
    # The metrics are a run's last file: without them it has not ended.
    file = folder / "metrics.json"
    if not file.is_file():
        damage.check_checkpoints(folder / "checkpoints")
        message = _run_command(search.task, config, folder)
    if message:
        return _failed(search, trial, message)
    with damage.told(file, "remove it, and the same command goes on"):
        metrics = files.read_json(file)
    score = search.space.objective.of(metrics)
    if not math.isfinite(score):
        key = search.space.objective.key
        return _failed(search, trial, f"its {key} is {score}, not a score")
    trial = dataclasses.replace(
        trial,
        status="completed",
        score=score,
        metrics=_columns(search, metrics),
    )
    _write(search, trial)
    return trial


def _failed(search: Search, trial: Trial, message: str) -> Trial:
    trial = dataclasses.replace(trial, status="failed", message=message)
    _write(search, trial)
    return trial


def _inherit(search_folder: Path, earlier: str | None, folder: Path) -> None:
    """Takes over the checkpoints of an earlier trial, once."""
    checkpoints = folder / "checkpoints"
    if earlier is None or checkpoints.exists():
        return
    with files.replacing(checkpoints) as temporary:
        shutil.copytree(search_folder / earlier / "checkpoints", temporary)


def _run_command(task: str, config: settings.Settings, folder: Path) -> str:
    """Trains in a process of its own; returns why that failed, or nothing."""
    config_file = folder / "given.json"
    files.write(config_file, settings.to_json(config))
    output = folder / "output.txt"
    with open(output, "a", encoding="utf-8") as file:
        status = child.start(
            ["applications", task, "train", "--config", str(config_file)],
            stdout=file,
            stderr=subprocess.STDOUT,
        ).wait()
    if status == 130:
        raise KeyboardInterrupt
    # With its metrics written, a run may end with any status.
    if (folder / "metrics.json").is_file():
        return ""
    return _reason(status, output)


def _reason(status: int, output: Path) -> str:
    """The error that a training ended with, else its last words."""
    text = output.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in re.split(r"[\r\n\b]+", text) if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    last = (errors or lines or ["no output"])[-1]
    ended = f"signal {-status}" if status < 0 else f"status {status}"
    return f"ended with {ended}: {last.removeprefix('error: ')}"
