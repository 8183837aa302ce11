"""Panels of classified rows."""

import textwrap
from typing import Any

import keras
import numpy as np
from PIL import Image
from PIL import ImageDraw

from applications.multimodal_classification import text_encoders
from applications.multimodal_classification.config import Config
from applications.multimodal_classification.model import PRESENCE
from applications.multimodal_classification.scores import predictor
from applications.multimodal_classification.sources import UNLABELLED

ROWS = 6
SIDE = 96
ABSENT = (225, 225, 225)
RIGHT, WRONG, UNKNOWN = (20, 120, 40), (190, 20, 20), (90, 90, 90)


def draw(model: keras.Model, batch: Any, config: Config) -> np.ndarray:
    """Up to six rows: each modality, and the class beside the prediction.

    Returns:
        uint8 array (height, width, 3).
    """
    inputs, targets = batch
    inputs = {name: np.asarray(x[:ROWS]) for name, x in inputs.items()}
    chances = predictor(model, config)(inputs).numpy()
    labels = np.asarray(next(iter(targets.values())))[:ROWS]
    return panel(inputs, chances, labels, config)


def panel(
    inputs: dict[str, np.ndarray],
    chances: np.ndarray,
    labels: np.ndarray,
    config: Config,
) -> np.ndarray:
    """The same of rows that are classified already."""
    names = config.modalities
    canvas = Image.new(
        "RGB",
        ((len(names) + 1) * SIDE, max(1, len(chances)) * SIDE),
        "white",
    )
    for row, chance in enumerate(chances):
        for column, name in enumerate(names):
            there = inputs[PRESENCE][row, column] > 0
            cell = _cell(inputs[name][row], name, config, there)
            canvas.paste(cell, (column * SIDE, row * SIDE))
        verdict = _verdict(chance, labels[row], config)
        canvas.paste(verdict, (len(names) * SIDE, row * SIDE))
    return np.asarray(canvas)


def _cell(
    value: np.ndarray, name: str, config: Config, there: bool
) -> Image.Image:
    if not there:
        return _written("missing", ABSENT)
    kind = config.kind(name)
    if kind == "images":
        picture = Image.fromarray(value.astype("uint8"))
        return picture.resize((SIDE, SIDE), Image.Resampling.NEAREST)
    if kind == "sounds":
        return _wave(value)
    if kind == "texts":
        return _written(text_encoders.decode(value, config), "white")
    return _bars(value)


def _written(text: str, color: Any) -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), color)
    lines = textwrap.wrap(text, SIDE // 6)[: SIDE // 12]
    ImageDraw.Draw(image).multiline_text((3, 2), "\n".join(lines), fill="black")
    return image


def _wave(sound: np.ndarray) -> Image.Image:
    """The largest deviation in each of as many parts as there are pixels."""
    image = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(image)
    for x, part in enumerate(np.array_split(np.abs(sound), SIDE)):
        half = part.max(initial=0) * SIDE / 2
        pen.line([(x, SIDE / 2 - half), (x, SIDE / 2 + half)], fill="black")
    return image


def _bars(vector: np.ndarray) -> Image.Image:
    """Numbers as bars up and down, deviations of three being the limit."""
    image = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(image)
    step = SIDE / max(1, len(vector))
    for place, value in enumerate(np.clip(vector, -3, 3)):
        ends = sorted((SIDE / 2, SIDE / 2 * (1 - value / 3)))
        box = [place * step, ends[0], (place + 1) * step, ends[1] + 1]
        pen.rectangle(box, fill=(46, 110, 180))
    return image


def _verdict(
    chance: np.ndarray, label: np.ndarray, config: Config
) -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(image)
    known = np.all(label != UNLABELLED)
    guess, truth = {chance.argmax()}, set()
    if config.multilabel:
        guess = set(np.flatnonzero(chance > 0.5))
    if known:
        truth = set(np.flatnonzero(label > 0)) if config.multilabel else {label}
    said, meant = (
        ", ".join(config.classes[place] for place in sorted(places))
        for places in (guess, truth)
    )
    color = (RIGHT if guess == truth else WRONG) if known else UNKNOWN
    pen.text((4, 20), meant or "no label", fill="black")
    pen.text((4, 40), said or "none", fill=color)
    pen.text((4, 60), f"{100 * chance.max():.0f} %", fill=color)
    return image
