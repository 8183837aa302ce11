"""The windows of a locally connected layer, and their products with weights.

Windows are copied, never computed by a convolution: a value that is not
finite stays within the windows that hold it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_fusion.types import Shape
from keras_fusion.types import Tensor


class Axis(NamedTuple):
    """Where the windows lie along an axis of positions."""

    size: int
    kernel_size: int
    stride: int
    dilation: int
    before: int
    after: int

    @property
    def extent(self) -> int:
        return self.dilation * (self.kernel_size - 1) + 1

    @property
    def windows(self) -> int:
        padded = self.before + self.size + self.after
        return (padded - self.extent) // self.stride + 1

    @property
    def indices(self) -> np.ndarray:
        """Indices `(windows, kernel_size)` along the padded axis."""
        starts: np.ndarray = np.arange(self.windows) * self.stride
        return starts[:, None] + np.arange(self.kernel_size) * self.dilation


def plan_axis(
    size: int,
    kernel_size: int,
    stride: int,
    dilation: int,
    padding: str | tuple[int, int],
    centered: bool = False,
) -> Axis:
    """Places windows as Keras's convolutions do.

    `centered` is Keras 2's way in locally connected layers: under `"same"` the
    middle of the first window falls on the first position.
    """
    extent = dilation * (kernel_size - 1) + 1
    before, after = 0, 0
    if padding == "same":
        needed = (math.ceil(size / stride) - 1) * stride + extent
        before = extent // 2 if centered else max(0, needed - size) // 2
        after = max(0, needed - size - before)
    elif padding == "causal":
        before = extent - 1
    elif not isinstance(padding, str):
        before, after = padding
    return Axis(size, kernel_size, stride, dilation, before, after)


def take_windows(x: Tensor, axes: Sequence[Axis]) -> Tensor:
    """Replaces each leading axis by two, `(windows, kernel_size)`."""
    for number, axis in reversed(list(enumerate(axes))):
        at = (slice(None),) * number
        disjoint = axis.stride == axis.kernel_size or axis.windows == 1
        if disjoint and axis.dilation == 1:
            x = x[(*at, slice(axis.windows * axis.kernel_size))]
            window_axes = (axis.windows, axis.kernel_size)
            rest = x.shape[number + 1 :]
            shape = (*x.shape[:number], *window_axes, *(known(rest)))
            x = ops.reshape(x, shape)
        else:
            x = ops.take(x, axis.indices, axis=number)
    return x


def known(shape: Shape) -> tuple[int, ...]:
    """`shape` for a reshape, with -1 for a size that is not known."""
    return tuple(-1 if size is None else size for size in shape)


def multiply_windows(
    x: Tensor, kernel: Tensor, axes: Sequence[Axis], channels_first: bool
) -> Tensor:
    """Multiplies every window by its own matrix.

    `x` is `(*sizes, groups, batch, channels)`, padded; `kernel` is
    `(positions, groups, entries, filters)`, its entries in the order
    `(*kernel_size, channels)`, or `(channels, *kernel_size)`. The result is
    `(positions, groups, batch, filters)`.
    """
    rank = len(axes)
    x = take_windows(x, axes)
    windows, within = range(0, 2 * rank, 2), range(1, 2 * rank, 2)
    groups, batch, channels = range(2 * rank, 2 * rank + 3)
    entries = (channels, *within) if channels_first else (*within, channels)
    x = ops.transpose(x, (*windows, groups, batch, *entries))
    positions, groups, entries, _ = kernel.shape
    x = ops.reshape(x, (positions, groups, -1, entries))
    return ops.matmul(x, kernel)


def multiply_windows_in_pieces(
    x: Tensor,
    kernel: Tensor,
    axes: tuple[Axis, ...],
    channels_first: bool,
    pieces: int,
) -> Tensor:
    """As `multiply_windows`, with windows for a part of the rows at a time.

    `pieces` divides the number of rows. They come one after the other, and
    the backward pass makes the windows of a piece once more: they are never
    all held, in training neither.
    """
    first, rest = axes[0], axes[1:]
    rows = first.windows // pieces
    size = (rows - 1) * first.stride + first.extent
    part = (first._replace(size=size, before=0, after=0), *rest)

    @keras.remat
    def product(x: Tensor, kernel: Tensor, start: Tensor) -> Tensor:
        # JAX in double precision wants indices of one type.
        zero = ops.zeros_like(start)
        x = ops.slice(
            x, (start, *[zero] * (x.ndim - 1)), (size, *ops.shape(x)[1:])
        )
        return multiply_windows(x, kernel, part, channels_first)

    outputs = ops.map(
        lambda piece: product(x, *piece),
        (
            ops.reshape(kernel, (pieces, -1, *kernel.shape[1:])),
            ops.arange(pieces) * (rows * first.stride),
        ),
    )
    return ops.reshape(outputs, (kernel.shape[0], *known(outputs.shape[2:])))


def count_pieces(rows: int, at_least: int) -> int:
    """The smallest divisor of `rows` that is large enough, or `rows`."""
    return next((n for n in range(at_least, rows) if rows % n == 0), rows)
