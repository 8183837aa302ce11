"""What layers need to know of the replicas of a distribution strategy.

TensorFlow is imported when a function needs it, so that the layers work on
any backend.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_fusion.types import Tensor


def replicas() -> int:
    """Number of replicas in sync where this is called; 1 outside a strategy."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def replica() -> Any:
    """Index of the replica that calls this; 0 outside a strategy."""
    if keras.backend.backend() != "tensorflow":
        return 0
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return 0 if context is None else context.replica_id_in_sync_group


def mean_over_replicas(x: Tensor, axes: list[int]) -> Tensor:
    """Mean over `axes`, which are kept, of the samples of all replicas.

    It is 0 where there are no samples.
    """
    total = ops.sum(x, axes, keepdims=True)
    sizes = ops.shape(x)
    count = ops.cast(math.prod(sizes[axis] for axis in axes), x.dtype)
    total, count = sums_over_replicas([total, count])
    return ops.divide_no_nan(total, count)


def sums_over_replicas(values: list[Tensor]) -> list[Tensor]:
    """The sums of all replicas' values of some tensors."""
    if replicas() == 1:
        return values
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return values if context is None else context.all_reduce("SUM", values)
