"""An agent that says which block goes where, from a picture and words.

It sees: for every block, a softmax over the cells of the picture and one more
place for "not on the board", and from that the block's position. It reads: a
bidirectional LSTM and a pooling of the words for each question. Then

    source   which block is meant, from the words and from what is where
    goal     scores of the places of a grid: a mixture of peaks around
             anchors; an anchor mixes the positions of blocks along each axis
             ("in line with 5 and above 7"), and words say how far beside it

A planner takes the block there. Distances inside are in block lengths.
"""

import keras
import numpy as np
from keras import ops

from applications.instruction_following.rendering import extent
from applications.instruction_following.rules import ABSENT
from applications.instruction_following.rules import Rules

# Pixels of a cell.
CELL = 4
# Log score lost by a goal on which a block stands already.
OCCUPIED_PENALTY = 8.0
# Least and largest width of a peak, in block lengths.
PEAK_WIDTHS = (0.1, 4.0)
# Spacing and largest coordinate of the goals; people built on a grid, in all
# training episodes.
GOAL_GRIDS = {"mini": (1.0, 2.0), "blocks": (1 / 6, 1.0)}


def goal_places(world: str) -> np.ndarray:
    """All places that may be goals, (places, 2)."""
    spacing, furthest = GOAL_GRIDS[world]
    count = round(furthest / spacing)
    line = spacing * np.arange(-count, count + 1)
    return np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)


def goal_network(
    rules: Rules,
    num_words: int,
    goals: np.ndarray,
    resolution: int | None = 120,
    filters: int = 32,
    embedding: int = 64,
    units: int = 96,
    peaks: int = 6,
    dropout: float = 0.3,
) -> keras.Model:
    """Builds the agent.

    Args:
        rules: Of the world.
        num_words: Rows of the table of words, two more than there are words.
        goals: (places, 2).
        resolution: Of the pictures; None: the agent is given the positions
            of the blocks instead of a picture.
        filters: Of the convolutions.
        embedding: Size of the words' and blocks' vectors.
        units: Of the LSTM, for each direction of reading.
        peaks: Of the goal's mixture.
        dropout: Share of the words' features that are left out in training.

    Returns:
        A model from `picture` (or `positions`) and `text` to `source` and
        `goal`, logits, and `positions`, in block lengths; with a picture also
        `cells`, logits over cells for each block, the last for its absence.
        Its part `seeing` looks at the picture; its part `reading` takes
        `places`, `on_board` and `text`.
    """
    text = keras.Input((None,), dtype="int32", name="text")
    shape = (rules.num_blocks, 2)
    places = keras.Input(shape, name="places")
    on_board = keras.Input(shape[:1], name="on_board")
    words, mask = _read(text, num_words, embedding, units, dropout)
    source = _source(words, mask, places, on_board, embedding)
    goal = _goal(
        words,
        mask,
        places,
        on_board,
        source,
        goals / rules.side,
        embedding,
        units,
        peaks,
        dropout,
    )
    reading = keras.Model(
        {"places": places, "on_board": on_board, "text": text},
        {"source": source, "goal": goal},
        name="reading",
    )
    if resolution is None:
        seen = keras.Input(shape, name="positions")
        present = ops.cast(ops.less(seen[..., 0], ABSENT / 2), seen.dtype)
        sight = {"positions": seen / rules.side * present[..., None]}
    else:
        seen = keras.Input((resolution, resolution, 3), name="picture")
        cells, positions, present = _see(seen, rules, filters)
        sight = {"cells": cells, "positions": positions}
        seeing = keras.Model(seen, sight | {"on_board": present}, name="seeing")
        sight = seeing(seen)
        present = sight.pop("on_board")
    read = reading(
        {"places": sight["positions"], "on_board": present, "text": text}
    )
    inputs = {seen.name: seen, "text": text}
    return keras.Model(inputs, sight | read, name="goal_network")


def _see(picture, rules: Rules, filters: int):
    """Logits of cells, positions and presence of every block."""
    x = 4 * picture - 2
    # Colors first, then what shapes they make, in cells of four pixels.
    for layer, (size, stride) in enumerate(((1, 1), (4, 2), (4, 2), (3, 1)), 1):
        x = keras.layers.Conv2D(
            filters if layer > 1 else 16,
            size,
            stride,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            name=f"see_{layer}",
        )(x)
    side = x.shape[1]
    heat = keras.layers.Dense(rules.num_blocks, name="heat")(x)
    heat = ops.reshape(heat, (-1, side * side, rules.num_blocks))
    heat = ops.transpose(heat, (0, 2, 1))
    logits = AbsenceLogit(name="absence")(heat)
    share = ops.softmax(logits)
    within = keras.layers.Dense(2, name="within")(x)
    within = ops.reshape(within, (-1, side * side, 2))
    places = within + cell_centers(side, rules)
    on_board = 1 - share[..., -1]
    total = ops.matmul(share[..., :-1], places)
    positions = total / ops.maximum(on_board, 1e-6)[..., None]
    return logits, positions * on_board[..., None], on_board


