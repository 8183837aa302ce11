"""Episodes: boards before and after, the block that moves, what was said."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from applications import files
from applications.instruction_following.rules import ABSENT
from applications.instruction_following.rules import BLOCKS

# Names of the parts of the data, and of their files.
FILES = {"train": "train.json", "validation": "dev.json", "test": "test.json"}
SINGLE_MOVE = "A0"


class Episodes(NamedTuple):
    """Boards, and the instructions that point to them."""

    start: np.ndarray
    """(boards, blocks, 2), right and up; `ABSENT` where a block is missing."""
    target: np.ndarray
    """The same after the move."""
    block: np.ndarray
    """(boards,), the block that moves."""
    texts: tuple[str, ...]
    """Every instruction."""
    board: np.ndarray
    """(instructions,), the board of each."""


def read(folder: str | Path, part: str) -> Episodes:
    """The single moves of a part of a folder in the public Blocks format.

    Whoever wrote a text is no part of it: worker ids, if there are any, are
    not read.
    """
    file = Path(folder) / FILES[part]
    text = files.read_text(file)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not readable JSON: {error}") from error
    try:
        return _episodes_of(content)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ValueError(
            f"{file} is not in the Blocks format, a list of episodes with "
            f"states and notes ({type(error).__name__}: {error})"
        ) from error


def _episodes_of(content: list[dict]) -> Episodes:
    boards, texts, board = [], [], []
    for episode in content:
        for note in episode["notes"]:
            if note["type"] != SINGLE_MOVE:
                continue
            before, after = (
                as_board(episode["states"][note[end]])
                for end in ("start", "finish")
            )
            moves = np.abs(after - before).max(axis=1) > 1e-6
            if moves.sum() != 1:
                raise ValueError(
                    f"expected a note that moves one block, received "
                    f"{moves.sum()} moving blocks"
                )
            texts += note["notes"]
            board += [len(boards)] * len(note["notes"])
            boards.append((before, after, int(np.argmax(moves))))
    if not boards:
        raise ValueError(f"expected notes of type {SINGLE_MOVE}, received none")
    start, target, block = zip(*boards, strict=True)
    return Episodes(
        np.stack(start),
        np.stack(target),
        np.array(block),
        tuple(texts),
        np.array(board),
    )


def as_board(state: list[list[float]]) -> np.ndarray:
    """A state of the file, [x, height, z] for each block, on our board.

    The file's x grows to the right of the people's picture, its z upwards.
    """
    positions = np.array(state, "float64")
    too_many = len(positions) > BLOCKS.num_blocks
    if positions.ndim != 2 or positions.shape[1] != 3 or too_many:
        raise ValueError(
            f"expected up to {BLOCKS.num_blocks} positions [x, y, z], "
            f"received an array of shape {positions.shape}"
        )
    board = np.full((BLOCKS.num_blocks, 2), ABSENT)
    board[: len(positions)] = positions[:, [0, 2]]
    return board
