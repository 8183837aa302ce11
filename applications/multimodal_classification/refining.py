"""What the refiner of a config asks of the fused vector, and by what."""

import math
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras

from applications.multimodal_classification.config import Config
from keras_fusion import layers
from keras_fusion import losses

LOSSES: dict[str, Callable[[], Any]] = {
    "cosine": losses.RefinerCosineLoss,
    "mse": lambda: "mean_squared_error",
    "contrastive": losses.RefinerContrastiveLoss,
    "similarity": losses.RefinerMultiSimilarityLoss,
}
# Of the decoders that the method's authors released.
BLOCK_DROPOUT = 0.1


def around(
    fusion: keras.layers.Layer, targets: Sequence[Any], config: Config
) -> layers.Refiner:
    """The refiner around a fusion, for targets of these shapes."""
    decoders = DECODERS[config.refiner_decoder](
        [math.prod(target.shape[1:]) for target in targets], config
    )
    weights = config.refiner_weight
    return layers.Refiner(
        fusion,
        hidden_units=() if decoders else config.refiner_units,
        loss=LOSSES[config.refiner_loss](),
        loss_weights=weights[0] if len(weights) == 1 else weights,
        stop_gradient=config.stop_gradient,
        decoders=decoders,
        name="refiner",
    )


def _blocks(widths: list[int], config: Config) -> list[keras.layers.Layer]:
    """Of the method's authors' release."""
    return [
        keras.Sequential(
            [
                keras.layers.Dense(width, activation="relu"),
                keras.layers.LayerNormalization(),
                keras.layers.Dropout(BLOCK_DROPOUT, seed=config.seed),
            ]
        )
        for width in widths
    ]


def _shared(widths: list[int], config: Config) -> keras.layers.Layer:
    """One for all modalities, of MultiBench."""
    hidden = [
        keras.layers.Dense(units, activation="relu")
        for units in config.refiner_units
    ]
    return keras.Sequential([*hidden, keras.layers.Dense(sum(widths))])


DECODERS: dict[str, Callable[[list[int], Config], Any]] = {
    "dense": lambda widths, config: None,
    "block": _blocks,
    "shared": _shared,
}
