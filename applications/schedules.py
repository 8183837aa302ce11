"""Learning rates over the epochs of a training."""

import math
from collections.abc import Sequence

# Share of a training in which the rate rises.
WARM_UP = 0.05


def warm_up_and_cosine(epoch: int, epochs: int, rate: float) -> float:
    """A linear warm-up of a twentieth of the training, and half a cosine.

    Args:
        epoch: Complete epochs, from 0.
        epochs: Epochs of the whole training.
        rate: The highest rate.
    """
    warm_up = min(1.0, (epoch + 1) / max(1, epochs * WARM_UP))
    return rate * warm_up * (1 + math.cos(math.pi * epoch / epochs)) / 2


def tenths(epoch: int, epochs: int, rate: float, drops: Sequence[float]):
    """A rate that falls to a tenth at each of some shares of the training."""
    passed = sum(epoch / epochs >= drop for drop in drops)
    return rate * 0.1**passed
