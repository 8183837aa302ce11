"""Panels of samples, colored masks and overlays."""

import colorsys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from PIL import ImageDraw

from applications.datasets.paired_folder import IGNORE
from applications.runs import replacing
from applications.semantic_segmentation.config import Config
from applications.semantic_segmentation.config import output_names
from applications.semantic_segmentation.data import resize
from applications.semantic_segmentation.data import unlabeled

SAMPLES = 4
HEADER = 14
MARGIN = 2
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
    inputs = {name: images[:SAMPLES] for name, images in inputs.items()}
    outputs = model(inputs, training=False)
    names = output_names(config)
    truth = keras.ops.convert_to_numpy(targets[names[0]])[:SAMPLES]
    columns = [
        (modality, [shown(image) for image in np.asarray(inputs[modality])])
        for modality in config.modalities
    ]
    columns.append(("truth", [colored(mask, config) for mask in truth]))
    for name in names:
        masks = np.argmax(outputs[name], axis=-1)
        title = f"{name} says" if name in config.modalities else name
        columns.append((title, [colored(mask, config) for mask in masks]))
    return _grid(columns)


def predict(
    model: keras.Model, config: Config, data_dir: str, out: Path
) -> list[Path]:
    """Writes `masks/<id>.png` and `overlays/<id>.png` for every example.

    A mask is a palette image whose values are class indices; an overlay lays
    its colors over the first modality. Both have the size of the input.
    """
    segment = tf.function(
        lambda inputs: model(inputs, training=False)[output_names(config)[-1]],
        reduce_retracing=True,
    )
    written = []
    for folder in ("masks", "overlays"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    progress = keras.utils.Progbar(None, unit_name="image")
    for count, (name, inputs, size) in enumerate(unlabeled(config, data_dir)):
        logits = segment(inputs)[0].numpy()
        mask = resize(logits, size).argmax(axis=-1).astype("uint8")
        picture = shown(resize(inputs[config.modalities[0]][0], size))
        images = {
            "masks": paletted(mask, config),
            "overlays": Image.blend(
                Image.fromarray(picture),
                Image.fromarray(colored(mask, config)),
                0.5,
            ),
        }
        for folder, image in images.items():
            path = out / folder / f"{name}.png"
            with replacing(path) as temporary:
                image.save(temporary, format="png")
            written.append(path)
        progress.update(count + 1)
    print()
    return written


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


def shown(image: np.ndarray) -> np.ndarray:
    """A standardized image, its middle 98 % stretched over uint8."""
    image = image[..., :3]
    low, high = np.percentile(image, (1, 99))
    share = (image - low) / max(high - low, 1e-6)
    return np.round(255 * np.clip(share, 0, 1)).astype("uint8")


def _grid(columns: list[tuple[str, list[np.ndarray]]]) -> np.ndarray:
    height, width = columns[0][1][0].shape[:2]
    rows = len(columns[0][1])
    canvas = Image.new(
        "RGB",
        (
            len(columns) * (width + MARGIN) - MARGIN,
            HEADER + rows * (height + MARGIN) - MARGIN,
        ),
        "white",
    )
    text = ImageDraw.Draw(canvas)
    for column, (title, images) in enumerate(columns):
        left = column * (width + MARGIN)
        text.text((left + 2, 1), title, fill="black")
        for row, image in enumerate(images):
            top = HEADER + row * (height + MARGIN)
            canvas.paste(Image.fromarray(image), (left, top))
    return np.asarray(canvas)
