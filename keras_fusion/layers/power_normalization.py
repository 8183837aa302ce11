"""The normalizations that bilinear vectors and text kernels share."""

from keras import ops

from keras_fusion.types import Tensor

TINY = 1e-12
# Steeper slopes than of values of this size leave the range of float16.
SMALL = 1e-2


def power_normalize(x: Tensor, dtype: str) -> Tensor:
    """Takes signed square roots, then brings the last axis to length 1.

    Both steps have finite gradients everywhere, at zero too, and keep zero
    vectors at zero.

    Args:
        x: Tensor, in float32 at least.
        dtype: String, the type of the layer that gets the gradients. In
            float16 they are, below `SMALL`, those of a smoothed root.
    """
    root = x * ops.rsqrt(ops.abs(x) + TINY)
    if dtype == "float16":
        root = _with_slopes(root, x * ops.rsqrt(ops.abs(x) + SMALL))
    return to_unit_length(root, dtype)


def to_unit_length(x: Tensor, dtype: str) -> Tensor:
    """Brings the last axis to length 1; `dtype` as in `power_normalize`."""
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    unit = x * ops.rsqrt(ops.maximum(squares, TINY))
    if dtype == "float16":
        unit = _with_slopes(unit, x * ops.rsqrt(ops.maximum(squares, SMALL)))
    return unit


def _with_slopes(values: Tensor, sloped: Tensor) -> Tensor:
    """The numbers of `values` with the gradients of `sloped`."""
    return sloped + ops.stop_gradient(values - sloped)
