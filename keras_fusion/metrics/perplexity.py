from typing import Any

import keras
from keras import ops

from keras_fusion.metrics.position_weights import position_weights
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class Perplexity(keras.metrics.Metric):
    """Number of equally likely words that would be as hard to guess.

        perplexity = exp(-(mean over the words of log P(word)))

    The mean is over all counted words of all batches, so the batch size has
    no influence. A model that knows nothing reaches the number of words. Which
    words count is a matter of the data: `ignore_class` leaves out padding, and
    weights of 0 whatever else a paper leaves out.

    Args:
        from_logits: Boolean. Whether the predictions are logits. Keras keeps
            probabilities from falling under 1e-7; logits have no such floor.
            Defaults to `False`.
        ignore_class: Integer label that does not count, or None. Defaults to
            `None`.
        name: String. Defaults to `"perplexity"`.
        dtype: The metric's dtype.

    Call arguments:
        y_true: Integer labels of shape `(batch, ...)`. With a label that is
            neither a word nor `ignore_class` the result is NaN.
        y_pred: Predictions of shape `(batch, ..., words)`.
        sample_weight: A number, or weights of the shape of `y_true` or of
            its first axes.

    Example:

    >>> metric = keras_fusion.metrics.Perplexity()
    >>> metric.update_state([0, 1], [[0.25, 0.75], [0.0, 1.0]])
    >>> round(float(metric.result()), 4)
    2.0

    Reference:

    - [Kiros et al., 2014](https://proceedings.mlr.press/v32/kiros14.html):
      their base-2 exponent of the mean log2 is this number.
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        name: str = "perplexity",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self._direction = "down"
        self.total = self.add_variable(
            shape=(), initializer="zeros", name="total"
        )
        self.count = self.add_variable(
            shape=(), initializer="zeros", name="count"
        )

    def update_state(
        self,
        y_true: Tensor,
        y_pred: Tensor,
        sample_weight: Tensor | None = None,
    ) -> None:
        y_pred = ops.cast(y_pred, self.dtype)
        labels = ops.cast(y_true, "int32")
        labels = ops.reshape(labels, ops.shape(y_pred)[:-1])
        weight = position_weights(
            1 if sample_weight is None else sample_weight,
            ops.shape(labels),
            self.dtype,
        )
        if self.ignore_class is not None:
            ignored = labels == self.ignore_class
            labels = ops.where(ignored, 0, labels)
            weight = ops.where(ignored, 0.0, weight)
        # Of a label that is no word, each backend makes something else.
        known = ops.logical_and(labels >= 0, labels < y_pred.shape[-1])
        surprise = ops.sparse_categorical_crossentropy(
            ops.where(known, labels, 0), y_pred, from_logits=self.from_logits
        )
        surprise = ops.where(known, surprise, float("nan"))
        self.total.assign(self.total + ops.sum(surprise * weight))
        self.count.assign(self.count + ops.sum(weight))

    def result(self) -> Tensor:
        return ops.exp(ops.divide_no_nan(self.total, self.count))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "from_logits": self.from_logits,
            "ignore_class": self.ignore_class,
        }
