"""Episodes: boards before and after, the block that moves, what was said."""

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from applications.instruction_following import entries
from applications.instruction_following.rules import ABSENT
from applications.instruction_following.rules import BLOCKS

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


class Move(NamedTuple):
    """A note of a file: a board before and after it, and what was said."""

    start: np.ndarray
    target: np.ndarray
    block: int
    texts: list[str]


def read(file: Path) -> Episodes:
    """The single moves of a part of the data in the public Blocks format.

    Whoever wrote a text is no part of it: worker ids, if there are any, are
    not read.
    """
    episodes = entries.read(file, "episodes with states and notes", _moves)
    moves = [move for moves in episodes for move in moves]
    if not moves:
        raise ValueError(
            f"{file}: expected notes of type {SINGLE_MOVE}, received none"
        )
    start, target, block, texts = zip(*moves, strict=True)
    return Episodes(
        np.stack(start),
        np.stack(target),
        np.array(block),
        tuple(itertools.chain(*texts)),
        np.repeat(np.arange(len(texts)), list(map(len, texts))),
    )


def _moves(episode: dict) -> list[Move]:
    """The single moves of an episode."""
    states = entries.value(episode, "states", list)

    def move(note: dict) -> Move | None:
        if entries.value(note, "type", str) != SINGLE_MOVE:
            return None
        return _move(note, states)

    notes = entries.value(episode, "notes", list)
    return [one for one in entries.each(notes, "note", move) if one is not None]


def _move(note: dict, states: list) -> Move:
    before, after = (_state(note, end, states) for end in ("start", "finish"))
    if len(before) != len(after):
        raise ValueError(
            "expected as many blocks at the finish as at the start, received "
            f"{len(after)} and {len(before)}"
        )
    moves = np.abs(after - before).max(axis=1) > 1e-6
    if moves.sum() != 1:
        raise ValueError(
            "expected a note that moves one block, received "
            f"{moves.sum()} moving blocks"
        )
    texts = entries.texts(note, "notes")
    return Move(
        _on_board(before), _on_board(after), int(np.argmax(moves)), texts
    )


def _state(note: dict, end: str, states: list) -> np.ndarray:
    number = entries.value(note, end, int)
    if not 0 <= number < len(states):
        raise ValueError(
            f"{end} must be the number of a state, from 0 to "
            f"{len(states) - 1}, received {number}"
        )
    return _places(states[number])


def as_board(state: list[list[float]]) -> np.ndarray:
    """A state of the file, [x, height, z] for each block, on our board.

    The file's x grows to the right of the people's picture, its z upwards.
    """
    return _on_board(_places(state))


def _places(state: list[list[float]]) -> np.ndarray:
    places = entries.positions(state, "[x, y, z]", BLOCKS)
    return places[:, [0, 2]]


def _on_board(places: np.ndarray) -> np.ndarray:
    board = np.full((BLOCKS.num_blocks, 2), ABSENT)
    board[: len(places)] = places
    return board
