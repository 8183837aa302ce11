from typing import Any

import keras
from keras import ops

from keras_fusion.metrics.position_weights import position_weights
from keras_fusion.metrics.ranking import best_rank
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class MedianRank(keras.metrics.Metric):
    """Median over the queries of the place of the best right candidate.

    Places count from 1. Among equal scores the wrong candidates come first,
    and NaN comes last. A query without a right candidate has place
    `num_candidates + 1`. The median is that of all batches together, from a
    histogram of places; between two middle places it is their mean.

    Args:
        num_candidates: Integer, the number of candidates of each query.
        name: String. Defaults to `"median_rank"`.
        dtype: The metric's dtype.

    Call arguments:
        y_true: For each query the index of its right candidate, of shape
            `(queries,)` or `(queries, 1)`; or a mask of its right
            candidates, of shape `(queries, candidates)`.
        y_pred: Scores of shape `(queries, candidates)`, higher for better.
        sample_weight: A number, or weights of shape `(queries,)` or
            `(queries, 1)`.

    Example:

    >>> metric = keras_fusion.metrics.MedianRank(num_candidates=3)
    >>> scores = [[0.9, 0.1, 0.3], [0.2, 0.7, 0.5]]
    >>> metric.update_state([2, 0], scores)
    >>> float(metric.result())
    2.5
    """

    def __init__(
        self, num_candidates: int, name: str = "median_rank", dtype: Any = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.num_candidates = num_candidates
        self._direction = "down"
        self.counts = self.add_variable(
            shape=(num_candidates + 1,), initializer="zeros", name="counts"
        )

    def update_state(
        self,
        y_true: Tensor,
        y_pred: Tensor,
        sample_weight: Tensor | None = None,
    ) -> None:
        y_pred = ops.convert_to_tensor(y_pred)
        if y_pred.shape[-1] != self.num_candidates:
            raise ValueError(
                f"{self.name} expects {self.num_candidates} scores for each "
                f"query. Received: y_pred of shape {tuple(y_pred.shape)}. "
                "Set `num_candidates` to their number."
            )
        places = ops.one_hot(
            best_rank(y_true, y_pred) - 1,
            self.num_candidates + 1,
            dtype=self.dtype,
        )
        if sample_weight is not None:
            weight = position_weights(
                sample_weight, ops.shape(places)[:1], self.dtype
            )
            places = places * weight[:, None]
        self.counts.assign(self.counts + ops.sum(places, axis=0))

    def result(self) -> Tensor:
        below = ops.cumsum(self.counts)
        half = below[-1] / 2
        lower = 1 + ops.argmax(below >= half)
        upper = 1 + ops.argmax(below > half)
        median = ops.cast(lower + upper, self.dtype) / 2
        return ops.where(half > 0, median, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_candidates": self.num_candidates}
