"""Weights of a metric, one for each value that it counts."""

from typing import Any

from keras import ops

from keras_fusion.types import Tensor


def position_weights(
    sample_weight: Tensor, shape: tuple[Any, ...], dtype: str
) -> Tensor:
    """`sample_weight`, a number or weights of the first axes, in `shape`."""
    sample_weight = ops.convert_to_tensor(sample_weight)
    weight = ops.cast(sample_weight, dtype)
    while weight.ndim > len(shape) and weight.shape[-1] == 1:
        weight = ops.squeeze(weight, -1)
    given = tuple(ops.shape(sample_weight))
    lengths = zip(tuple(weight.shape), shape, strict=False)
    fits = all(
        n == 1 or n == m or not isinstance(m, int) or n is None
        for n, m in lengths
    )
    if weight.ndim > len(shape) or not fits:
        raise ValueError(
            "`sample_weight` must be one number, or have the first axes of "
            f"the labels, {tuple(shape)}. Received: sample_weight_shape="
            f"{given}. Give one weight for each sample or for each position."
        )
    for _ in range(len(shape) - weight.ndim):
        weight = ops.expand_dims(weight, -1)
    return ops.broadcast_to(weight, shape)
