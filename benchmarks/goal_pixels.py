"""A generated task with a known floor: which pixel does the text mean?

Three colors have a pixel each on eight by eight. A text names one of them
and one of five relations: the pixel itself, or the one above, below, left or
right of it. Who does not read has the choice of 15 pixels, log2 15 = 3.907
bits; with the one relation "the pixel itself" of 3, log2 3 = 1.585 bits.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_fusion.models import instruction_agent

SIDE, COLORS = 8, 3
# Down and right of the named color.
RELATIONS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
# Words: padding, unknown, the relations, the colors.
NUM_WORDS = 2 + len(RELATIONS) + COLORS


def draw(
    count: int, rng: np.random.Generator, relations: int = len(RELATIONS)
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Inputs of an agent, and the goals' pixels, row by row.

    Colors are so far apart that no pixel is beside two of them, and not at
    the border, so that every text has a pixel of its own.
    """
    # Of random boards, two in five are such.
    places = _places(4 * count + 64, rng)[:count]
    color = rng.integers(COLORS, size=count)
    relation = rng.integers(relations, size=count)
    samples = np.arange(count)
    picture = np.zeros((count, SIDE, SIDE, COLORS), "float32")
    for index in range(COLORS):
        row, column = places[:, index].T
        picture[samples, row, column, index] = 1
    goal = places[samples, color] + np.array(RELATIONS)[relation]
    words = [relation + 2, color + 2 + len(RELATIONS)]
    inputs = {
        "picture": picture,
        "text": np.stack(words, axis=1).astype("int32"),
        # Nothing was done before.
        "previous_direction": np.full(count, 5, "int32"),
        "previous_block": np.full(count, COLORS, "int32"),
    }
    return inputs, SIDE * goal[:, 0] + goal[:, 1]


def _places(count: int, rng: np.random.Generator) -> np.ndarray:
    """Of the colors on some boards, (boards, colors, 2)."""
    inner = SIDE - 2
    cells = rng.random((count, inner**2)).argsort(axis=1)[:, :COLORS]
    places = np.stack([cells // inner, cells % inner], axis=-1) + 1
    first, second = np.triu_indices(COLORS, 1)
    distances = np.abs(places[:, first] - places[:, second]).sum(axis=-1)
    return places[(distances > 2).all(axis=1)]


def network(fusion: str, coordinates: bool, width: int) -> keras.Model:
    """The part of an agent that finds goals.

    `width` is that of the image's and the joint vector with "concat", whose
    goals come from there; of the gated map with "text_gate"; else of the
    fusion.
    """
    wide = width if fusion == "text_gate" else 16
    joint = width if fusion == "concat" else 32
    agent = instruction_agent(
        num_blocks=COLORS,
        num_words=NUM_WORDS,
        picture_shape=(SIDE, SIDE, COLORS),
        fusion=fusion,
        coordinates=coordinates,
        goal=True,
        filters=(16, wide),
        kernel_sizes=(3, 3),
        strides=(1, 1),
        image_units=joint,
        word_units=16,
        text_units=32,
        direction_units=2,
        block_units=2,
        joint_units=joint,
        fusion_units=width,
        fusion_depth=2,
        published_start=False,
    )
    return keras.Model(agent.input, agent.output["goal"], name=fusion)


def learn(
    model: keras.Model,
    seed: int,
    relations: int = len(RELATIONS),
    examples: int = 6000,
    epochs: int = 10,
) -> dict[str, float]:
    """Trains the model; how well it does on 2,000 other examples.

    Returns the accuracy and the bits of its test goals, and, under names that
    start with "silent", the same with the text vector zeroed.
    """
    rng = np.random.default_rng(seed)
    train, test = draw(examples, rng, relations), draw(2000, rng, relations)
    model.compile(
        keras.optimizers.Adam(3e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(*train, batch_size=32, epochs=epochs, verbose=0)
    heard = scores(model, *test)
    reading = model.get_layer("reading")
    reading.set_weights([np.zeros_like(w) for w in reading.get_weights()])
    silent = scores(model, *test)
    return heard | {f"silent_{name}": x for name, x in silent.items()}


def scores(
    model: keras.Model, inputs: dict[str, np.ndarray], goals: np.ndarray
) -> dict[str, float]:
    logits = model.predict(inputs, batch_size=500, verbose=0)
    nats = ops.convert_to_numpy(
        keras.losses.sparse_categorical_crossentropy(
            goals, logits, from_logits=True
        )
    )
    right = logits.argmax(axis=1) == goals
    return {
        "accuracy": float(right.mean()),
        "bits": float(nats.mean() / math.log(2)),
    }
