"""Classes and probabilities for a folder of images, as a CSV file."""

import csv
import io
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from applications import files as run_files
from applications.datasets.class_folders import ImageFiles
from applications.datasets.class_folders import images_below
from applications.image_classification.config import Config
from applications.image_classification.data import EVALUATION_BATCH
from applications.image_classification.data import standardize

FILE = "predictions.csv"


def predict(
    model: keras.Model, config: Config, data_dir: Path, out: Path
) -> list[Path]:
    """Writes `predictions.csv`: file, label, and a probability a class.

    Every image below the folder is a row, brought to the size that the model
    was trained on.
    """
    files = images_below(data_dir)
    images = ImageFiles(files, config.image_shape, resized=True)
    call = tf.function(
        lambda inputs: tf.nn.softmax(model(inputs, training=False)["label"]),
        reduce_retracing=True,
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["file", "label", *(f"probability {name}" for name in config.classes)]
    )
    for start in range(0, len(files), EVALUATION_BATCH):
        chosen = range(start, min(start + EVALUATION_BATCH, len(files)))
        batch = standardize(images[np.array(chosen)], config)
        for index, row in zip(
            chosen, call({"image": batch}).numpy(), strict=True
        ):
            writer.writerow(
                [
                    files[index].relative_to(data_dir),
                    config.classes[int(row.argmax())],
                    *(f"{value:.6f}" for value in row),
                ]
            )
    run_files.write(out / FILE, text.getvalue())
    return [out / FILE]
