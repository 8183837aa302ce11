"""Panels of images with a caption of theirs and the one that is generated."""

import textwrap
from typing import Any

import keras
import numpy as np
from PIL import Image
from PIL import ImageDraw

from applications.captioning.config import Config
from applications.captioning.data import IMAGE
from applications.captioning.data import WORDS
from applications.captioning.generation import beam_search
from applications.captioning.likelihoods import teller_of
from applications.inputs import caption as captions

ROWS, SIDE, WIDTH = 6, 96, 480
SAID, WRITTEN = "black", (20, 80, 160)


def draw(model: keras.Model, batch: Any, config: Config) -> np.ndarray:
    """Up to six images: a caption of theirs, and in blue the model's.

    Returns:
        uint8 array (height, width, 3).
    """
    inputs, _ = batch
    images, words = (np.asarray(inputs[name]) for name in (IMAGE, WORDS))
    # One caption of each image.
    flat = images.reshape(len(images), -1)
    is_other = np.any(flat[1:] != flat[:-1], axis=1)
    kept = np.flatnonzero(np.concatenate([[True], is_other]))[:ROWS]
    teller = teller_of(model, config)
    codes = teller.codes(images[kept])
    best = beam_search(teller.step(codes), len(codes), config.length, width=1)
    canvas = Image.new("RGB", (WIDTH, len(kept) * SIDE), "white")
    pen = ImageDraw.Draw(canvas)
    for row, place in enumerate(kept):
        top = row * SIDE
        canvas.paste(_shown(images[place]), (0, top))
        said = captions.decode(words[place, 1:], config.words)
        pen.multiline_text((SIDE + 4, top + 2), _wrapped(said), fill=SAID)
        told = captions.decode(best[row][0].words, config.words)
        middle = (SIDE + 4, top + SIDE // 2)
        pen.multiline_text(middle, _wrapped(told), fill=WRITTEN)
    return np.asarray(canvas)


def _shown(image: np.ndarray) -> Image.Image:
    """Pixels, or features as gray levels in a square."""
    if image.ndim == 3 and image.shape[2] == 3:
        picture = Image.fromarray(image.astype("uint8"))
        return picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    values = image.ravel()
    side = int(np.ceil(np.sqrt(len(values))))
    square = np.zeros(side * side)
    square[: len(values)] = values / max(float(np.abs(values).max()), 1e-9)
    gray = (255 * np.abs(square)).astype("uint8").reshape(side, side)
    picture = Image.fromarray(gray).convert("RGB")
    return picture.resize((SIDE, SIDE), Image.Resampling.NEAREST)


def _wrapped(words: tuple[str, ...]) -> str:
    lines = textwrap.wrap(captions.join(words), (WIDTH - SIDE - 8) // 6)
    return "\n".join(lines[: SIDE // 2 // 14])
