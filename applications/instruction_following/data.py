"""From episodes to batches of the task.

An element is `(inputs, targets)`, dicts of arrays. A policy learns from the
states of demonstrations, a planner from boards and instructions; both are
drawn anew in each epoch, from the seed and the epoch alone. With learning
from rewards an element is a batch of episodes, which the model plays itself.
Elements of the validation and test parts are whole episodes at their start.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from applications import epochs
from applications.findings import Findings
from applications.instruction_following import instructions
from applications.instruction_following import sources
from applications.instruction_following.config import Config
from applications.instruction_following.demonstrations import Demonstrations
from applications.instruction_following.demonstrations import demonstrate
from applications.instruction_following.episodes import Episodes
from applications.instruction_following.goal_network import CELL
from applications.instruction_following.goal_network import goal_places
from applications.instruction_following.rendering import extent
from applications.instruction_following.rendering import render
from applications.instruction_following.rules import Rules
from applications.instruction_following.rules import present
from applications.instruction_following.rules import split_action
from applications.reports import percent
from applications.task import Data

# Batches whose texts are sorted by length before they are cut apart.
SORTED_TOGETHER = 16
# One in so many boards of a planner's training batches has a picture.
LOOKED_AT = 2
# Deviation of what a planner sees from what is there, in block lengths.
POSITION_NOISE = 0.02
# Directions mirrored left-right and top-bottom; 4 stops, 5 is none.
MIRRORED = {
    (False, False): (0, 1, 2, 3, 4, 5),
    (True, False): (1, 0, 2, 3, 4, 5),
    (False, True): (0, 1, 3, 2, 4, 5),
    (True, True): (1, 0, 3, 2, 4, 5),
}


class Parts(Data):
    """The data, whose validation part may be called dev too."""

    def first(self, *names: str) -> str:
        return super().first(
            *("validation" if name == "dev" else name for name in names)
        )


class Part:
    """A part of the data, ready to be drawn from."""

    def __init__(self, episodes: Episodes, config: Config) -> None:
        self.episodes = episodes
        self.config = config
        self.rules = config.rules
        self.tokens = [instructions.tokenize(text) for text in episodes.texts]
        self.lengths = np.array(
            [min(max(1, len(t)), config.text_length) for t in self.tokens]
        )
        self.texts = {(False, False): self._encoded(self.tokens)}
        boards = np.arange(len(episodes.start))
        self.goals = episodes.target[boards, episodes.block]
        self.demonstrations: Demonstrations = demonstrate(
            episodes.start, episodes.block, self.goals, self.rules
        )

    def _encoded(self, tokens: list[list[str]]) -> np.ndarray:
        return instructions.encode(
            tokens, self.config.words, self.config.text_length
        )

    def text(self, rows: np.ndarray, mirror: tuple[bool, bool]) -> np.ndarray:
        """Numbers of words, as long as the longest of these texts."""
        if mirror not in self.texts:
            turned = [instructions.mirrored(t, *mirror) for t in self.tokens]
            self.texts[mirror] = self._encoded(turned)
        return self.texts[mirror][rows, : self.lengths[rows].max()]


def load_data(config: Config) -> Parts:
    """The episodes of a config, with their world and words in it."""
    world = "blocks" if config.data_dir else "mini"
    if config.world not in (None, world):
        hint = (
            "give its --data-dir"
            if config.world == "blocks"
            else "leave the data_dir out, or train a run on it"
        )
        raise ValueError(
            f"world is {config.world!r} by the settings and {world!r} by "
            f"data_dir={config.data_dir!r}; {hint}"
        )
    source = sources.find(config)
    words = config.words or source.vocabulary()
    config = dataclasses.replace(config, world=world, words=words)

    @functools.cache
    def part(name: str) -> Part:
        return Part(source.splits[name](), config)

    return Parts(
        config,
        dict.fromkeys(source.splits),
        lambda epoch: _training(part("train"), config, epoch),
        lambda name: _episodes(part(name), config),
        lambda name: _look(part(name)),
        source.notes,
    )


def _look(part: Part) -> Findings:
    lengths = [len(tokens) for tokens in part.tokens]
    known = set(part.config.words)
    unknown = sum(word not in known for words in part.tokens for word in words)
    return Findings(
        len(lengths),
        {
            "boards": f"{len(part.episodes.start):,}, with up to "
            f"{part.rules.num_blocks} blocks",
            "text": f"{min(lengths)} to {max(lengths)} words, of which "
            f"{percent(unknown / max(1, sum(lengths)))} are unknown and "
            f"{part.config.text_length} are read",
        },
    )


def _training(
    part: Part, config: Config, first_epoch: int
) -> tuple[tf.data.Dataset, int]:
    rows, times = _examples(part, config)
    size = config.batch_size
    steps = len(rows) // size

    def order(epoch: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([config.seed, 0, int(epoch)])
        shuffled = rng.permutation(len(rows))[: steps * size]
        together = size * SORTED_TOGETHER
        # Texts of a length go together: less padding to read.
        sorted_parts = [
            chunk[np.argsort(part.lengths[rows[chunk]], kind="stable")]
            for chunk in (
                shuffled[first : first + together]
                for first in range(0, steps * size, together)
            )
        ]
        batches = np.concatenate(sorted_parts).reshape(steps, size)
        return rng.permutation(batches)

    make, types, shapes = _maker(part, config)

    def batch(epoch: np.ndarray, step: np.ndarray, chosen: np.ndarray) -> list:
        rng = np.random.default_rng([config.seed, 1, int(epoch), int(step)])
        return make(rows[chosen], times[chosen], rng)

    def element(*drawn: tf.Tensor) -> tuple:
        arrays = tf.numpy_function(batch, drawn, types)
        # A planner's batch has fewer pictures than texts.
        known = None if config.agent == "planner" else size
        return _as_element(arrays, shapes, known)

    dataset = (
        epochs.batches(
            len(rows),
            size,
            config.seed,
            first_epoch,
            order=lambda epoch: tf.numpy_function(order, [epoch], tf.int64),
        )
        .map(
            epochs.without_autograph(element),
            num_parallel_calls=2,
            deterministic=True,
        )
        .prefetch(4)
    )
    return dataset, steps


def _examples(part: Part, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """The instruction, and the time in its demonstration, of each example."""
    rows = np.arange(len(part.lengths))
    if config.agent == "planner" or config.learning != "supervised":
        return rows, np.zeros_like(rows)
    counts = part.demonstrations.length[part.episodes.board]
    times = np.concatenate([np.arange(count) for count in counts])
    return np.repeat(rows, counts), times


def _maker(
    part: Part, config: Config
) -> tuple[Callable, list[str], tuple[dict, dict]]:
    """A function from drawn examples to arrays, their types and shapes."""
    if config.learning != "supervised":
        make = episode_batch
    else:
        make = planner_lesson if config.agent == "planner" else policy_batch

    def arrays(
        rows: np.ndarray, times: np.ndarray, rng: np.random.Generator
    ) -> list[np.ndarray]:
        mirror = (False, False)
        if config.mirror:
            mirror = tuple(bool(coin) for coin in rng.integers(2, size=2))
        inputs, targets = make(part, rows, times, mirror)
        if config.word_dropout:
            text = inputs["text"]
            lost = rng.random(text.shape) < config.word_dropout
            known = text != instructions.PADDING
            inputs["text"] = np.where(
                lost & known, instructions.UNKNOWN, text
            ).astype("int32")
        return [*inputs.values(), *targets.values()]

    one = np.zeros(1, "int64")
    return arrays, *_signature(make(part, one, one, (False, False)))


def _signature(example: tuple[dict, dict]) -> tuple[list[str], tuple]:
    """The types and shapes of the arrays of inputs and targets."""
    shapes = tuple({n: v.shape[1:] for n, v in g.items()} for g in example)
    shapes[0]["text"] = (None,)
    types = [
        "string" if array.dtype == object else array.dtype.name
        for group in example
        for array in group.values()
    ]
    return types, shapes


def _as_element(
    arrays: list[tf.Tensor], shapes: tuple[dict, dict], size: int | None
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    left = iter(arrays)
    element = tuple({name: next(left) for name in group} for group in shapes)
    for group, known in zip(element, shapes, strict=True):
        for name, value in group.items():
            value.set_shape((size, *known[name]))
    return element


def _episodes(part: Part, config: Config) -> tf.data.Dataset:
    """Batches of whole episodes: inputs at their start, targets to play."""
    count = len(part.lengths)
    make = planner_batch if config.agent == "planner" else policy_batch

    def groups_of(rows: np.ndarray) -> tuple[dict, dict]:
        inputs, targets = make(part, rows, np.zeros_like(rows), (False, False))
        return inputs, targets | to_play(part, rows)

    def batch(first: np.ndarray) -> list[np.ndarray]:
        rows = np.arange(first, min(first + config.batch_size, count))
        return [v for group in groups_of(rows) for v in group.values()]

    types, shapes = _signature(groups_of(np.zeros(1, "int64")))

    def element(first: tf.Tensor) -> tuple:
        arrays = tf.numpy_function(batch, [first], types)
        return _as_element(arrays, shapes, None)

    return (
        tf.data.Dataset.range(0, count, config.batch_size)
        .map(epochs.without_autograph(element))
        .prefetch(1)
    )


def to_play(part: Part, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What it takes to play episodes and to show them."""
    board = part.episodes.board[rows]
    ways = part.demonstrations
    return {
        "start": part.episodes.start[board],
        "target": part.episodes.target[board],
        "moving": part.episodes.block[board],
        "points": ways.points[board],
        "actions": ways.actions[board],
        "length": ways.length[board],
        "said": np.array(
            [part.episodes.texts[row].encode() for row in rows], object
        ),
    }


