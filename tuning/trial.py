"""One trial: a training in a process of its own.

What a training leaves behind ends with its process: memory, graphs, a crash.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from applications import runs
from applications import settings
from tuning import child
from tuning.search import Search
from tuning.space import OWN_KEY

FINISHED = ("completed", "failed")


class TrialFailed(Exception):
    """A trial ended without a result; the search goes on."""


def run(search: Search, name: str, values: dict[str, Any]) -> dict:
    """Trains a trial, or goes on with it, and returns its metrics.

    `values` may hold Hyperband's keys: the trial then starts from the weights
    of an earlier one and is trained for as long as they say.
    """
    folder = search.folder / name
    record = {
        "values": search.space.active(values),
        "status": "running",
        "continues": values.get(f"{OWN_KEY}trial_id"),
    }
    known = read(folder)
    if known.get("status") in FINISHED and known["values"] == record["values"]:
        return _result(known, folder)
    config = search.config(name, values, values.get(f"{OWN_KEY}epochs"))
    runs.write_json(folder / "trial.json", record)
    _inherit(search.folder, record["continues"], folder)
    if not (folder / "metrics.json").is_file():
        record |= _train(search.task, config, folder)
    if record["status"] == "running":
        record |= _scored(search, folder)
    runs.write_json(folder / "trial.json", record)
    return _result(record, folder)


def read(folder: Path) -> dict:
    """The trial that is recorded in a folder, if there is one."""
    file = folder / "trial.json"
    return runs.read_json(file) if file.is_file() else {}


def _result(record: dict, folder: Path) -> dict:
    if record["status"] == "failed":
        raise TrialFailed(record["message"])
    return runs.read_json(folder / "metrics.json")


def _inherit(home: Path, earlier: str | None, folder: Path) -> None:
    """Takes over the checkpoints of an earlier trial, once."""
    own = folder / "checkpoints"
    if earlier is None or own.exists():
        return
    with runs.replacing(own) as temporary:
        shutil.copytree(home / earlier / "checkpoints", temporary)


def _train(task: str, config: settings.Settings, folder: Path) -> dict:
    """What is to be recorded of a training that failed."""
    given = folder / "given.json"
    runs.write(given, settings.to_json(config))
    output = folder / "output.txt"
    with open(output, "a", encoding="utf-8") as file:
        status = child.start(
            ["applications", task, "train", "--config", str(given)],
            stdout=file,
            stderr=subprocess.STDOUT,
        ).wait()
    if status == 130:
        raise KeyboardInterrupt
    # The metrics are a run's last file: it may stumble over what it likes then.
    if not (folder / "metrics.json").is_file():
        return {"status": "failed", "message": _reason(status, output)}
    return {}


def _reason(status: int, output: Path) -> str:
    """The error that a training ended with, else its last words."""
    text = output.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in re.split(r"[\r\n\b]+", text) if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    said = (errors or lines or ["nothing was said"])[-1]
    ended = f"signal {-status}" if status < 0 else f"status {status}"
    return f"ended with {ended}: {said.removeprefix('error: ')}"


def _scored(search: Search, folder: Path) -> dict:
    metrics = runs.read_json(folder / "metrics.json")
    return {
        "status": "completed",
        "score": search.space.objective.of(metrics),
    }
