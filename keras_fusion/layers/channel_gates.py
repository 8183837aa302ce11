"""What the layers that gate channels share."""

import keras
from keras import ops

from keras_fusion.layers.built_dense import built_dense
from keras_fusion.types import Tensor


def mean_over_positions(maps: Tensor, axis: int = -1) -> Tensor:
    """`(batch, ..., channels)`, channels on `axis`, to `(batch, channels)`."""
    channels = axis % maps.ndim
    positions = tuple(a for a in range(1, maps.ndim) if a != channels)
    return ops.mean(maps, axis=positions) if positions else maps


def gate_channels(maps: Tensor, gates: Tensor, axis: int = -1) -> Tensor:
    """Multiplies maps by gates `(batch, channels)` at every position."""
    shape = [-1] + [1] * (maps.ndim - 1)
    shape[axis % maps.ndim] = gates.shape[-1]
    return maps * ops.reshape(gates, shape)


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
