"""What the layers that gate channels share."""

import keras
from keras import ops
from keras.backend import standardize_dtype

from keras_fusion.layers.built_dense import built_dense
from keras_fusion.layers.precision import at_least_float32
from keras_fusion.types import Tensor


def mean_over_positions(
    maps: Tensor, axis: int = -1, mask: Tensor | None = None
) -> Tensor:
    """`(batch, ..., channels)`, channels on `axis`, to `(batch, channels)`.

    The mean is over the positions of which `mask`, `(batch, ...)` or fewer
    of these axes, is True; it is 0 where there are none.
    """
    channels = axis % maps.ndim
    positions = tuple(a for a in range(1, maps.ndim) if a != channels)
    if not positions or mask is None:
        return ops.mean(maps, axis=positions) if positions else maps
    maps = ops.moveaxis(maps, channels, -1)
    positions = tuple(range(1, maps.ndim - 1))
    mask = ops.cast(mask, "bool")
    for _ in range(maps.ndim - mask.ndim):
        mask = ops.expand_dims(mask, -1)
    mask = ops.logical_and(mask, ops.ones_like(maps[..., :1], dtype="bool"))
    # Sums overflow half precision.
    wide = at_least_float32(standardize_dtype(maps.dtype))
    total = ops.sum(ops.cast(ops.where(mask, maps, 0), wide), axis=positions)
    count = ops.sum(ops.cast(mask, wide), axis=positions)
    return ops.cast(ops.divide_no_nan(total, count), maps.dtype)


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