def cell_centers(side: int, rules: Rules) -> np.ndarray:
    """Middles of the cells, row by row from the top, in block lengths."""
    line = (np.arange(side) + 0.5) / side * 2 - 1
    up, right = np.meshgrid(-line, line, indexing="ij")
    middles = np.stack([right, up], axis=-1).reshape(1, -1, 2)
    return (middles * extent(rules) / rules.side).astype("float32")


@keras.saving.register_keras_serializable(package="instruction_following")
class AbsenceLogit(keras.layers.Layer):
    """Puts one learned logit behind those of the last axis, for each row."""

    def build(self, input_shape):
        self.logit = self.add_weight(shape=(input_shape[1], 1), name="logit")

    def call(self, inputs):
        rest = ops.zeros_like(inputs[..., :1]) + self.logit
        return ops.concatenate([inputs, rest], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 1)


def _read(text, num_words: int, embedding: int, units: int, dropout: float):
    mask = ops.not_equal(text, 0)
    x = keras.layers.Embedding(num_words, embedding, name="words")(text)
    x = keras.layers.Dropout(dropout)(x)
    # Its neighbors tell a block's number from a number of spaces.
    x = keras.layers.Bidirectional(
        keras.layers.LSTM(units, return_sequences=True), name="reading"
    )(x, mask=mask)
    return keras.layers.Dropout(dropout)(x), mask


def _pooled(words, mask, questions: int, name: str):
    """The words' features, pooled for each question: (batch, questions, f)."""
    scores = keras.layers.Dense(questions, name=f"{name}_attention")(words)
    scores = ops.where(mask[..., None], scores, -1e9)
    return ops.einsum("blq,blf->bqf", ops.softmax(scores, axis=1), words)


def _slots(positions, on_board, embedding: int, name: str):
    """A vector for each block: who it is, and where it stands."""
    who = BlockTable(embedding, name=f"{name}_blocks")(positions)
    where = keras.layers.Dense(embedding, activation="relu", name=f"{name}_1")(
        ops.concatenate([positions / 4, on_board[..., None]], axis=-1)
    )
    where = keras.layers.Dense(embedding, name=f"{name}_2")(where)
    return who + where


@keras.saving.register_keras_serializable(package="instruction_following")
class BlockTable(keras.layers.Layer):
    """A learned vector for each block, for every board of a batch."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.table = self.add_weight(
            shape=(input_shape[1], self.units),
            initializer=keras.initializers.RandomNormal(0.3),
            name="table",
        )

    def call(self, inputs):
        return ops.zeros_like(inputs[..., :1]) + self.table

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def _source(words, mask, positions, on_board, embedding: int):
    asked = _pooled(words, mask, 1, "source")[:, 0]
    query = keras.layers.Dense(embedding, name="source_query")(asked)
    slots = _slots(positions, on_board, embedding, "source")
    scores = ops.einsum("bke,be->bk", slots, query)
    return scores + ops.log(on_board + 1e-4)


def _goal(
    words,
    mask,
    positions,
    on_board,
    source,
    goals,
    embedding,
    units,
    peaks,
    dropout,
):
    chosen = ops.softmax(source)
    slots = _slots(positions, on_board, embedding, "anchor")
    own = ops.einsum("bk,bkp->bp", chosen, positions)
    places = ops.concatenate(
        [positions, own[:, None], ops.zeros_like(own[:, None])], axis=1
    )
    # A question for each peak and axis, one for what is beside an anchor.
    asked = _pooled(words, mask, 3 * peaks, "anchor")
    queries = keras.layers.Dense(embedding, name="anchor_query")(
        asked[:, : 2 * peaks]
    )
    scores = ops.einsum("bqe,bke->bqk", queries, slots)
    # The block that moves is no anchor for itself, but its place may be.
    scores = scores + ops.log(on_board * (1 - chosen) + 1e-4)[:, None]
    others = keras.layers.Dense(2, name="anchor_others")(asked[:, : 2 * peaks])
    weights = ops.softmax(ops.concatenate([scores, others], axis=-1))
    weights = ops.reshape(weights, (-1, peaks, 2, places.shape[1]))
    anchors = ops.einsum("bpak,bka->bpa", weights, places)
    phrase = keras.layers.Dense(units, activation="relu", name="beside_1")(
        asked[:, 2 * peaks :]
    )
    phrase = keras.layers.Dropout(dropout)(phrase)
    beside = keras.layers.Dense(4, name="beside_2")(phrase)  # (b, peaks, 4)
    middles = anchors + 2 * beside[..., :2]
    low, high = PEAK_WIDTHS
    width = low + (high - low) * ops.sigmoid(beside[..., 2:3] - 1)
    share = ops.log_softmax(beside[..., 3:], axis=1)
    goals = goals.astype("float32")
    offset = middles[:, :, None] - goals  # (b, peaks, goals, 2)
    distance = ops.sqrt(ops.sum(ops.square(offset), axis=-1) + 1e-6)
    scores = share - distance / width - 2 * ops.log(width)
    scores = ops.logsumexp(scores, axis=1)
    near = ops.max(ops.abs(positions[:, :, None] - goals), axis=-1)
    taken = ops.cast(ops.less(near, 0.9), scores.dtype)
    others = on_board * (1 - chosen)
    taken = ops.max(taken * others[..., None], axis=1)
    return scores - OCCUPIED_PENALTY * taken
