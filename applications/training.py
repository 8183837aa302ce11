"""The training of every task: strategy, model, data, `fit`, the run's files."""

import contextlib
import dataclasses
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_fusion
from applications import callbacks
from applications import checkpoints
from applications import files
from applications import runs
from applications import settings
from applications.runs import Run
from applications.task import Data
from applications.task import load_data
from applications.task import load_task
from keras_fusion import distribution

# How often a training looks at its validation data, about.
VALIDATIONS = 20

START = checkpoints.State(
    epoch=0,
    history=[],
    clock={"wall_seconds": 0.0, "seconds_per_step": None},
)


@dataclasses.dataclass(frozen=True)
class Training:
    """What the steps of a training share."""

    run: Run
    """Where this process writes: elsewhere, to throw away, if no chief."""
    shown: Path
    """The folder of the run, where all processes read checkpoints."""
    data: Data
    strategy: tf.distribute.Strategy

    @property
    def config(self) -> Any:
        return self.data.config

    def report(self, text: str) -> None:
        if distribution.is_chief(self.strategy):
            print(text, flush=True)


def train(task_name: str, config: settings.Settings) -> dict[str, Any]:
    """Trains a run, or continues it, and returns its metrics."""
    strategy = distribution.get_strategy(config.strategy, config.devices)
    distribution.check_batch_size(config.batch_size, strategy)
    task = load_task(task_name)
    run = runs.create(task_name, config)
    run.check_places()
    if run.exists:
        # Before data are prepared for nothing.
        runs.check_continues(run, config, filled_in=False)
    with distribution.chief_first(strategy):
        data = load_data(task, config)
    run = runs.create(task_name, data.config)
    # Every worker goes through the same motions; all but the chief's files
    # land in a folder to throw away.
    home = distribution.worker_path(config.runs_dir, strategy)
    own = dataclasses.replace(data.config, runs_dir=str(home))
    training = Training(runs.create(task_name, own), run.folder, data, strategy)
    if metrics := _finished(run, data.config):
        training.report(
            f"{run.folder} is already trained for {config.epochs} epochs"
        )
        training.report(_result(run, metrics))
        return metrics
    with files.lock(training.run.folder):
        files.remove_leftovers(training.run.folder)
        state, parameters = fit_and_save(training)
        if distribution.is_chief(strategy):
            metrics = evaluate_and_write(training, state, parameters)
            training.report(_result(run, metrics))
        distribution.wait_for_all(strategy)
    return metrics or {}


def _finished(run: Run, config: settings.Settings) -> dict[str, Any] | None:
    """The metrics of a run that has nothing left to learn."""
    if not run.exists:
        return None
    runs.check_continues(run, config)
    metrics = run.metrics()
    asked = metrics.get("epochs_asked", 0) if metrics else 0
    # One that was removed is written again.
    has_model = (run.folder / "model.keras").is_file()
    return metrics if has_model and asked >= config.epochs else None


def fit_and_save(training: Training) -> tuple[checkpoints.State, int]:
    """The state of the training at its end, and the model's parameters."""
    config, strategy = training.config, training.strategy
    # What is wrong or missing is said before anything is built or written.
    held_out = training.data.first("validation", "test")
    about = training.data.describe("train", held_out)
    training.report(about)
    model = build(training)
    with strategy.scope():
        folder = training.shown / "checkpoints"
        state = checkpoints.restore(folder, model) or START
    batches = training.data.train(state.epoch)
    training.run.write("config.json", settings.to_json(config))
    training.run.write("data.txt", about + "\n")
    training.report(
        f"{training.shown}: {model.count_params():,} parameters, "
        f"{config.batch_size} examples a step on "
        f"{strategy.num_replicas_in_sync} replica(s)",
    )
    if state.epoch:
        training.report(f"resumed after epoch {state.epoch} of {config.epochs}")
    if state.epoch < config.epochs:
        dataset = training.data.split(held_out)
        state = fit(training, model, batches, dataset, state)
    with files.replacing(training.run.folder / "model.keras") as temporary:
        model.save(temporary)
    return state, model.count_params()


def build(training: Training) -> keras.Model:
    config = training.config
    keras.utils.set_random_seed(config.seed)
    with precision(config.precision), training.strategy.scope():
        model = training.run.task.build_model(config)
    distribution.check_compiled(model, training.strategy)
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


def fit(
    training: Training,
    model: keras.Model,
    batches: tuple[tf.data.Dataset, int],
    held_out: tuple[str, tf.data.Dataset],
    state: checkpoints.State,
) -> checkpoints.State:
    config = training.config
    task, folder = training.run.task, training.run.folder
    timer = callbacks.StepTimer()
    checkpoint = callbacks.Checkpoint(folder, state, timer)
    split, dataset = held_out
    batch = next(iter(dataset))
    train, steps = batches
    model.fit(
        _sharded(train),
        steps_per_epoch=steps,
        validation_data=_sharded(dataset) if split == "validation" else None,
        validation_freq=max(1, config.epochs // VALIDATIONS),
        initial_epoch=state.epoch,
        epochs=config.epochs,
        shuffle=False,
        verbose="auto" if distribution.is_chief(training.strategy) else 0,
        callbacks=[
            callbacks.FiniteLoss(),
            timer,
            # What they add to the logs of an epoch reaches those below.
            *task.callbacks(config, batch, folder),
            keras.callbacks.TensorBoard(
                folder / "logs", write_graph=False, write_steps_per_second=True
            ),
            callbacks.Panel(
                folder / "logs" / "pictures",
                lambda model, batch: task.draw(model, batch, config),
                batch,
                config.epochs,
            ),
            checkpoint,
        ],
    )
    return checkpoint.state


def _sharded(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Lets workers share every batch, as replicas of one machine do.

    Left to itself TensorFlow gives each worker files of its own where there
    are several, and the batches are no longer those of a single process.
    """
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return dataset.with_options(options)


def evaluate_and_write(
    training: Training, state: checkpoints.State, parameters: int
) -> dict[str, Any]:
    """Measures the saved model; `metrics.json` is the last file of a run."""
    run, config = training.run, training.config
    model = run.model()
    split, dataset = training.data.split("validation", "test")
    metrics = run.task.measure(model, dataset, config) | {
        "split": split,
        "parameters": parameters,
        "epochs": state.epoch,
        "epochs_asked": config.epochs,
        **state.clock,
        "settings": json.loads(settings.to_json(config)),
        "versions": versions(),
    }
    picture = run.task.draw(model, next(iter(dataset)), config)
    callbacks.save_picture(run.folder / "pictures" / "panel.png", picture)
    files.write_csv(run.folder / "history.csv", state.history)
    run.write("metrics.json", metrics)
    return metrics


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "keras_fusion": keras_fusion.__version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
    }


def _result(run: Run, metrics: dict[str, Any]) -> str:
    return "\n".join(
        [
            "",
            run.task.table(metrics),
            "",
            f"picture:     {run.folder / 'pictures' / 'panel.png'}",
            f"tensorboard: tensorboard --logdir {run.folder / 'logs'}",
        ]
    )
