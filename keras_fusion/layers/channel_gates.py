"""What the layers that gate channels share."""

from keras import ops


def mean_over_positions(maps):
    """`(batch, ..., channels)` to `(batch, channels)`."""
    positions = tuple(range(1, maps.ndim - 1))
    return ops.mean(maps, axis=positions) if positions else maps


def gate_channels(maps, gates):
    """Multiplies maps by gates `(batch, channels)` at every position."""
    positions = (1,) * (maps.ndim - 2)
    return maps * ops.reshape(gates, (-1, *positions, gates.shape[-1]))
