"""A locally connected layer as one matrix, and where its weights are in it."""

from collections.abc import Sequence

import numpy as np

from keras_fusion.layers.local_windows import Axis


def input_indices(axes: Sequence[Axis]) -> np.ndarray:
    """Flat indices `(positions, entries)` of windows in the unpadded input.

    An entry in the padding is -1.
    """
    indices: np.ndarray = np.zeros((1, 1), int)
    inside: np.ndarray = np.ones((1, 1), bool)
    for axis in axes:
        along_axis: np.ndarray = axis.indices - axis.before
        shape = (len(indices) * len(along_axis), -1)
        inside_axis = (along_axis >= 0) & (along_axis < axis.size)
        indices = indices[:, None, :, None] * axis.size + along_axis[:, None, :]
        inside = inside[:, None, :, None] & inside_axis[:, None, :]
        indices, inside = indices.reshape(shape), inside.reshape(shape)
    return np.where(inside, indices, -1)


def matrix_indices(
    axes: Sequence[Axis],
    channels: int,
    filters: int,
    groups: int,
    channels_first: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row and column of each weight, and whether its input exists.

    Three arrays `(positions, entries, filters)`, in the order of the kernel.
    Rows are flat indices of the input, columns flat indices of the output.
    """
    indices = input_indices(axes)
    window = indices.shape[1]
    positions = np.arange(len(indices))[:, None]
    width = channels // groups
    filter_numbers = np.arange(filters)
    group: np.ndarray = filter_numbers // (filters // groups)
    channel_numbers = np.arange(width)[:, None] + group * width
    if channels_first:
        sizes = np.prod([axis.size for axis in axes])
        indices = indices[:, None, :, None]
        rows = channel_numbers[:, None] * sizes + indices
        columns = filter_numbers * len(positions) + positions
    else:
        indices = indices[:, :, None, None]
        rows = indices * channels + channel_numbers
        columns = positions * filters + filter_numbers
    shape = (len(positions), window * width, filters)
    inside = np.broadcast_to(indices >= 0, rows.shape)
    columns = np.broadcast_to(columns[:, None], shape)
    return rows.reshape(shape), columns, inside.reshape(shape)
