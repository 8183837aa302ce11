"""Batches without samples, of which TensorFlow's convolutions on CPUs fail.

A replica gets one where there are fewer samples than replicas.
"""

from typing import Any

from keras import ops

from keras_fusion.types import Tensor


def fill_empty_batch(x: Tensor) -> Tensor:
    """`x`, or one sample of zeros where it has none."""
    batch, *shape = ops.shape(x)
    missing: Any = int(batch == 0) if isinstance(batch, int) else None
    if missing == 0:
        return x
    if missing is None:
        missing = ops.cast(ops.equal(batch, 0), "int32")
    return ops.concatenate([x, ops.zeros((missing, *shape), x.dtype)])
