from typing import Any

import keras
from keras import ops

from keras_fusion.losses.sample_loss import SampleLoss
from keras_fusion.losses.similarity import nan_where_not_finite
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class SparseSquaredHinge(SampleLoss):
    """Asks the right class's score to be over 1, and all others' under -1.

        loss = sum over classes c of max(0, 1 - sign[c] * score[c])^2

    where `sign` is 1 for the label and -1 for every other class: a linear
    support vector machine for each class. Keras's `SquaredHinge` wants these
    signs as labels, and averages over the classes.

    Args:
        reduction: As in `keras.losses.Loss`, over the values of the samples.
        name: Name of the loss.
        dtype: The dtype of its computations.

    Call arguments:
        y_true: Integer labels `(batch,)` or `(batch, 1)`. A label outside
            the classes makes the sample's value NaN.
        y_pred: Scores `(batch, classes)`, of any range: no probabilities.

    Example:

    >>> loss = keras_fusion.losses.SparseSquaredHinge()
    >>> float(loss(np.array([1]), np.array([[-2.0, 0.5, 0.0]])))
    1.25

    Reference:

    - [Lee et al., 2015](https://arxiv.org/abs/1409.5185), of the label and of
      the companions
    """

    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "sparse_squared_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        classes = y_pred.shape[-1]
        known = ops.logical_and(labels >= 0, labels < classes)
        label = ops.one_hot(
            ops.where(known, labels, 0), classes, dtype=y_pred.dtype
        )
        margin = 1 - (2 * label - 1) * y_pred
        values = ops.sum(ops.square(ops.maximum(margin, 0)), axis=-1)
        values = ops.where(known, values, float("nan"))
        return nan_where_not_finite(values, y_pred)
