"""Panels of samples, and the images that are made of a user's."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from applications.files import replacing
from applications.image_translation import values
from applications.image_translation.config import Config
from applications.image_translation.config import output_names
from applications.image_translation.data import unlabeled
from applications.inputs import image as images

SAMPLES = 4
# Of the error that is drawn.
MAGNIFIED = 4


def draw(model: keras.Model, batch: Any, config: Config) -> np.ndarray:
    """A row for each sample: inputs, each output, truth, the last's error.

    All of them are drawn with one scale, by the ranges of the modalities. The
    error is the mean absolute difference of the channels, times 4.

    Args:
        model: A model of this task.
        batch: `(inputs, targets)`; at most four of its samples are drawn.
        config: The run's settings.

    Returns:
        uint8 array (height, width, 3).
    """
    inputs, targets = batch
    inputs = {name: image[:SAMPLES] for name, image in inputs.items()}
    names = output_names(config)
    outputs = {
        name: keras.ops.convert_to_numpy(image)
        for name, image in model(inputs, training=False).items()
    }
    truth = keras.ops.convert_to_numpy(targets[names[0]])[:SAMPLES]
    columns = [(name, inputs[name]) for name in config.modalities]
    for name in names:
        title = f"from {name}" if name in config.modalities else name
        columns.append((title, outputs[name]))
    error = np.abs(outputs[names[-1]] - truth).mean(axis=-1, keepdims=True)
    columns += [
        (config.target, truth),
        (f"error x {MAGNIFIED}", np.minimum(MAGNIFIED * error, 2) - 1),
    ]
    return images.panel(
        [
            (title, [displayed(image) for image in np.asarray(pixels)])
            for title, pixels in columns
        ]
    )


def displayed(image: np.ndarray) -> np.ndarray:
    """uint8 in color of an image from -1 to 1, which are black and white."""
    pixels = values.restored(image.astype("float32"), values.BYTES)
    pixels = np.rint(np.clip(pixels, *values.BYTES)).astype("uint8")
    return images.three_channels(pixels)


def predict(
    model: keras.Model,
    config: Config,
    data_dir: Path,
    out: Path,
    problems: list[str],
) -> list[Path]:
    """Writes `images/<id>.png` for every example, of the size of its inputs.

    Where the target's range is not 0 to 255, `values/<id>.npy` holds float32
    in the target's own units; its picture goes from black to white over the
    range.
    """
    generate = tf.function(
        lambda inputs: model(inputs, training=False)[output_names(config)[-1]],
        reduce_retracing=True,
    )
    value_range = config.ranges[-1]
    paths = []
    progress = keras.utils.Progbar(None, unit_name="image")
    examples = unlabeled(config, data_dir, problems)
    for count, (name, inputs, size) in enumerate(examples):
        image = images.resize(generate(inputs)[0].numpy(), size)
        path = out / "images" / f"{name}.png"
        with replacing(path) as temporary:
            Image.fromarray(displayed(image)).save(temporary, format="png")
        paths.append(path)
        if value_range != values.BYTES:
            path = out / "values" / f"{name}.npy"
            with replacing(path) as temporary, open(temporary, "wb") as file:
                np.save(file, values.restored(image, value_range))
            paths.append(path)
        progress.update(count + 1)
    print()
    return paths
