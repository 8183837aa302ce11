"""Episodes as pictures: a panel of samples, and an animated GIF.

Boards look as the agent sees them, larger, and with the blocks' names on
them: their colors in the mini world, whose texts call them so, else their
numbers. A frame is the wanted place, dots are where a block has been.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

from applications.files import replacing
from applications.instruction_following import mini_world
from applications.instruction_following import players
from applications.instruction_following import scores
from applications.instruction_following.config import Config
from applications.instruction_following.rendering import extent
from applications.instruction_following.rendering import render
from applications.instruction_following.rules import Rules
from applications.instruction_following.rules import present

SAMPLES = 4
SIDE = 360
MARGIN = 6
# Height of the instruction's letters and lines, and of names on blocks.
LETTERS, LINE, NAMES = 15, 20, 13
# Half the side of what marks a place that a block has left.
DOT = 3
INK, PAPER = (20, 20, 20), (255, 255, 255)
# Milliseconds of the first frame, of those between, and of the last.
FIRST, FRAME, LAST = 1200, 250, 2500


def draw(model: keras.Model, batch: Any, config: Config) -> np.ndarray:
    """A row for each sample: start, where the agent ends, and the target.

    The instruction stands above. Neighbors in a batch are about the same
    board, so that samples come from all over it.
    """
    inputs, targets = (scores.arrays(group) for group in batch)
    chosen = evenly_spaced(len(targets["said"]))
    inputs = {name: value[chosen] for name, value in inputs.items()}
    targets = {name: value[chosen] for name, value in targets.items()}
    player = scores.player_of(model, config)(inputs, targets)
    played = players.play(player, scores.world_of(targets, config))
    rows = []
    for index, text in enumerate(targets["said"]):
        wanted = targets["target"][index, targets["moving"][index]]
        paths = (
            targets["start"][None, index],
            played.path[:, index],
            targets["target"][None, index],
        )
        boards = [board(path, config.rules, wanted) for path in paths]
        gap = np.full((SIDE, MARGIN, 3), 255, "uint8")
        row = [part for image in boards for part in (image, gap)][:-1]
        picture = np.concatenate(row, axis=1)
        rows += [caption(_text(text), picture.shape[1]), picture]
    return np.concatenate(rows)


def evenly_spaced(count: int) -> np.ndarray:
    """Up to `SAMPLES` numbers below the count, as far apart as possible."""
    ends = np.linspace(0, count - 1, min(SAMPLES, count))
    return ends.round().astype("int64")


def board(
    path: np.ndarray, rules: Rules, wanted: np.ndarray | None = None
) -> np.ndarray:
    """The last board of a path, (times, blocks, 2), at a good size."""
    last = path[-1]
    image = render(last[None], rules, SIDE)[0]
    picture = Image.fromarray(np.rint(255 * image).astype("uint8"))
    pen = ImageDraw.Draw(picture)
    for position in _left(path):
        _square(pen, _pixel(position, rules), DOT, fill=INK)
    letters = ImageFont.load_default(NAMES)
    for position, name in zip(last, names(rules), strict=True):
        if present(position):
            pen.text(
                tuple(_pixel(position, rules)),
                name,
                fill=PAPER,
                font=letters,
                anchor="mm",
                stroke_width=2,
                stroke_fill=INK,
            )
    if wanted is not None:
        half = rules.side * SIDE / (4 * extent(rules))
        # Two lines, one of which is seen on any color.
        _square(pen, _pixel(wanted, rules), half, outline=INK, width=2)
        _square(pen, _pixel(wanted, rules), half - 2, outline=PAPER)
    return np.asarray(picture)


def names(rules: Rules) -> list[str]:
    """What blocks are called in texts about their world."""
    if rules.num_blocks <= len(mini_world.COLORS):
        return list(mini_world.COLORS[: rules.num_blocks])
    return [str(number) for number in range(1, rules.num_blocks + 1)]


def _left(path: np.ndarray) -> np.ndarray:
    """The places that blocks have left, (places, 2)."""
    moved = np.abs(np.diff(path, axis=0)).max(axis=-1) > 0
    return path[:-1][moved]


def _pixel(position: np.ndarray, rules: Rules) -> np.ndarray:
    """Column and row of a place on the board."""
    return (position * (1, -1) + extent(rules)) * SIDE / (2 * extent(rules))


def _square(
    pen: ImageDraw.ImageDraw, center: np.ndarray, half: float, **style: Any
) -> None:
    pen.rectangle([*(center - half), *(center + half - 1)], **style)


def caption(text: str, width: int) -> np.ndarray:
    """The text in black on white, in as many lines as it takes."""
    letters = ImageFont.load_default(LETTERS)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if letters.getlength(longer) <= width - 2 * MARGIN:
            lines[-1] = longer
        else:
            lines.append(word)
    image = Image.new("RGB", (width, len(lines) * LINE + MARGIN), PAPER)
    pen = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        pen.text((MARGIN, 2 + row * LINE), line, fill=INK, font=letters)
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
        np.concatenate([title, board(path[: time + 1], rules, wanted)])
        for time in range(len(path))
    ]
    # The colors of the end are those of all: with a palette for each frame
    # they would flicker.
    colors = Image.fromarray(frames[-1]).quantize(256)
    images = [
        Image.fromarray(frame).quantize(
            palette=colors, dither=Image.Dither.NONE
        )
        for frame in frames
    ]
    duration = [FIRST] + [FRAME] * (len(images) - 2) + [LAST]
    with replacing(file) as temporary:
        images[0].save(
            temporary,
            save_all=True,
            append_images=images[1:],
            duration=duration[: len(images)],
            loop=0,
        )


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
