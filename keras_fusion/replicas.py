"""What layers need to know of the replicas of a distribution strategy.

TensorFlow is imported when a function needs it, so that the layers work on
any backend.
"""

from typing import Any

import keras


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


def sum_over_replicas(x: Any) -> Any:
    """The sum of all replicas' values of a tensor, without gradient."""
    if replicas() == 1:
        return x
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None:
        return x
    return tf.stop_gradient(context.all_reduce(tf.distribute.ReduceOp.SUM, x))
