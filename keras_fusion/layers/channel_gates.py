"""What the layers that gate channels share."""

import keras
from keras import ops

from keras_fusion.layers.built_dense import built_dense
from keras_fusion.types import Tensor


def mean_over_positions(maps: Tensor) -> Tensor:
    """`(batch, ..., channels)` to `(batch, channels)`."""
    positions = tuple(range(1, maps.ndim - 1))
    return ops.mean(maps, axis=positions) if positions else maps


def gate_channels(maps: Tensor, gates: Tensor) -> Tensor:
    """Multiplies maps by gates `(batch, channels)` at every position."""
    positions = (1,) * (maps.ndim - 2)
    return maps * ops.reshape(gates, (-1, *positions, gates.shape[-1]))


def build_squeeze(
    layer: keras.layers.Layer, channels: int, width: int, ratio: int
) -> keras.layers.Dense:
    """The dense layer from `width` features to a `ratio`th of `channels`."""
    units = max(1, channels // ratio)
    return built_dense(layer, "squeeze", units, width, activation="relu")


def build_excite(
    layer: keras.layers.Layer,
    squeeze: keras.layers.Dense,
    channels: int,
    name: str = "excite",
) -> keras.layers.Dense:
    """The dense layer from what `squeeze` gives to a gate for each channel."""
    return built_dense(
        layer, name, channels, squeeze.units, activation="sigmoid"
    )
