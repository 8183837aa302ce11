"""Panels of samples, colored masks and overlays."""

import colorsys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from applications.files import replacing
from applications.inputs import image as images
from applications.inputs.mask import IGNORE
from applications.semantic_segmentation.config import Config
from applications.semantic_segmentation.config import output_names
from applications.semantic_segmentation.data import unlabeled

SAMPLES = 4
UNLABELED = (90, 90, 90)


def draw(model: keras.Model, batch: Any, config: Config) -> np.ndarray:
    """A row for each sample: modalities, truth, the prediction of each output.

    Args:
        model: A model of this task.
        batch: `(inputs, targets)`; at most four of its samples are drawn.
        config: The run's settings.

    Returns:
        uint8 array (height, width, 3).
    """
    inputs, targets = batch
    inputs = {name: values[:SAMPLES] for name, values in inputs.items()}
    outputs = model(inputs, training=False)
    names = output_names(config)
    truth = keras.ops.convert_to_numpy(targets[names[0]])[:SAMPLES]
    columns = [
        (
            modality,
            [images.displayed(image) for image in np.asarray(inputs[modality])],
        )
        for modality in config.modalities
    ]
    columns.append(("truth", [colored(mask, config) for mask in truth]))
    for name in names:
        masks = np.argmax(outputs[name], axis=-1)
        title = f"{name} says" if name in config.modalities else name
        columns.append((title, [colored(mask, config) for mask in masks]))
    return images.panel(columns)


def predict(
    model: keras.Model,
    config: Config,
    data_dir: Path,
    out: Path,
    problems: list[str],
) -> list[Path]:
    """Writes `masks/<id>.png` and `overlays/<id>.png` for every example.

    A mask is a palette image whose values are class indices; an overlay lays
    its colors over the first modality. Both have the size of the input.
    """
    segment = tf.function(
        lambda inputs: model(inputs, training=False)[output_names(config)[-1]],
        reduce_retracing=True,
    )
    paths = []
    progress = keras.utils.Progbar(None, unit_name="image")
    examples = unlabeled(config, data_dir, problems)
    for count, (name, inputs, size) in enumerate(examples):
        logits = segment(inputs)[0].numpy()
        mask = images.resize(logits, size).argmax(axis=-1).astype("uint8")
        picture = images.displayed(
            images.resize(inputs[config.modalities[0]][0], size)
        )
        pictures = {
            "masks": paletted(mask, config),
            "overlays": Image.blend(
                Image.fromarray(picture),
                Image.fromarray(colored(mask, config)),
                0.5,
            ),
        }
        for folder, image in pictures.items():
            path = out / folder / f"{name}.png"
            with replacing(path) as temporary:
                image.save(temporary, format="png")
            paths.append(path)
        progress.update(count + 1)
    print()
    return paths


def palette(count: int) -> np.ndarray:
    """Colors (count, 3) that differ in hue; the first is nearly black."""
    turn = (5**0.5 - 1) / 2
    colors = [(0.08, 0.08, 0.1)] + [
        colorsys.hsv_to_rgb(
            (0.11 + turn * index) % 1, 0.75 - 0.25 * (index % 2), 0.95
        )
        for index in range(count - 1)
    ]
    return np.round(255 * np.array(colors)).astype("uint8")


def colored(mask: np.ndarray, config: Config) -> np.ndarray:
    """Class indices (height, width) as uint8 colors (height, width, 3)."""
    table = np.full((256, 3), UNLABELED, "uint8")
    table[: len(config.classes)] = palette(len(config.classes))
    return table[np.where(mask == IGNORE, 255, mask)]


def paletted(mask: np.ndarray, config: Config) -> Image.Image:
    image = Image.fromarray(mask)
    image.putpalette(palette(len(config.classes)).tobytes())
    return image
