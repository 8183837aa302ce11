"""A locally connected layer as one matrix, and where its weights are in it."""

from collections.abc import Sequence

import numpy as np

from keras_fusion.layers.local_windows import Axis


def input_places(axes: Sequence[Axis]) -> np.ndarray:
    """Flat places `(positions, entries)` of windows in the unpadded input.

    An entry in the padding is -1.
    """
    places: np.ndarray = np.zeros((1, 1), int)
    inside: np.ndarray = np.ones((1, 1), bool)
    for axis in axes:
        at: np.ndarray = axis.places - axis.before
        shape = (len(places) * len(at), -1)
        held = (at >= 0) & (at < axis.size)
        places = places[:, None, :, None] * axis.size + at[:, None, :]
        inside = inside[:, None, :, None] & held[:, None, :]
        places, inside = places.reshape(shape), inside.reshape(shape)
    return np.where(inside, places, -1)


def matrix_places(
    axes: Sequence[Axis],
    channels: int,
    filters: int,
    groups: int,
    channels_first: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row and column of each weight, and whether its input exists.

    Three arrays `(positions, entries, filters)`, in the order of the kernel.
    Rows are flat places in the input, columns flat places in the output.
    """
    places = input_places(axes)
    window = places.shape[1]
    positions = np.arange(len(places))[:, None]
    width = channels // groups
    filter_numbers = np.arange(filters)
    group: np.ndarray = filter_numbers // (filters // groups)
    channel_numbers = np.arange(width)[:, None] + group * width
    if channels_first:
        sizes = np.prod([axis.size for axis in axes])
        places = places[:, None, :, None]
        rows = channel_numbers[:, None] * sizes + places
        columns = filter_numbers * len(positions) + positions
    else:
        places = places[:, :, None, None]
        rows = places * channels + channel_numbers
        columns = positions * filters + filter_numbers
    shape = (len(positions), window * width, filters)
    inside = np.broadcast_to(places >= 0, rows.shape)
    columns = np.broadcast_to(columns[:, None], shape)
    return rows.reshape(shape), columns, inside.reshape(shape)
