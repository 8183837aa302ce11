"""What a task is, and the data that it learns from."""

import functools
import importlib
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf

import applications
from applications import findings
from applications.findings import Findings
from applications.settings import Settings
from applications.settings import check_folder


class Data:
    """The splits of a task's data, each read when it is first asked for.

    Args:
        config: The settings, with what the data decide (classes, channels)
            filled in.
        sizes: The splits that there are, of "train", "validation", "test",
            and their examples; None where they are counted when they are read.
        train: Function from an epoch to the endless training batches from
            there on, and how many make an epoch. They are full, and a pure
            function of the seed and the epoch.
        held_out: Function from the name of another split to its batches.
        look: Function from the name of a split to what is in it.
        notes: What was left out of the data and why, a line each.
    """

    def __init__(
        self,
        config: Settings,
        sizes: Mapping[str, int | None],
        train: Callable[[int], tuple[tf.data.Dataset, int]],
        held_out: Callable[[str], tf.data.Dataset],
        look: Callable[[str], Findings],
        notes: Sequence[str] = (),
    ) -> None:
        self.config = config
        self.sizes = dict(sizes)
        self.look = look
        self.notes = tuple(notes)
        self._train = train
        self._held_out = functools.cache(held_out)

    def train(self, first_epoch: int = 0) -> tuple[tf.data.Dataset, int]:
        """Endless training batches from an epoch on, and how many make one."""
        self.first("train")
        return self._train(first_epoch)

    def first(self, *names: str) -> str:
        """The first of the named splits that there is."""
        for name in names:
            if name in self.sizes:
                return name
        raise ValueError(
            f"the data has no {' or '.join(names)} split; it has: "
            f"{', '.join(self.sizes) or 'nothing'}"
        )

    def split(self, *names: str) -> tuple[str, tf.data.Dataset]:
        """The first of the named splits that there is, with its name.

        Of "train" it is one epoch.
        """
        name = self.first(*names)
        if name == "train":
            dataset, steps = self.train()
            return name, dataset.take(steps)
        return name, self._held_out(name)

    def describe(self, *used: str) -> str:
        """A few lines about what was found, in the splits that are used."""
        found = {name: self.look(name) for name in used}
        return findings.describe(
            self.config.data_dir, self.sizes, found, self.notes
        )


class Task(Protocol):
    """A package `applications/<task>` with a line in `applications.TASKS`.

    The code beside this file does the rest: command line, training, runs,
    searches. `fit` drives the training of every task; a model with optimizers
    beside `model.optimizer` keeps them as attributes and builds them in
    `build_model`, so that checkpoints hold their state. Bad input is a
    `ValueError`, `FileNotFoundError` or `FileExistsError` with one line that
    says what was expected, what was received and what to do.

    A task may also have `VERBS`, a dict of further verbs: name to a dataclass
    that derives from `cli.RunCommand` as `cli.Evaluate` does. A search space
    for `tuning` is its file `space.py`.
    """

    Config: type[Settings]
    """Its fields are the command line, their docstrings its help."""

    PRESETS: dict[str, Settings]
    """Configs by name, "default" first; `--preset NAME` gives the values that
    other flags then change."""

    def load_data(self, config: Settings) -> Data:
        """Looks for the data of a config, once, and decodes nothing yet.

        What the data decide is filled into the config of the result. What is
        filled in already, because a run has learned it, is compared.
        """
        ...

    def build_model(self, config: Settings) -> keras.Model:
        """A compiled model for a config that `load_data` has filled in."""
        ...

    def measure(
        self, model: keras.Model, dataset: tf.data.Dataset, config: Settings
    ) -> dict[str, Any]:
        """Final metrics: numbers, text, lists and dicts of them.

        The model is the one loaded back from its file, on one device.
        """
        ...

    def table(self, metrics: dict[str, Any]) -> str:
        """The printed result, from the contents of `metrics.json`."""
        ...

    def draw(
        self, model: keras.Model, batch: Any, config: Settings
    ) -> np.ndarray:
        """Inputs, truth and prediction of a batch, uint8 (height, width, 3).

        It calls `model(inputs, training=False)`, because `predict_on_batch`
        repeats the batch on every replica of a model in training.
        """
        ...

    def predict(
        self,
        model: keras.Model,
        config: Settings,
        data_dir: Path,
        out: Path,
        problems: list[str],
    ) -> list[Path]:
        """Writes predictions for a folder without labels; returns the files.

        An example that cannot be read is left out, and the reason goes into
        `problems`.
        """
        ...

    def callbacks(
        self, config: Settings, batch: Any, run_dir: Path
    ) -> list[keras.callbacks.Callback]:
        """Further callbacks of a training.

        They are given a batch of validation data and the run's folder, under
        whose `logs` they may write for TensorBoard.
        """
        ...


def load_data(task: Task, config: Settings) -> Data:
    """The data of a config, whose folder has to be there if it names one."""
    if config.data_dir is not None:
        check_folder(config.data_dir, "data_dir")
    return task.load_data(config)


def load_task(name: str) -> Task:
    """Imports a task by its name."""
    applications.check_task(name)
    return importlib.import_module(f"applications.{name}")
