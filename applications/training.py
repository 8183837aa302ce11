"""The training of every task: strategy, model, data, `fit`, the run's files."""

import contextlib
import dataclasses
import platform
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

import keras_fusion
from applications import callbacks
from applications import checkpoints
from applications import load_task
from applications import runs
from applications import settings
from keras_fusion import distribution

# How often a training looks at its validation data, about.
VALIDATIONS = 20

START = checkpoints.State(
    epoch=0,
    history=[],
    clock={"wall_seconds": 0.0, "seconds_per_step": None},
)


class Data(NamedTuple):
    """The batched datasets of a task; a split that it lacks is None."""

    train: tf.data.Dataset | None
    """Endless, full batches only, a pure function of the seed and epoch."""
    steps_per_epoch: int
    validation: tf.data.Dataset | None
    test: tf.data.Dataset | None

    def split(self, *names: str) -> tuple[str, tf.data.Dataset]:
        """The first of the named splits that there is, with its name."""
        for name in names:
            if getattr(self, name) is not None:
                return name, getattr(self, name)
        there = [
            name
            for name in ("train", "validation", "test")
            if getattr(self, name) is not None
        ]
        raise ValueError(
            f"the data has no {' or '.join(names)} split; it has: "
            f"{', '.join(there) or 'nothing'}"
        )


def train(task_name: str, config: settings.Settings) -> dict:
    """Trains a run, or continues it, and returns its metrics."""
    settings.check(config)
    strategy = distribution.get_strategy(config.strategy, config.devices)
    distribution.check_batch_size(config.batch_size, strategy)
    task = load_task(task_name)
    with distribution.chief_first(strategy):
        config = task.prepare(config)
    path = runs.folder(task_name, config)
    if metrics := _finished(path, config):
        _say(strategy, f"{path} is already trained for {config.epochs} epochs")
        _say(strategy, _report(task, path, metrics))
        return metrics
    # Every worker goes through the same motions; all but the chief's files
    # land in a folder to throw away.
    home = distribution.worker_path(config.runs_dir, strategy)
    config = dataclasses.replace(config, runs_dir=home)
    written = runs.folder(task_name, config)
    with runs.lock(written):
        runs.remove_leftovers(written)
        state, parameters = _learn(task, config, strategy, path, written)
        if distribution.is_chief(strategy):
            metrics = _conclude(task, config, written, state, parameters)
            _say(strategy, _report(task, path, metrics))
        distribution.wait_for_all(strategy)
    return metrics or {}


def _finished(path: Path, config: settings.Settings) -> dict | None:
    """The metrics of a run that has nothing left to learn."""
    if not (path / "config.json").is_file():
        return None
    runs.check_continues(path, runs.read_config(path, type(config)), config)
    if not (path / "metrics.json").is_file():
        return None
    metrics = runs.read_json(path / "metrics.json")
    return metrics if metrics.get("epochs_asked", 0) >= config.epochs else None


def _learn(
    task: ModuleType,
    config: settings.Settings,
    strategy: tf.distribute.Strategy,
    path: Path,
    written: Path,
) -> tuple[checkpoints.State, int]:
    model = _build(task, config, strategy)
    with strategy.scope():
        state = checkpoints.restore(path / "checkpoints", model) or START
    data = task.load_data(config, first_epoch=state.epoch)
    data.split("train")
    runs.write(written / "config.json", settings.to_json(config))
    _say(
        strategy,
        f"{path}: {model.count_params():,} parameters, "
        f"{config.batch_size} examples a step on "
        f"{strategy.num_replicas_in_sync} replica(s)",
    )
    if state.epoch:
        _say(strategy, f"resumed after epoch {state.epoch} of {config.epochs}")
    state = _fit(task, config, strategy, model, data, state, written)
    with runs.replacing(written / "model.keras") as temporary:
        model.save(temporary)
    return state, model.count_params()


def _build(
    task: ModuleType,
    config: settings.Settings,
    strategy: tf.distribute.Strategy,
) -> keras.Model:
    keras.utils.set_random_seed(config.seed)
    with precision(config.precision), strategy.scope():
        model = task.build_model(config)
    distribution.check_compiled(model, strategy)
    return model


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Builds layers under a dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _fit(
    task: ModuleType,
    config: settings.Settings,
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    data: Data,
    state: checkpoints.State,
    written: Path,
) -> checkpoints.State:
    if state.epoch >= config.epochs:
        return state
    timer = callbacks.StepTimer()
    checkpoint = callbacks.Checkpoint(written, state, timer)
    _, shown = data.split("validation", "test")
    batch = next(iter(shown))
    model.fit(
        _sharded(data.train),
        steps_per_epoch=data.steps_per_epoch,
        validation_data=_sharded(data.validation),
        validation_freq=max(1, config.epochs // VALIDATIONS),
        initial_epoch=state.epoch,
        epochs=config.epochs,
        shuffle=False,
        verbose="auto" if distribution.is_chief(strategy) else 0,
        callbacks=[
            callbacks.FiniteLoss(),
            timer,
            # What they add to the logs of an epoch reaches those below.
            *task.callbacks(config, batch),
            keras.callbacks.TensorBoard(
                written / "logs", write_graph=False, write_steps_per_second=True
            ),
            callbacks.Panel(
                written / "logs" / "pictures",
                lambda model, batch: task.draw(model, batch, config),
                batch,
                config.epochs,
            ),
            checkpoint,
        ],
    )
    return checkpoint.state


def _sharded(dataset: tf.data.Dataset | None) -> tf.data.Dataset | None:
    """Lets workers share every batch, as replicas of one machine do.

    Left to itself TensorFlow gives each worker files of its own where there
    are several, and the batches are no longer those of a single process.
    """
    if dataset is None:
        return None
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return dataset.with_options(options)


def _conclude(
    task: ModuleType,
    config: settings.Settings,
    path: Path,
    state: checkpoints.State,
    parameters: int,
) -> dict:
    """Measures the saved model; `metrics.json` is the last file of a run."""
    model = load_model(path)
    split, dataset = task.load_data(config).split("validation", "test")
    metrics = task.measure(model, dataset, config) | {
        "split": split,
        "parameters": parameters,
        "epochs": state.epoch,
        "epochs_asked": config.epochs,
        **state.clock,
        "versions": versions(),
    }
    picture = task.draw(model, next(iter(dataset)), config)
    callbacks.save_picture(path / "pictures" / "panel.png", picture)
    runs.write_csv(path / "history.csv", state.history)
    runs.write_json(path / "metrics.json", metrics)
    return metrics


def load_model(path: Path) -> keras.Model:
    """The trained model of a run."""
    file = path / "model.keras"
    if not file.is_file():
        raise FileNotFoundError(
            f"{path} has no model.keras: its training has not ended; finish "
            f"it with `train --name {path.name}` and the same settings"
        )
    try:
        return keras.models.load_model(file)
    except (ValueError, OSError, KeyError, TypeError, EOFError) as error:
        raise ValueError(
            f"{file} cannot be read as a model ({error}); train the run again"
        ) from error


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "keras_fusion": keras_fusion.__version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
    }


def _report(task: ModuleType, path: Path, metrics: dict) -> str:
    return "\n".join(
        [
            "",
            task.table(metrics),
            "",
            f"picture:     {path / 'pictures' / 'panel.png'}",
            f"tensorboard: tensorboard --logdir {path / 'logs'}",
        ]
    )


def _say(strategy: tf.distribute.Strategy, text: Any) -> None:
    if distribution.is_chief(strategy):
        print(text, flush=True)
