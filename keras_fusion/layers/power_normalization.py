"""The normalization that bilinear vectors share."""

from keras import ops

from keras_fusion.types import Tensor


def power_normalize(x: Tensor) -> Tensor:
    """Takes signed square roots, then brings the last axis to length 1.

    Both steps have finite gradients everywhere, at zero too, and keep zero
    vectors at zero.
    """
    x = x * ops.rsqrt(ops.abs(x) + 1e-12)
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(ops.maximum(squares, 1e-12))
