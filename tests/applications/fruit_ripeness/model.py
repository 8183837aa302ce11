"""The network, its metric, its pictures and predictions."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from applications import files
from applications.inputs import image as images
from applications.reports import percent
from keras_fusion import layers
from tests.applications.fruit_ripeness.data import MEASUREMENTS
from tests.applications.fruit_ripeness.data import SIDE
from tests.applications.fruit_ripeness.data import Config
from tests.applications.fruit_ripeness.data import read

SHOWN = 4


def build_model(config: Config) -> keras.Model:
    picture = keras.Input((SIDE, SIDE, 3), name="picture")
    measured = keras.Input((len(MEASUREMENTS),), name="measurements")
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(picture)
    x = keras.layers.GlobalAveragePooling2D()(x)
    y = keras.layers.Rescaling(1 / 50)(measured)
    x, y = (
        keras.layers.Dense(config.units, activation="relu")(vector)
        for vector in (x, y)
    )
    z = layers.LowRankBilinearPooling(config.units, rank=config.units)([x, y])
    z = keras.layers.Dropout(config.dropout)(z)
    ripe = keras.layers.Dense(1, activation="sigmoid", dtype="float32")(z)
    model = keras.Model(
        {"picture": picture, "measurements": measured}, {"ripe": ripe}
    )
    model.compile(
        keras.optimizers.Adam(config.learning_rate),
        loss={"ripe": "binary_crossentropy"},
    )
    return model


def measure(
    model: keras.Model, dataset: tf.data.Dataset, config: Config
) -> dict[str, Any]:
    """The mean of the two classes' accuracies."""
    ripe, chance = [], []
    for inputs, targets in dataset:
        chance.append(np.asarray(model(inputs, training=False)["ripe"]))
        ripe.append(np.asarray(targets["ripe"]))
    truth, guess = np.concatenate(ripe) > 0.5, np.concatenate(chance) > 0.5
    right = [np.mean(guess[truth == value] == value) for value in (0, 1)]
    return {"balanced_accuracy": float(np.mean(right))}


def table(metrics: dict[str, Any]) -> str:
    return f"balanced accuracy  {percent(metrics['balanced_accuracy'])}"


def draw(model: keras.Model, batch: Any, config: Config) -> np.ndarray:
    inputs, targets = batch
    chance = np.asarray(model(inputs, training=False)["ripe"])[:SHOWN, 0]
    truth = np.asarray(targets["ripe"])[:SHOWN, 0]
    pictures = [images.displayed(p) for p in np.asarray(inputs["picture"])]
    columns = [("fruit", pictures[:SHOWN])]
    for title, values in (("ripe", truth), ("says", chance)):
        grays = [np.full((SIDE, SIDE, 3), 255 * v, "uint8") for v in values]
        columns.append((title, grays))
    return images.panel(columns)


def predict(
    model: keras.Model,
    config: Config,
    data_dir: Path,
    out: Path,
    problems: list[str],
) -> list[Path]:
    paths = []
    for file in sorted(data_dir.glob("*.csv")):
        try:
            inputs = read(file).inputs()
        except ValueError as error:
            problems.append(str(error))
            continue
        chance = model.predict(inputs, verbose=0)["ripe"][:, 0]
        rows = [
            {"row": row, "ripe": float(value)}
            for row, value in enumerate(chance)
        ]
        paths.append(out / file.name)
        files.write_csv(paths[-1], rows)
    return paths


def callbacks(
    config: Config, batch: Any, run_dir: Path
) -> list[keras.callbacks.Callback]:
    return []
