"""Random numbers that differ between the replicas of a strategy."""

import keras
from keras import ops

from keras_fusion.replicas import replica
from keras_fusion.types import Tensor


class ReplicaSeedGenerator(keras.random.SeedGenerator):
    """Keras's, whose replicas would all draw the same numbers."""

    def next(self, ordered: bool = True) -> Tensor:
        seed = super().next(ordered)
        return seed + ops.cast(
            ops.stack([replica() * 1_000_003, 0]), seed.dtype
        )
