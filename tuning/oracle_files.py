"""The files of keras-tuner's algorithms, which it reads without a look."""

import json
import math
from pathlib import Path
from typing import Any

import keras_tuner

from applications import files
from tuning import damage

STATUSES = ("RUNNING", "COMPLETED", "FAILED", "INVALID")


def check(folder: Path, fresh: dict[str, Any]) -> None:
    """Raises ValueError, which names the file, for what was never written.

    Args:
        folder: What an algorithm has written its state and its trials into.
        fresh: The state of such an algorithm at its beginning.
    """
    names = set()
    for file in sorted(folder.glob("trial_*/trial.json")):
        with damage.told(file):
            name = file.parent.name.removeprefix("trial_")
            _check_trial(files.read_json(file), name)
        names.add(name)
    file = folder / "oracle.json"
    with damage.told(file):
        state = files.read_json(file)
        _check_state(state, json.loads(json.dumps(fresh)))
        _check_names(state, names)


def _check_trial(trial: dict[str, Any], name: str) -> None:
    keras_tuner.engine.trial.Trial.from_state(trial)
    if trial["trial_id"] != name:
        raise ValueError(f"its trial_id is not {name}")
    if trial["status"] not in STATUSES:
        raise ValueError(f"status must be one of {', '.join(STATUSES)}")
    for key, value in trial["hyperparameters"]["values"].items():
        if not isinstance(value, str | int | float):
            raise ValueError(f"the value of {key} is no value")
    score = trial["score"]
    if trial["status"] == "COMPLETED" and not math.isfinite(score):
        raise ValueError("its score is not finite")


def _check_state(state: dict[str, Any], fresh: dict[str, Any]) -> None:
    for key, value in fresh.items():
        if key not in state:
            raise ValueError(f"it has no {key}")
        if value is not None and type(state[key]) is not type(value):
            raise ValueError(f"its {key} is no {type(value).__name__}")
    if state["hyperparameters"]["space"] != fresh["hyperparameters"]["space"]:
        raise ValueError("its hyperparameters are not those of search.json")


def _check_names(state: dict[str, Any], names: set[str]) -> None:
    known = [
        *state["start_order"],
        *state["end_order"],
        *state["retry_queue"],
        *state["ongoing_trials"].values(),
    ]
    if unknown := [name for name in known if name not in names]:
        raise ValueError(f"there is no trial_{unknown[0]}/trial.json")
