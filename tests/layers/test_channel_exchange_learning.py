"""Case U: each modality shows half of what is asked."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import ChannelExchange
from keras_fusion.layers import LearnedEnsemble

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="steps are slower there"
)


def two_bits(rng, size):
    """A bit in each modality, along a direction in noise; both are asked."""
    bits = rng.integers(2, size=(2, size))
    directions = np.random.default_rng(0).normal(size=(2, 12))
    x = [
        0.5 * np.outer(2 * bit - 1, direction) + rng.normal(size=(size, 12))
        for bit, direction in zip(bits, directions, strict=True)
    ]
    return [branch.astype("float32") for branch in x], 2 * bits[0] + bits[1]


def trained(threshold):
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    inputs = [keras.Input((12,)) for _ in range(2)]
    hidden = keras.layers.Dense(24, use_bias=False)
    exchange = ChannelExchange(
        threshold=threshold,
        l1=2e-3,
        momentum=0.9,
        gamma_initializer=keras.initializers.Constant(0.3),
    )
    head = keras.layers.Dense(4)
    maps = exchange([hidden(x) for x in inputs])
    scores = [head(ops.relu(x)) for x in maps]
    model = keras.Model(inputs, [*scores, LearnedEnsemble()(scores)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(5e-3), [loss] * 3)
    x, y = two_bits(rng, 4000)
    model.fit(x, [y] * 3, batch_size=100, epochs=15, verbose=0)
    x, y = two_bits(rng, 2000)
    guesses = [np.argmax(p, axis=-1) for p in model.predict(x, verbose=0)]
    return exchange, [np.mean(guess == y) for guess in guesses]


def test_scales_die_in_the_own_part_and_branches_then_know_both_bits():
    exchange, scores = trained(threshold=0.02)
    assert all(0.2 < share < 0.9 for share in exchange.exchanged_share)
    assert exchange.exchanged[~exchange.penalized].mean() < 0.1
    # Half of the question is a guess to a branch that is left alone.
    _, alone = trained(threshold=0.0)
    assert min(scores[:2]) > 0.8 > 0.6 > max(alone[:2])
    assert scores[2] > max(alone[:2]) + 0.2
