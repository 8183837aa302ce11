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


def stages(
    epoch: int,
    epochs: int,
    rate: float,
    drops: Sequence[float],
    factors: Sequence[float] = (),
) -> float:
    """A rate that falls at each of some shares of the training.

    Args:
        epoch: Complete epochs, from 0.
        epochs: Epochs of the whole training.
        rate: The rate of the first stage.
        drops: The shares.
        factors: What it is multiplied by at each; empty: 0.1.
    """
    factors = factors or (0.1,) * len(drops)
    for drop, factor in zip(drops, factors, strict=True):
        if epoch / epochs >= drop:
            rate *= factor
    return rate
