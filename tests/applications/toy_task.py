"""The smallest task that the skeleton can run; tests register it.

A folder of this task's data holds `examples.npy`, a column for each number.
"""

import dataclasses
import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import applications
from applications import cli
from applications import epochs
from applications import settings
from applications.findings import Findings
from applications.task import Data

EXAMPLES = {"train": 16, "validation": 7, "test": 5}


@settings.settings
class Config(settings.Settings):
    epochs: settings.Count = 3
    batch_size: settings.Count = 4
    learning_rate: settings.Positive = 0.01
    modalities: settings.Names = ("right", "left")
    """Inputs of the model."""
    dropout: settings.Share = 0.5
    """Share of hidden units left out in training."""
    width: settings.Count | None = None
    """Numbers in a modality; None: what the data has."""
    kernel: float = 1.0
    """Factor on the first weights."""


PRESETS = {"default": Config(), "long": Config(epochs=9, name="long")}


def examples(config: Config, split: str) -> tuple[dict, np.ndarray]:
    rng = np.random.default_rng([config.seed, len(split)])
    shape = (EXAMPLES[split], config.width)
    inputs = {
        name: rng.normal(size=shape).astype("float32")
        for name in config.modalities
    }
    label = sum(value.sum(1) for value in inputs.values()) > 0
    return inputs, label.astype("float32")[:, None]


def load_data(config: Config) -> Data:
    width = 2
    if config.data_dir:
        columns = np.load(Path(config.data_dir) / "examples.npy").shape[1]
        width = columns // len(config.modalities)
    config = dataclasses.replace(config, width=width)

    def training(first_epoch: int) -> tuple[tf.data.Dataset, int]:
        inputs, label = examples(config, "train")
        count, size = len(label), config.batch_size

        def batch(
            epoch: tf.Tensor, step: tf.Tensor, indices: tf.Tensor
        ) -> tuple:
            chosen = {name: tf.gather(inputs[name], indices) for name in inputs}
            return chosen, tf.gather(label, indices)

        batches = epochs.batches(count, size, config.seed, first_epoch)
        return batches.map(batch), count // size

    def held_out(split: str) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(
            examples(config, split)
        ).batch(config.batch_size)

    def look(split: str) -> Findings:
        inputs, label = examples(config, split)
        return Findings(
            len(label),
            {name: f"{config.width} numbers" for name in inputs},
            {"negative": int((label == 0).sum()), "positive": int(label.sum())},
        )

    sizes = {**EXAMPLES}
    if config.data_dir:
        del sizes["test"]
    return Data(config, sizes, training, held_out, look)


def build_model(config: Config) -> keras.Model:
    inputs = {
        name: keras.Input((config.width,), name=name)
        for name in config.modalities
    }
    x = keras.layers.Concatenate()(list(inputs.values()))
    x = keras.layers.Dense(
        8,
        # The normalization removes a bias; its gradient would be rounding.
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(config.kernel),
    )(x)
    x = keras.layers.BatchNormalization(synchronized=True)(x)
    x = keras.layers.Dropout(config.dropout)(x)
    x = keras.layers.Dense(1, activation="sigmoid", dtype="float32")(x)
    model = keras.Model(inputs, {"label": x})
    model.compile(
        keras.optimizers.Adam(config.learning_rate),
        loss={"label": "binary_crossentropy"},
        metrics={"label": "accuracy"},
    )
    return model


def measure(
    model: keras.Model, dataset: tf.data.Dataset, config: Config
) -> dict:
    logs = model.evaluate(dataset, verbose=0, return_dict=True)
    return {"accuracy": logs["accuracy"]}


def table(metrics: dict) -> str:
    return f"accuracy  {metrics['accuracy']:.3f}"


def draw(model: keras.Model, batch: tuple, config: Config) -> np.ndarray:
    inputs, label = batch
    score = model(inputs, training=False)["label"]
    columns = np.concatenate([label, score], axis=1)
    return np.repeat((255 * columns).astype("uint8")[..., None], 3, axis=2)


def predict(
    model: keras.Model,
    config: Config,
    data_dir: Path,
    out: Path,
    problems: list[str],
) -> list[Path]:
    values = np.load(data_dir / "examples.npy").astype("float32")
    parts = np.split(values, len(config.modalities), axis=1)
    inputs = dict(zip(config.modalities, parts, strict=True))
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "label.npy", model.predict(inputs, verbose=0)["label"])
    return [out / "label.npy"]


class KillAtStep(keras.callbacks.Callback):
    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if int(self.model.optimizer.iterations) == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


class Witness(keras.callbacks.Callback):
    """Writes what this process has learned and sees, chief or not."""

    def __init__(self, file: str, config: Config) -> None:
        super().__init__()
        self.file = file
        self.config = config

    def on_train_end(self, logs: dict | None = None) -> None:
        dataset = load_data(self.config).split("validation")[1]
        score = self.model.predict(dataset, verbose=0)["label"]
        loss, _ = self.model.evaluate(dataset, verbose=0)
        weights = {
            f"weight-{index}": value
            for index, value in enumerate(self.model.get_weights())
        }
        np.savez(self.file, score=score, loss=loss, **weights)


def callbacks(config: Config, batch, run_dir: Path) -> list:
    found = []
    if step := os.environ.get("TOY_KILL_AT_STEP"):
        found.append(KillAtStep(int(step)))
    if file := os.environ.get("TOY_WITNESS"):
        found.append(Witness(file, config))
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Describe(cli.RunCommand):
    """Say how wide the inputs of a run are."""

    def __call__(self, task: str) -> None:
        print(f"width {self.open(task).config.width}")


VERBS = {"describe": Describe}


def register() -> None:
    applications.TASKS["toy"] = "tell the sign of a sum of random numbers"
    sys.modules["applications.toy"] = sys.modules[__name__]


def kill_before_replacing(name: str) -> None:
    replace = os.replace

    def replace_or_die(source: str, target: str) -> None:
        if Path(target).name == name:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = replace_or_die


def main() -> None:
    register()
    if name := os.environ.get("TOY_KILL_BEFORE"):
        kill_before_replacing(name)
    sys.exit(cli.main(["toy", *sys.argv[1:]]))
