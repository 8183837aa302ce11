"""Panels of classified images, and a picture of the branches' weights."""

from typing import Any

import keras
import numpy as np
from PIL import Image
from PIL import ImageDraw

from applications.image_classification.config import Config
from keras_fusion.statistics import branch_statistics

SAMPLES = 16
COLUMNS = 8
SIDE = 96
TEXT = 26
RIGHT = (20, 120, 40)
WRONG = (190, 20, 20)
BAR = 300
LINE = 18
CHANNEL = 4
COLORS = ((46, 110, 180), (230, 150, 40))


def draw(model: keras.Model, batch: Any, config: Config) -> np.ndarray:
    """Images, each over its class and what the model takes it for.

    Args:
        model: A model of this task.
        batch: `(inputs, targets)`; at most sixteen of its images are drawn.
        config: The run's settings.

    Returns:
        uint8 array (height, width, 3).
    """
    inputs, targets = batch
    images = inputs["image"][:SAMPLES]
    logits = np.asarray(model({"image": images}, training=False)["label"])
    labels = np.asarray(targets["label"])[:SAMPLES]
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    rows = -(-len(images) // COLUMNS)
    canvas = Image.new("RGB", (COLUMNS * SIDE, rows * (SIDE + TEXT)), "white")
    text = ImageDraw.Draw(canvas)
    for index, image in enumerate(np.asarray(images)):
        row, column = divmod(index, COLUMNS)
        corner = (column * SIDE, row * (SIDE + TEXT))
        canvas.paste(shown(image), corner)
        guess = int(chances[index].argmax())
        below = (corner[0] + 2, corner[1] + SIDE + 1)
        text.text(below, config.classes[labels[index]], fill="black")
        text.text(
            (below[0], below[1] + TEXT // 2),
            f"{config.classes[guess]} {100 * chances[index, guess]:.0f} %",
            fill=RIGHT if guess == labels[index] else WRONG,
        )
    return np.asarray(canvas)


def shown(image: np.ndarray) -> Image.Image:
    """A standardized image, stretched over gray levels and enlarged."""
    low, high = image.min(), image.max()
    levels = np.round(255 * (image - low) / max(high - low, 1e-6))
    levels = np.broadcast_to(levels, (*image.shape[:2], 3)).astype("uint8")
    side = SIDE - 2
    return Image.fromarray(levels).resize((side, side), Image.Resampling.BOX)


def draw_branches(
    names: tuple[str, ...], weights: np.ndarray, activations: np.ndarray
) -> np.ndarray:
    """Bars of share and contribution, and the weight of every channel.

    Channels stand in the order of the branch that counts most in them; red
    weights are positive, blue ones negative.
    """
    described = branch_statistics(weights, activations)
    strip = max(BAR + 60, CHANNEL * len(weights))
    height = LINE * (3 * len(names) + 3)
    canvas = Image.new("RGB", (90 + strip, height), "white")
    pen = ImageDraw.Draw(canvas)
    pen.text((90, 2), "share of |w|", fill=COLORS[0])
    pen.text((190, 2), "contribution", fill=COLORS[1])
    for index, name in enumerate(names):
        top = LINE * (1 + 2 * index)
        pen.text((4, top + LINE // 2), name, fill="black")
        for line, key in enumerate(("share", "contribution")):
            share, y = float(described[key][index]), top + line * (LINE - 4)
            pen.rectangle(
                (90, y + 2, 90 + round(BAR * share), y + LINE - 6),
                fill=COLORS[line],
            )
            pen.text(
                (96 + round(BAR * share), y), f"{100 * share:.1f} %", fill=0
            )
    top = LINE * (2 * len(names) + 1)
    pen.text((90, top + 2), "weight of each channel", fill="black")
    strongest = np.abs(weights * activations).argmax(axis=1)
    ordered = weights[np.argsort(strongest, kind="stable")]
    colored = Image.fromarray(signed(ordered.T)).resize(
        (CHANNEL * len(weights), LINE * len(names)), Image.Resampling.NEAREST
    )
    canvas.paste(colored, (90, top + LINE))
    for index, name in enumerate(names):
        pen.text((4, top + LINE * (1 + index)), name, fill="black")
    return np.asarray(canvas)


def signed(values: np.ndarray) -> np.ndarray:
    """White at zero, red above, blue below, as uint8 colors."""
    share = values / max(np.abs(values).max(), 1e-12)
    fade = 1 - np.abs(share)
    red = np.where(share > 0, 1, fade)
    blue = np.where(share < 0, 1, fade)
    colors = np.stack([red, fade, blue], axis=-1)
    return np.round(255 * colors).astype("uint8")
