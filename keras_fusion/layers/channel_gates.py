"""What the layers that gate channels share."""

from keras import ops

from keras_fusion.types import Tensor


def mean_over_positions(maps: Tensor) -> Tensor:
    """`(batch, ..., channels)` to `(batch, channels)`."""
    positions = tuple(range(1, maps.ndim - 1))
    return ops.mean(maps, axis=positions) if positions else maps


def gate_channels(maps: Tensor, gates: Tensor) -> Tensor:
    """Multiplies maps by gates `(batch, channels)` at every position."""
    positions = (1,) * (maps.ndim - 2)
    return maps * ops.reshape(gates, (-1, *positions, gates.shape[-1]))
