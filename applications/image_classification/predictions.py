"""Classes and probabilities for a folder of images, as a CSV file."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from applications import files as run_files
from applications.datasets.class_folders import ImageFiles
from applications.datasets.class_folders import images_below
from applications.datasets.file_tree import LeftOut
from applications.image_classification.config import Config
from applications.image_classification.data import EVALUATION_BATCH
from applications.image_classification.data import standardize

FILE = "predictions.csv"


def predict(
    model: keras.Model,
    config: Config,
    data_dir: Path,
    out: Path,
    problems: list[str],
) -> list[Path]:
    """Writes `predictions.csv`: file, label, and a probability a class.

    Every image below the folder is a row, brought to the size that the model
    was trained on.
    """
    left_out = LeftOut(data_dir)
    images = ImageFiles(
        images_below(data_dir, left_out), config.image_shape, resized=True
    )
    print("\n".join([f"{len(images):,} images", *left_out.lines()]))
    call = tf.function(
        lambda inputs: tf.nn.softmax(model(inputs, training=False)["label"]),
        reduce_retracing=True,
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["file", "label", *(f"probability {name}" for name in config.classes)]
    )
    progress = keras.utils.Progbar(len(images), unit_name="image")
    for files, pixels in _batches(images, problems):
        shares = call({"image": standardize(pixels, config)}).numpy()
        for file, row in zip(files, shares, strict=True):
            writer.writerow(
                [
                    file.relative_to(data_dir),
                    config.classes[int(row.argmax())],
                    *(f"{value:.6f}" for value in row),
                ]
            )
        progress.add(len(files))
    print()
    run_files.write(out / FILE, text.getvalue())
    return [out / FILE]


def _batches(
    images: ImageFiles, problems: list[str]
) -> Iterator[tuple[list[Path], np.ndarray]]:
    """Files and their pixels, without those that cannot be read."""
    for start in range(0, len(images), EVALUATION_BATCH):
        files, pixels = [], []
        for index in range(start, min(start + EVALUATION_BATCH, len(images))):
            try:
                pixels.append(images[[index]])
            except ValueError as error:
                problems.append(str(error))
            else:
                files.append(images.files[index])
        if files:
            yield files, np.concatenate(pixels)
