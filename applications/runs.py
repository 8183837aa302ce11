"""A run: a folder with a config, a model and what was measured of it."""

import dataclasses
import functools
import json
import os
from pathlib import Path
from typing import Any

import keras

from applications import files
from applications import settings
from applications.task import Data
from applications.task import load_data
from applications.task import load_task

# What a run is made of.
FILES = (
    "config.json",
    "data.txt",
    "history.csv",
    "metrics.json",
    "model.keras",
)
FOLDERS = ("checkpoints", "logs", "pictures")
# Fields that may differ when a run is continued: where it runs does not
# change what it computes.
MAY_DIFFER = ("runs_dir", "strategy", "devices")
# Where a trained run has gone, and how far it is to go on.
MAY_BE_EDITED = (*MAY_DIFFER, "name", "data_dir", "epochs")


class Run:
    """The folder of a run, and what is in it.

    Args:
        task_name: Name of its task.
        folder: Its folder, `RUNS_DIR/TASK/NAME`, which need not exist yet.
    """

    def __init__(self, task_name: str, folder: Path) -> None:
        self.task_name = task_name
        self.folder = folder
        self.task = load_task(task_name)

    def check_places(self) -> None:
        """Raises FileExistsError where a training could not write later."""
        files.check_places(self.folder, FOLDERS, FILES)

    @property
    def exists(self) -> bool:
        return (self.folder / "config.json").is_file()

    @functools.cached_property
    def config(self) -> Any:
        """The `Config` that it was trained with."""
        file = self.folder / "config.json"
        text = files.read_text(file)
        return settings.from_json(text, self.task.Config, file)

    def model(self) -> keras.Model:
        """Its trained model."""
        self._check_settings()
        file = self.folder / "model.keras"
        if not file.is_file():
            raise FileNotFoundError(
                f"{self.folder} has no model.keras: its training has not "
                f"ended; finish it with `train --name {self.folder.name}` and "
                "the same settings"
            )
        try:
            return keras.models.load_model(file)
        # A damaged file may raise anything.
        except Exception as error:
            raise ValueError(
                f"{file} could not be read as a model "
                f"({type(error).__name__}: {error}); remove it, and `train "
                f"--name {self.folder.name}` with the same settings writes it "
                "again from the last checkpoint"
            ) from error

    def data(self, data_dir: str | None = None) -> Data:
        """Its data, or those of another folder, which must be of a kind."""
        data_dir = data_dir or self.config.data_dir
        asked = dataclasses.replace(self.config, data_dir=data_dir)
        data = load_data(self.task, asked)
        if different := differences(asked, data.config):
            raise ValueError(
                f"the data in {data_dir} differ from what the run learned: "
                f"{', '.join(different)}"
            )
        return data

    def metrics(self) -> dict[str, Any] | None:
        """What was measured at the end of its training, if it has ended."""
        file = self.folder / "metrics.json"
        if not file.is_file():
            return None
        try:
            return files.read_json(file)
        except ValueError as error:
            raise ValueError(
                f"{error}; remove it, and `train --name {self.folder.name}` "
                "with the same settings writes it again"
            ) from error

    def _check_settings(self) -> None:
        """Raises ValueError where `config.json` is not what was trained."""
        trained = (self.metrics() or {}).get("settings")
        if trained is None:
            return
        file = self.folder / "config.json"
        text = json.dumps(trained)
        before = settings.from_json(text, self.task.Config, file)
        same = {name: getattr(self.config, name) for name in MAY_BE_EDITED}
        before = dataclasses.replace(before, **same)
        if different := differences(before, self.config):
            raise ValueError(
                f"{file} was changed after the training: "
                f"{', '.join(different)}; change it back, or train another run"
            )

    def write(self, name: str, content: str | dict[str, Any]) -> Path:
        """Writes a text, or JSON, into its folder and returns the file."""
        file = self.folder / name
        if isinstance(content, dict):
            files.write_json(file, content)
        else:
            files.write(file, content)
        return file


def create(task_name: str, config: settings.Settings) -> Run:
    """The run that a config names."""
    return Run(task_name, Path(config.runs_dir) / task_name / config.name)


def find(task_name: str, run: str, runs_dir: str = "runs") -> Run:
    """A run that is given as a path or by its name."""
    home = Path(runs_dir) / task_name
    for folder in (Path(run), home / run):
        if (folder / "config.json").is_file():
            return Run(task_name, folder)
    names = sorted(path.parent.name for path in home.glob("*/config.json"))
    known = f"the runs there are: {', '.join(names)}" if names else "none yet"
    raise FileNotFoundError(
        f"there is no run {run!r}, neither as a folder nor in {home} ({known})"
    )


def differences(old: settings.Settings, new: settings.Settings) -> list[str]:
    """The settings that differ, each with its two values."""
    before, after = dataclasses.asdict(old), dataclasses.asdict(new)
    return [
        f"{name} {before[name]!r} -> {after[name]!r}"
        for name in after
        if before[name] != after[name]
    ]


def check_continues(
    run: Run, new: settings.Settings, filled_in: bool = True
) -> None:
    """Raises ValueError where `new` would make another run of this one.

    What is empty before the data have filled it in is not compared.
    """
    same = {name: getattr(new, name) for name in MAY_DIFFER}
    if not filled_in:
        given = dataclasses.asdict(new).items()
        empty = [name for name, value in given if value in (None, ())]
        known = {name: getattr(run.config, name) for name in empty}
        new = dataclasses.replace(new, **known)
    old = run.config
    if new.epochs >= old.epochs:
        same["epochs"] = new.epochs
    if old.data_dir and new.data_dir:
        if os.path.realpath(old.data_dir) == os.path.realpath(new.data_dir):
            same["data_dir"] = new.data_dir
    if different := differences(dataclasses.replace(old, **same), new):
        raise ValueError(
            f"the run {run.folder} exists with other settings: "
            f"{', '.join(different)}; give another --name, or the same "
            "settings (only epochs may grow)"
        )