def episode_batch(
    part: Part, rows: np.ndarray, times: np.ndarray, mirror: tuple[bool, bool]
) -> tuple[dict, dict]:
    """Episodes for a model that plays them itself."""
    episode = to_play(part, rows)
    del episode["said"]
    return {"text": part.text(rows, mirror)}, episode


def signs(mirror: tuple[bool, bool]) -> np.ndarray:
    return np.where(mirror, -1.0, 1.0)


def mirrored_board(
    positions: np.ndarray, mirror: tuple[bool, bool]
) -> np.ndarray:
    on_board = present(positions)[..., None]
    return np.where(on_board, positions * signs(mirror), positions)


def policy_batch(
    part: Part, rows: np.ndarray, times: np.ndarray, mirror: tuple[bool, bool]
) -> tuple[dict, dict]:
    """States of demonstrations and what is done in them."""
    config, rules = part.config, part.rules
    board = part.episodes.board[rows]
    block = part.episodes.block[board]
    ways = part.demonstrations
    turned = np.array(MIRRORED[mirror])
    pictures = np.zeros(
        (config.frames, len(rows), config.resolution, config.resolution, 3),
        "float32",
    )
    start = mirrored_board(part.episodes.start[board], mirror)
    points = ways.points[board] * signs(mirror)
    for back in range(config.frames):
        seen = times - back >= 0
        positions = start[seen]
        positions[np.arange(len(positions)), block[seen]] = points[
            seen, times[seen] - back
        ]
        pictures[back, seen] = render(positions, rules, config.resolution)
    _, direction = split_action(ways.actions[board, times], rules)
    _, previous = split_action(ways.actions[board, times - 1], rules)
    inputs = {
        "picture": stacked(pictures),
        "text": part.text(rows, mirror),
        "previous_direction": turned[np.where(times, previous, 5)].astype(
            "int32"
        ),
        "previous_block": np.where(times, block, rules.num_blocks).astype(
            "int32"
        ),
    }
    targets = {
        "block": block.astype("int32"),
        "direction": turned[direction].astype("int32"),
        # The demonstrated block is asked for at the stop too, as published.
        "block_counts": np.ones(len(rows), "float32"),
        "reward": np.ones(len(rows), "float32"),
        "explores": np.zeros(len(rows), "float32"),
    }
    if config.goal_weight:
        goal = part.goals[board] * signs(mirror)
        targets["goal"] = goal_pixel(goal, config)
    return inputs, targets


