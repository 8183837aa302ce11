"""What every training does at its steps and epochs, beside learning."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from applications import checkpoints
from applications import files

# The first steps of a process trace and compile the model.
UNTIMED_STEPS = 2
PANELS = 10


class FiniteLoss(keras.callbacks.Callback):
    """Ends the training at the first loss of a step that is not finite.

    An exception rather than `stop_training`, which would still end the epoch
    and save a checkpoint of ruined weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {float(loss)} at step {batch + 1} of epoch "
                f"{self.epoch + 1}; the checkpoints before it are kept. Train "
                "under another --name with a smaller --learning-rate, or with "
                "--precision float32"
            )


class StepTimer(keras.callbacks.Callback):
    """Times the steps; it follows `FiniteLoss`, which waits for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.started = 0.0

    def on_train_batch_begin(
        self, batch: int, logs: dict | None = None
    ) -> None:
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.seconds.append(time.perf_counter() - self.started)

    def median(self) -> float | None:
        timed = self.seconds[UNTIMED_STEPS:] or self.seconds
        return float(np.median(timed)) if timed else None


class Checkpoint(keras.callbacks.Callback):
    """Saves the training's state and `history.csv` after every epoch."""

    def __init__(
        self, path: Path, state: checkpoints.State, timer: StepTimer
    ) -> None:
        super().__init__()
        self.path = path
        self.state = state
        self.timer = timer
        self.wall_before = state.clock["wall_seconds"]
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._check(epoch, logs or {})
        row = {"epoch": epoch + 1}
        row |= {name: float(value) for name, value in (logs or {}).items()}
        wall = self.wall_before + time.perf_counter() - self.started
        self.state = checkpoints.State(
            epoch=epoch + 1,
            history=[*self.state.history, row],
            clock={
                "wall_seconds": wall,
                "seconds_per_step": self.timer.median(),
            },
        )
        checkpoints.save(self.path / "checkpoints", self.model, self.state)
        files.write_csv(self.path / "history.csv", self.state.history)

    def _check(self, epoch: int, logs: dict) -> None:
        """Keeps what is not finite out of a checkpoint."""
        ruined = [
            weight.path
            for weight in self.model.weights
            if not np.isfinite(keras.ops.convert_to_numpy(weight)).all()
        ]
        if not math.isfinite(logs.get("val_loss", 0.0)):
            ruined.append("the validation loss")
        if ruined:
            raise FloatingPointError(
                f"{ruined[0]} is not finite after epoch {epoch + 1}; the "
                "checkpoints before it are kept. Train under another --name "
                "with a smaller --learning-rate"
            )


class Panel(keras.callbacks.Callback):
    """Draws the same samples at about ten epochs, for TensorBoard."""

    def __init__(
        self,
        log_dir: Path,
        draw: Callable[[keras.Model, Any], np.ndarray],
        batch: Any,
        epochs: int,
    ) -> None:
        super().__init__()
        self.log_dir = log_dir
        self.draw = draw
        self.batch = batch
        self.every = max(1, epochs // PANELS)

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.writer = tf.summary.create_file_writer(str(self.log_dir))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if (epoch + 1) % self.every == 0:
            picture = self.draw(self.model, self.batch)
            with self.writer.as_default():
                tf.summary.image("panel", picture[None], step=epoch)
            self.writer.flush()

    def on_train_end(self, logs: dict | None = None) -> None:
        self.writer.close()


def save_picture(path: Path, picture: np.ndarray) -> None:
    with files.replacing(path) as temporary:
        Image.fromarray(picture).save(temporary)
