"""From a policy's two heads to its actions, their likelihood and entropy.

A move of block b to d has the probability of b times that of d; stopping has
that of the direction head's last entry, whatever the block.
"""

import numpy as np
from keras import ops


def action_log_probabilities(direction, block):
    """Of all actions, (states, 4 * blocks + 1), from logits."""
    direction = ops.log_softmax(direction)
    block = ops.log_softmax(block)
    moves = block[:, :, None] + direction[:, None, :4]
    moves = ops.reshape(moves, (-1, 4 * block.shape[1]))
    return ops.concatenate([moves, direction[:, 4:]], axis=1)


def entropy(direction, block):
    """Of the policy: that of a block counts only where one moves."""
    stop = ops.softmax(direction)[:, 4]
    return _entropy(direction) + (1 - stop) * _entropy(block)


def published_entropy(direction, block):
    """The sum of the heads' entropies, more than the policy has."""
    return _entropy(direction) + _entropy(block)


def _entropy(logits):
    likely = ops.log_softmax(logits)
    return -ops.sum(ops.exp(likely) * likely, axis=1)


def greedy(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The best action of each row, one of the best at random."""
    best = scores >= scores.max(axis=1, keepdims=True)
    return np.where(best, rng.random(scores.shape), -1.0).argmax(axis=1)


def sampled(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An action of each row, by log probabilities."""
    noise = rng.gumbel(size=scores.shape)
    return (scores + noise).argmax(axis=1)
