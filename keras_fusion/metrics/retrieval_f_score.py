from typing import Any

import keras
from keras import ops

from keras_fusion.metrics.position_weights import position_weights
from keras_fusion.metrics.ranking import hits
from keras_fusion.metrics.recall_at_k import check_k
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class RetrievalFScore(keras.metrics.Mean):
    """Harmonic mean of precision and recall of the `k` best candidates.

    For a query with `right` right candidates, `hits` of them among the first
    `k` of all `candidates`:

        precision = hits / k,  recall = hits / right
        F = 2 * hits / (k + right)

    averaged over the queries; 0 for a query without a right candidate. Among
    equal scores the wrong candidates come first, and NaN comes last. Where
    there are fewer than `k` candidates, `k` is their number.

    Papers that print F-scores of retrieval cut their lists in ways of their
    own, or do not say how (Kiros et al., 2014, do not): do not compare.

    Args:
        k: Integer, at least 1. Defaults to `10`.
        name: String. Defaults to `"f_score_at_"` and `k`.
        dtype: The metric's dtype.

    Call arguments:
        y_true: A mask of the right candidates, of shape `(queries,
            candidates)`; or for each query the index of its only right
            candidate, of shape `(queries,)` or `(queries, 1)`.
        y_pred: Scores of shape `(queries, candidates)`, higher for better.
        sample_weight: A number, or weights of shape `(queries,)` or
            `(queries, 1)`.

    Example:

    >>> metric = keras_fusion.metrics.RetrievalFScore(2)
    >>> metric.update_state([[1, 0, 1, 1]], [[0.9, 0.8, 0.7, 0.1]])
    >>> round(float(metric.result()), 4)
    0.4
    """

    def __init__(
        self, k: int = 10, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(name=name or f"f_score_at_{k}", dtype=dtype)
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
        found, right = hits(y_true, y_pred, self.k)
        shown = min(self.k, y_pred.shape[-1])
        found, right = (ops.cast(x, self.dtype) for x in (found, right))
        values = 2 * found / (shown + right)
        if sample_weight is not None:
            sample_weight = position_weights(
                sample_weight, ops.shape(values), self.dtype
            )
        return super().update_state(values, sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "k": self.k}
