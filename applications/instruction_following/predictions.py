"""Plays episodes whose targets are unknown."""

import json
import reprlib
from pathlib import Path
from typing import Any

import keras
import numpy as np

from applications import files
from applications.instruction_following import entries
from applications.instruction_following import episodes
from applications.instruction_following import instructions
from applications.instruction_following import pictures
from applications.instruction_following import players
from applications.instruction_following import scores
from applications.instruction_following import sources
from applications.instruction_following.batched_world import BatchedWorld
from applications.instruction_following.config import Config
from applications.instruction_following.rules import present
from applications.runs import Run

BATCH_SIZE = 64


def predict(
    model: keras.Model,
    config: Config,
    data_dir: Path,
    out: Path,
    problems: list[str],
) -> list[Path]:
    """Actions for every `*.json` of a folder.

    A file is a list of `{"state": [[x, y, z], ...], "instruction": text}`,
    positions as in the Blocks format, in the mini world `[right, up]` in
    cells. The file of the same name in `out` lists, for each, the actions
    taken, the positions at the end, and whether the agent stopped.
    """
    questions = sorted(data_dir.glob("*.json"))
    if not questions:
        raise FileNotFoundError(
            f"{data_dir} has no *.json; expected lists of objects with a "
            "state and an instruction"
        )
    paths = []
    for file in questions:
        try:
            tasks = _read(file, config)
        except ValueError as error:
            problems.append(str(error))
            continue
        answers = []
        for first in range(0, len(tasks), BATCH_SIZE):
            answers += follow(model, config, tasks[first : first + BATCH_SIZE])
        files.write(out / file.name, json.dumps(answers, indent=1) + "\n")
        paths.append(out / file.name)
    return paths


def follow(
    model: keras.Model, config: Config, tasks: list[tuple[np.ndarray, str]]
) -> list[dict[str, Any]]:
    path, stopped = played(model, config, tasks)
    return [
        {
            "instruction": text,
            "actions": actions_in_words(path[:, row], bool(stopped[row])),
            "positions": _as_in_file(path[-1, row], config),
            "stopped": bool(stopped[row]),
        }
        for row, (_, text) in enumerate(tasks)
    ]


def played(
    model: keras.Model, config: Config, tasks: list[tuple[np.ndarray, str]]
) -> tuple[np.ndarray, np.ndarray]:
    """The positions at all times, and which episodes the agent stopped."""
    start = np.stack([board for board, _ in tasks])
    tokens = [instructions.tokenize(text) for _, text in tasks]
    longest = max(1, *map(len, tokens))
    text = instructions.encode(
        tokens, config.words, min(longest, config.text_length)
    )
    player = scores.player_of(model, config)({"text": text}, {})
    result = players.play(player, BatchedWorld(config.rules, start, start))
    return result.path, result.stopped


def actions_in_words(path: np.ndarray, stopped: bool) -> list[str]:
    """What moved from time to time, of positions (times, blocks, 2)."""
    words = []
    for before, after in zip(path[:-1], path[1:], strict=True):
        moved = np.abs(after - before).sum(axis=1)
        if not moved.any():
            continue
        block = int(moved.argmax())
        shift = after[block] - before[block]
        axis = int(np.abs(shift).argmax())
        positive = int(shift[axis] > 0)
        name = (("left", "right"), ("down", "up"))[axis][positive]
        words.append(f"{block + 1} {name}")
    return words + ["stop"] * stopped


def _read(file: Path, config: Config) -> list[tuple[np.ndarray, str]]:
    def question(entry: dict) -> tuple[np.ndarray, str]:
        board = _board(entries.value(entry, "state", list), config)
        return board, entries.text(entry, "instruction")

    return entries.read(
        file, "objects with a state and an instruction", question
    )


def _board(state: list[list[float]], config: Config) -> np.ndarray:
    if config.world == "blocks":
        return episodes.as_board(state)
    board = entries.positions(state, "[right, up]", config.rules)
    if len(board) != config.rules.num_blocks:
        raise ValueError(
            f"expected {config.rules.num_blocks} positions [right, up] in "
            f"cells from the middle, received {reprlib.repr(state)}"
        )
    return board


def _as_in_file(board: np.ndarray, config: Config) -> list[list[float]]:
    on_board = board[present(board)]
    if config.world != "blocks":
        return on_board.round(6).tolist()
    return [[round(x, 6), 0.1, round(z, 6)] for x, z in on_board.tolist()]


def play_one(
    run: Run,
    split: str,
    index: int,
    out: Path,
    instruction: str | None = None,
    data_dir: str | None = None,
) -> str:
    """Plays an episode of the data, maybe by another text; returns a report."""
    model, config = run.model(), run.data(data_dir).config
    splits = sources.find(config).splits
    if split not in splits:
        raise ValueError(
            f"the data has no {split} split; it has: {', '.join(splits)}"
        )
    part = splits[split]()
    if not 0 <= index < len(part.texts):
        raise ValueError(
            f"index must be from 0 to {len(part.texts) - 1}, received {index}"
        )
    board = part.board[index]
    text = instruction or part.texts[index]
    paths, stopped = played(model, config, [(part.start[board], text)])
    wanted = None
    if instruction is None:
        wanted = part.target[board, part.block[board]]
    pictures.animate(paths[:, 0], text, config.rules, out, wanted)
    actions = (
        ", ".join(actions_in_words(paths[:, 0], bool(stopped[0]))) or "nothing"
    )
    return f"{text}\nactions: {actions}\nwritten: {out}"
