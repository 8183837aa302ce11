"""Panels of images with their maps, and the graph of co-occurrence."""

import textwrap
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from PIL import ImageDraw

from applications.callbacks import save_picture
from applications.datasets.label_sets import ABSENT
from applications.datasets.label_sets import PRESENT
from applications.datasets.label_sets import UNKNOWN
from applications.inputs import image as images
from applications.multilabel_recognition.config import Config

SAMPLES = 6
SHOWN = 4
SIDE = 160
TEXT = 14
LEFT = 90
CELL = 36
# Of a label, how it is written and in which color.
SAID = {
    PRESENT: ("is there", (20, 120, 40)),
    ABSENT: ("is not there", (190, 20, 20)),
    UNKNOWN: ("not known", (90, 90, 90)),
}
# From dark to bright.
HEAT = np.array([(20, 10, 80), (200, 40, 60), (255, 230, 90)], "float32")


def draw(model: keras.Model, batch: Any, config: Config) -> np.ndarray:
    """A row for each sample: what is there, and the four likeliest categories.

    A category has the map of where it was looked for, over the picture, where
    the model has maps, and below it whether it is there.

    Args:
        model: A model of this task.
        batch: `(inputs, targets)`; at most six of its samples are drawn.
        config: The run's settings.

    Returns:
        uint8 array (height, width, 3).
    """
    inputs, targets = batch
    inputs = {name: values[:SAMPLES] for name, values in inputs.items()}
    outputs = model(inputs, training=False)
    chances = np.asarray(keras.ops.sigmoid(outputs["label"]), "float32")
    truth = np.asarray(targets["label"])
    pictures = np.asarray(inputs[config.inputs[0]])[..., :3]
    maps = np.asarray(outputs["attention"]) if config.has_maps else None
    shown = min(SHOWN, len(config.classes))
    size = (SIDE * (1 + shown), (SIDE + 2 * TEXT) * len(pictures))
    canvas = Image.new("RGB", size, "white")
    text = ImageDraw.Draw(canvas)
    for row, picture in enumerate(pictures):
        top = (SIDE + 2 * TEXT) * row
        canvas.paste(_enlarged(picture), (0, top))
        there = np.flatnonzero(truth[row] == 1)
        names = ", ".join(config.classes[c] for c in there) or "none"
        _write(text, names, (2, top + SIDE))
        for place, c in enumerate(np.argsort(-chances[row])[:shown], 1):
            shown_map = picture
            if maps is not None:
                shown_map = overlay(picture, maps[row, c])
            canvas.paste(_enlarged(shown_map), (SIDE * place, top))
            likely = f"{config.classes[c]} {100 * chances[row, c]:.0f} %"
            said, color = SAID[int(truth[row, c])]
            corner = (SIDE * place + 2, top + SIDE)
            text.text(corner, f"{likely}\n{said}", fill=color)
    return np.asarray(canvas)


def _write(
    text: ImageDraw.ImageDraw, words: str, corner: tuple[int, int]
) -> None:
    """In two lines; what is too long for them is cut off."""
    lines = textwrap.wrap(words, SIDE // 6 - 1)[:2]
    text.text(corner, "\n".join(lines), fill="black")


def _enlarged(picture: np.ndarray) -> Image.Image:
    image = Image.fromarray(np.clip(picture, 0, 255).astype("uint8"))
    return image.resize((SIDE - 2, SIDE - 2), Image.Resampling.BILINEAR)


def overlay(picture: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """A map (height, width) over a picture from 0 to 255, uint8.

    Its smallest value is dark blue and its largest bright yellow.
    """
    heat = images.resize(attention[..., None], picture.shape[:2])[..., 0]
    share = (heat - heat.min()) / max(float(np.ptp(heat)), 1e-12)
    places = np.linspace(0, 1, len(HEAT))
    colors = [np.interp(share, places, HEAT[:, k]) for k in range(3)]
    mixed = 0.5 * np.clip(picture, 0, 255) + 0.5 * np.stack(colors, axis=-1)
    return np.rint(mixed).astype("uint8")


def draw_graph(graph: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """The co-occurrence as a matrix: from white, never, to blue, always.

    Rows are what is there, columns what is there too.
    """
    cell = max(4, min(CELL, 1200 // len(names)))
    side = LEFT + cell * len(names)
    canvas = Image.new("RGB", (side, side), "white")
    pen = ImageDraw.Draw(canvas)
    for row, name in enumerate(names):
        low = LEFT + cell * row
        if cell >= 10:
            pen.text((2, low + cell // 2 - 6), name[:14], fill="black")
            _turned(canvas, name[:14], low + cell // 2 - 6)
        for column, value in enumerate(graph[row]):
            left = LEFT + cell * column
            fade = round(255 * (1 - float(value)))
            box = (left, low, left + cell - 2, low + cell - 2)
            pen.rectangle(box, fill=(fade, fade, 255))
            if cell >= 30 and row != column:
                color = "white" if value > 0.5 else "black"
                pen.text(
                    (left + 5, low + cell // 2 - 6), f"{value:.2f}", fill=color
                )
    return np.asarray(canvas)


def _turned(canvas: Image.Image, name: str, left: int) -> None:
    """Text from the bottom up, over a column."""
    strip = Image.new("RGB", (LEFT - 4, TEXT), "white")
    ImageDraw.Draw(strip).text((0, 0), name, fill="black")
    canvas.paste(strip.rotate(90, expand=True), (left, 2))


class GraphPicture(keras.callbacks.Callback):
    """Keeps a picture of the graph in the run, and for TensorBoard."""

    def __init__(
        self, graph: np.ndarray, config: Config, run_dir: Path
    ) -> None:
        super().__init__()
        self.picture = draw_graph(graph, config.classes)
        self.run_dir = run_dir

    def on_train_begin(self, logs: dict | None = None) -> None:
        save_picture(
            self.run_dir / "pictures" / "cooccurrence.png", self.picture
        )
        folder = self.run_dir / "logs" / "cooccurrence"
        writer = tf.summary.create_file_writer(str(folder))
        with writer.as_default():
            tf.summary.image("cooccurrence", self.picture[None], step=0)
        writer.close()
