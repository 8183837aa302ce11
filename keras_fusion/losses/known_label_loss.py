from typing import Any

import keras
from keras import ops

from keras_fusion.losses.sample_loss import SampleLoss
from keras_fusion.losses.similarity import nan_where_not_finite
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class KnownLabelLoss(SampleLoss):
    """The mean of a binary loss over the labels of a sample that are known.

    Sets of many categories often do not say about each image whether each of
    them is there. A label of -1 is unknown and counts for nothing, so that a
    sample of few known labels counts as much as one of many. A sample without
    a known label has the value 0.

    Args:
        loss: A Keras loss of binary labels, such as
            `keras.losses.BinaryFocalCrossentropy(from_logits=True)`, or
            `None` for binary cross-entropy of logits.
        reduction: As in `keras.losses.Loss`, over the values of the samples.
        name: Name of the loss.
        dtype: The dtype of its computations.

    Call arguments:
        y_true: Labels `(batch, categories)`: 1, 0, or -1 for unknown; numbers
            between 0 and 1 where the loss takes such.
        y_pred: What the loss takes, of the same shape.

    Example:

    >>> loss = keras_fusion.losses.KnownLabelLoss()
    >>> logits = np.array([[0.0, 0.0, 9.0]], "float32")
    >>> round(float(loss(np.array([[1, 0, -1]]), logits)), 4)
    0.6931
    """

    def __init__(
        self,
        loss: keras.losses.Loss | None = None,
        reduction: str = "sum_over_batch_size",
        name: str = "known_label_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if loss is None:
            loss = keras.losses.BinaryCrossentropy(from_logits=True)
        if not isinstance(loss, keras.losses.Loss):
            raise ValueError(
                "`loss` must be a keras.losses.Loss of binary labels. "
                f"Received: loss={loss!r}"
            )
        self.loss = loss

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        truth = ops.cast(y_true, y_pred.dtype)
        known = truth >= 0
        # PyTorch raises where a prediction is no number; it is NaN below.
        finite = ops.where(ops.isfinite(y_pred), y_pred, 0.0)
        # Each label is a sample of one label to the loss.
        each = self.loss.call(
            ops.where(known, truth, 0.0)[..., None], finite[..., None]
        )
        values = mean_of_known(each, known)
        return nan_where_not_finite(values, y_pred)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "loss": keras.losses.serialize(self.loss),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "KnownLabelLoss":
        config = dict(config)
        if isinstance(config.get("loss"), dict):
            config["loss"] = keras.losses.deserialize(config["loss"])
        return cls(**config)


def mean_of_known(values: Tensor, known: Tensor) -> Tensor:
    """Means of the rows over what is known; 0 where nothing is."""
    weights = ops.cast(known, values.dtype)
    total = ops.sum(ops.where(known, values, 0.0), axis=-1)
    return total / ops.maximum(ops.sum(weights, axis=-1), 1.0)
