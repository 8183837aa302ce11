"""Batches without samples, of which TensorFlow's convolutions on CPUs fail.

A replica gets one where there are fewer samples than replicas.
"""

from typing import Any

import keras
from keras import ops

from keras_fusion.types import Tensor


def fill_empty_batch(x: Tensor) -> Tensor:
    """`x`, or one sample of zeros where it has none."""
    batch, *shape = ops.shape(x)
    if isinstance(batch, int):
        missing: Any = int(batch == 0)
    elif keras.backend.backend() == "tensorflow":
        missing = ops.cast(ops.equal(batch, 0), "int32")
    else:
        # Other backends compile for batches of a known size.
        missing = 0
    if isinstance(missing, int) and missing == 0:
        return x
    return ops.concatenate([x, ops.zeros((missing, *shape), x.dtype)])
