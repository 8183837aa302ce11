"""Settings, and pictures and measurements of fruit.

A folder of a user's own fruit holds `<split>.csv` with the columns picture (a
file beside it), weight, firmness, and ripe (0 or 1).
"""

import csv
import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from applications import epochs
from applications import settings
from applications.findings import Findings
from applications.inputs import image as images
from applications.task import Data

SIDE = 12
COUNTS = {"train": 200, "validation": 40, "test": 40}
MEASUREMENTS = ("weight", "firmness")


@settings.settings
class Config(settings.Settings):
    """Defaults train in seconds."""

    epochs: settings.Count = 12
    batch_size: settings.Count = 20
    learning_rate: settings.Positive = 0.01

    units: settings.Count = 16
    """Width of the vector that each input becomes."""
    dropout: settings.Share = 0.0
    """Share of it that is dropped."""


PRESETS = {"default": Config(), "wide": Config(units=64)}


class Fruit(NamedTuple):
    pictures: np.ndarray
    """(count, SIDE, SIDE, 3), mean 0 and deviation 1 each."""
    measurements: np.ndarray
    """(count, 2), grams and newtons."""
    ripe: np.ndarray
    """(count, 1), 0 or 1."""

    def inputs(self) -> dict[str, np.ndarray]:
        return {"picture": self.pictures, "measurements": self.measurements}


def load_data(config: Config) -> Data:
    splits = _splits(config)

    def training(first_epoch: int) -> tuple[tf.data.Dataset, int]:
        fruit = splits["train"]()
        count, size = len(fruit.ripe), config.batch_size

        def batch(
            epoch: tf.Tensor, step: tf.Tensor, indices: tf.Tensor
        ) -> tuple:
            return tf.nest.map_structure(
                lambda values: tf.gather(values, indices),
                (fruit.inputs(), {"ripe": fruit.ripe}),
            )

        batches = epochs.batches(count, size, config.seed, first_epoch)
        return batches.map(batch), count // size

    def whole(name: str) -> tf.data.Dataset:
        fruit = splits[name]()
        return tf.data.Dataset.from_tensor_slices(
            (fruit.inputs(), {"ripe": fruit.ripe})
        ).batch(config.batch_size)

    def look(name: str) -> Findings:
        fruit = splits[name]()
        ripe = int(fruit.ripe.sum())
        return Findings(
            len(fruit.ripe),
            {
                "pictures": images.in_words(fruit.pictures),
                "measurements": " and ".join(MEASUREMENTS),
            },
            {"unripe": len(fruit.ripe) - ripe, "ripe": ripe},
        )

    return Data(config, dict.fromkeys(splits), training, whole, look)


def _splits(config: Config) -> dict[str, Callable[[], Fruit]]:
    if config.data_dir is None:
        return {
            name: functools.partial(grow, count, [config.seed, number])
            for number, (name, count) in enumerate(COUNTS.items())
        }
    files = {name: Path(config.data_dir) / f"{name}.csv" for name in COUNTS}
    files = {name: file for name, file in files.items() if file.is_file()}
    if not files:
        raise ValueError(
            f"{config.data_dir} has none of "
            f"{', '.join(f'{name}.csv' for name in COUNTS)}"
        )
    return {name: functools.partial(read, file) for name, file in files.items()}


def grow(count: int, seed: list[int]) -> Fruit:
    """Fruit that is ripe where it is red, or soft, but not both."""
    rng = np.random.default_rng(seed)
    red, soft = rng.integers(0, 2, (2, count)).astype(bool)
    color = np.where(red[:, None], (200, 40, 40), (40, 200, 40))
    noise = rng.integers(0, 40, (count, SIDE, SIDE, 3))
    pictures = (color[:, None, None] + noise).astype("uint8")
    firmness = np.where(soft, 20.0, 60.0) + rng.normal(0, 4, count)
    measured = np.stack([rng.normal(150, 20, count), firmness], axis=-1)
    return _prepared(pictures, measured, red ^ soft)


def read(file: Path) -> Fruit:
    """The fruit of a CSV file; the column `ripe` may be missing."""
    with open(file, encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    pictures = [
        images.resize(images.read(file.parent / row["picture"]), (SIDE, SIDE))
        for row in rows
    ]
    measured = [[float(row[name]) for name in MEASUREMENTS] for row in rows]
    ripe = [float(row.get("ripe") or 0) for row in rows]
    return _prepared(pictures, np.array(measured), np.array(ripe))


def _prepared(pictures, measured: np.ndarray, ripe: np.ndarray) -> Fruit:
    values = [images.of_own_statistics(p).values() for p in pictures]
    return Fruit(
        np.stack(values).astype("float32"),
        measured.astype("float32"),
        ripe.astype("float32")[:, None],
    )
