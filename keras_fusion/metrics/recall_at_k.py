from typing import Any

import keras
from keras import ops

from keras_fusion.metrics.position_weights import position_weights
from keras_fusion.metrics.ranking import best_rank
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class RecallAtK(keras.metrics.Mean):
    """Share of the queries with a right candidate among the `k` best.

    As in image-to-text and text-to-image retrieval. Where a query has one
    right candidate, this is Keras's `SparseTopKCategoricalAccuracy`, but for
    ties: among equal scores the wrong candidates come first, and NaN comes
    last, so that a constant or broken score earns nothing.

    Args:
        k: Integer, at least 1. Defaults to `1`.
        name: String. Defaults to `"recall_at_"` and `k`.
        dtype: The metric's dtype.

    Call arguments:
        y_true: For each query the index of its right candidate, of shape
            `(queries,)` or `(queries, 1)`; or a mask of its right
            candidates, of shape `(queries, candidates)`.
        y_pred: Scores of shape `(queries, candidates)`, higher for better.
        sample_weight: A number, or weights of shape `(queries,)` or
            `(queries, 1)`.

    Example:

    >>> metric = keras_fusion.metrics.RecallAtK(2)
    >>> scores = [[0.9, 0.1, 0.3], [0.2, 0.7, 0.5]]
    >>> metric.update_state([2, 0], scores)
    >>> float(metric.result())
    0.5
    """

    def __init__(
        self, k: int = 1, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(name=name or f"recall_at_{k}", dtype=dtype)
        check_k(k)
        self.k = k
        self._direction = "up"

    def update_state(
        self,
        y_true: Tensor,
        y_pred: Tensor,
        sample_weight: Tensor | None = None,
    ) -> None:
        y_pred = ops.convert_to_tensor(y_pred)
        # Past the candidates stand the queries without a right one.
        found = best_rank(y_true, y_pred) <= min(self.k, y_pred.shape[-1])
        values = ops.cast(found, self.dtype)
        if sample_weight is not None:
            sample_weight = position_weights(
                sample_weight, ops.shape(values), self.dtype
            )
        return super().update_state(values, sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "k": self.k}


def check_k(k: int) -> None:
    """Raises unless `k` is at least 1."""
    if k < 1:
        raise ValueError(f"`k` must be at least 1. Received: k={k}")
