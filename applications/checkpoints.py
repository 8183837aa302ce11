"""The state of a training after an epoch, whole or not there at all.

A checkpoint is a folder `checkpoints/epoch-00012` with the model's and the
optimizer's variables, and `state.json` with the epoch, the history so far and
the states of the random generators, which Keras leaves out of weights files.
"""

import hashlib
import shutil
import warnings
from pathlib import Path
from typing import Any
from typing import NamedTuple

import keras

from applications import files

KEPT = 2


class State(NamedTuple):
    epoch: int
    """Complete epochs."""
    history: list[dict]
    """A row an epoch: its number and the logs of `fit`."""
    clock: dict[str, Any]
    """`wall_seconds` and `seconds_per_step` of the training so far."""


def save(folder: Path, model: keras.Model, state: State) -> None:
    with files.replacing(folder / f"epoch-{state.epoch:05d}") as temporary:
        temporary.mkdir()
        model.save_weights(temporary / "model.weights.h5")
        content = state._asdict() | {
            "random": _random_states(model),
            "sha256": _sha256(temporary / "model.weights.h5"),
        }
        files.write_json(temporary / "state.json", content)
    for path in complete(folder)[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


def complete(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest first."""
    return sorted(folder.glob("epoch-*"), reverse=True)


def restore(folder: Path, model: keras.Model) -> State | None:
    """Sets the model to its newest readable checkpoint."""
    problems = []
    for path in complete(folder):
        try:
            return _load(path, model)
        # A damaged file may raise anything.
        except Exception as error:
            problems.append(f"{path.name}: {error}")
    if problems:
        raise ValueError(
            f"no checkpoint in {folder} is readable ({'; '.join(problems)}); "
            "remove the run's folder, or train under another --name"
        )
    return None


def _load(path: Path, model: keras.Model) -> State:
    content = files.read_json(path / "state.json")
    random_states = content.pop("random")
    if content.pop("sha256") != _sha256(path / "model.weights.h5"):
        raise ValueError("its weights are not those that were saved")
    state = State(**content)
    if model.optimizer is not None and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    with warnings.catch_warnings():
        # Keras goes on with a warning where an optimizer does not fit.
        warnings.simplefilter("error", UserWarning)
        model.load_weights(path / "model.weights.h5")
    generators = _random_variables(model)
    for variable, value in zip(generators, random_states, strict=True):
        variable.assign(value)
    return state


def _sha256(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _random_states(model: keras.Model) -> list:
    return [
        keras.ops.convert_to_numpy(variable).tolist()
        for variable in _random_variables(model)
    ]


def _random_variables(model: keras.Model) -> list:
    saved = {id(variable) for variable in model.weights}
    saved |= {id(variable) for variable in model.metrics_variables}
    return [
        variable for variable in model.variables if id(variable) not in saved
    ]
