"""Episodes as pictures: a panel of samples, and an animated GIF."""

import textwrap
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image
from PIL import ImageDraw

from applications.instruction_following import players
from applications.instruction_following import scores
from applications.instruction_following.config import Config
from applications.instruction_following.rendering import extent
from applications.instruction_following.rendering import render
from applications.instruction_following.rules import Rules
from applications.runs import replacing

SAMPLES = 4
SIDE = 240
MARGIN = 4
LINE = 12
INK = (20, 20, 20)
TARGET = (220, 30, 30)
# Milliseconds of a frame, and of the last one.
FRAME, LAST = 250, 1500


def draw(model: keras.Model, batch: Any, config: Config) -> np.ndarray:
    """A row for each sample: start, where the agent ends, and the target.

    The instruction stands above, the wanted place is framed.
    """
    inputs, targets = batch
    inputs = {k: v[:SAMPLES] for k, v in scores.arrays(inputs).items()}
    targets = {k: v[:SAMPLES] for k, v in scores.arrays(targets).items()}
    player = scores.player_of(model, config)(inputs, targets)
    played = players.play(player, scores.world_of(targets, config))
    rows = []
    for index, text in enumerate(targets["said"]):
        wanted = targets["target"][index, targets["moving"][index]]
        stages = (
            targets["start"][index],
            played.path[-1, index],
            targets["target"][index],
        )
        boards = [board(stage, config.rules, wanted) for stage in stages]
        gap = np.full((SIDE, MARGIN, 3), 255, "uint8")
        row = [part for image in boards for part in (image, gap)][:-1]
        picture = np.concatenate(row, axis=1)
        rows += [caption(_text(text), picture.shape[1]), picture]
    return np.concatenate(rows)


def board(
    positions: np.ndarray, rules: Rules, wanted: np.ndarray | None = None
) -> np.ndarray:
    """A board at a good size, with the wanted place framed."""
    image = render(positions[None], rules, SIDE)[0]
    picture = Image.fromarray(np.rint(255 * image).astype("uint8"))
    if wanted is not None:
        scale = SIDE / (2 * extent(rules))
        centre = (wanted * (1, -1) + extent(rules)) * scale
        half = rules.side * scale / 2
        corners = [*(centre - half), *(centre + half - 1)]
        ImageDraw.Draw(picture).rectangle(corners, outline=TARGET, width=2)
    return np.asarray(picture)


def caption(text: str, width: int, lines: int = 3) -> np.ndarray:
    """The text in black on white."""
    image = Image.new("RGB", (width, lines * LINE + MARGIN), "white")
    wrapped = textwrap.wrap(text, max(10, width // 6))[:lines] or [""]
    # Pillow's built-in font has no other letters.
    plain = "\n".join(wrapped).encode("latin-1", "replace").decode("latin-1")
    ImageDraw.Draw(image).multiline_text(
        (MARGIN, 1), plain, fill=INK, spacing=1
    )
    return np.asarray(image)


def animate(
    path: np.ndarray,
    text: str,
    rules: Rules,
    file: Path,
    wanted: np.ndarray | None = None,
) -> None:
    """Writes an episode, (times, blocks, 2), as an animated GIF."""
    title = caption(text, SIDE)
    frames = [
        Image.fromarray(np.concatenate([title, board(places, rules, wanted)]))
        for places in path
    ]
    # One palette for all, or colours flicker.
    frames = [frame.quantize(128, dither=Image.Dither.NONE) for frame in frames]
    with replacing(file) as temporary:
        frames[0].save(
            temporary,
            save_all=True,
            append_images=frames[1:],
            duration=[FRAME] * (len(frames) - 1) + [LAST],
            loop=0,
        )


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