def stacked(pictures: np.ndarray) -> np.ndarray:
    """(frames, states, h, w, 3), newest first, to (states, h, w, channels)."""
    frames, states, height, width, colors = pictures.shape
    moved = np.transpose(pictures, (1, 2, 3, 0, 4))
    return moved.reshape(states, height, width, frames * colors)


def goal_pixel(goal: np.ndarray, config: Config) -> np.ndarray:
    """The cell of a policy's map in which a goal lies, row by row."""
    side = config.resolution
    for stride in config.strides:
        side = -(-side // stride)
    return _cell(goal, side, config.rules)


def _cell(place: np.ndarray, side: int, rules: Rules) -> np.ndarray:
    share = (place * (1, -1) + extent(rules)) / (2 * extent(rules))
    column, row = np.moveaxis(np.floor(share * side), -1, 0)
    return (row * side + column).astype("int32")


def planner_batch(
    part: Part, rows: np.ndarray, times: np.ndarray, mirror: tuple[bool, bool]
) -> tuple[dict, dict]:
    """Boards and instructions; the block that is meant, and its goal."""
    inputs, targets, start = _meant(part, rows, mirror)
    if "state" in part.config.modalities:
        return inputs | {"positions": start.astype("float32")}, targets
    picture, seen = _sight(start, part.config)
    return inputs | {"picture": picture}, targets | seen


def planner_lesson(
    part: Part, rows: np.ndarray, times: np.ndarray, mirror: tuple[bool, bool]
) -> tuple[dict, dict]:
    """The same with pictures of some boards only, and the places of all.

    The places are as far beside the true ones as what one sees.
    """
    config = part.config
    if "state" in config.modalities:
        return planner_batch(part, rows, times, mirror)
    inputs, targets, start = _meant(part, rows, mirror)
    on_board = present(start)
    rng = np.random.default_rng([config.seed, *map(int, rows[:2])])
    looked_at = start[: -(-len(rows) // LOOKED_AT)]
    picture, seen = _sight(_exchanged(looked_at, rng), config)
    noise = rng.normal(0, POSITION_NOISE, start.shape)
    places = np.where(on_board[..., None], start / config.rules.side + noise, 0)
    given = {
        "picture": picture,
        "places": places.astype("float32"),
        "on_board": on_board.astype("float32"),
    }
    return inputs | given, targets | seen


def _exchanged(start: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same boards with their blocks in each other's places.

    There are far fewer boards than ways to fill them, and no words here.
    """
    order = rng.random(start.shape[:2]).argsort(axis=1)
    return np.take_along_axis(start, order[..., None], axis=1)


def _meant(
    part: Part, rows: np.ndarray, mirror: tuple[bool, bool]
) -> tuple[dict, dict, np.ndarray]:
    """Texts, what they mean, and the boards they are about."""
    config = part.config
    board = part.episodes.board[rows]
    start = mirrored_board(part.episodes.start[board], mirror)
    goal = part.goals[board] * signs(mirror)
    goals = goal_places(config.world)
    distances = np.abs(goals - goal[:, None]).max(axis=-1)
    targets = {
        "source": part.episodes.block[board].astype("int32"),
        "goal": distances.argmin(axis=1).astype("int32"),
    }
    return {"text": part.text(rows, mirror)}, targets, start


def _sight(start: np.ndarray, config: Config) -> tuple[np.ndarray, dict]:
    """Pictures of boards, and what is to be seen in them."""
    rules = config.rules
    on_board = present(start)
    side = config.resolution // CELL
    cells = np.where(on_board, _cell(start, side, rules), side * side)
    places = np.where(on_board[..., None], start / rules.side, 0)
    seen = {
        "cells": cells.astype("int32"),
        "positions": places.astype("float32"),
        "present": on_board.astype("float32"),
    }
    return render(start, rules, config.resolution), seen
