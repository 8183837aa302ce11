from typing import Any

import keras
from keras import ops

from keras_fusion.losses.sample_loss import SampleLoss
from keras_fusion.losses.similarity import unit_rows
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class RefinerCosineLoss(SampleLoss):
    """Angle between what a defuser decodes and what it should decode.

        loss[i] = 1 - cosine(y_true[i], y_pred[i])

    from 0 (one direction) over 1 (orthogonal) to 2 (opposed). Lengths are
    free. Keras's `CosineSimilarity` is this loss minus 1; here the minimum is
    0, so that terms can be weighted and read, and gradients stay finite at
    vectors of zeros.

    A high cosine alone proves little: trainable targets can shrink to few
    dimensions, and a constant can match a part of them. Compare with the best
    constant.

    Call arguments:
        y_true: Targets of shape `(batch, features)`.
        y_pred: Reconstructions of that shape.

    Example:

    >>> loss = keras_fusion.losses.RefinerCosineLoss()
    >>> targets = np.array([[3.0, 0.0], [0.0, 1.0]])
    >>> rebuilt = np.array([[2.0, 0.0], [1.0, 1.0]])
    >>> round(float(loss(targets, rebuilt)), 4)
    0.1464

    Reference:

    - [Sankaran et al., 2021](https://arxiv.org/abs/2104.03435), as in the
      first author's released code.
    """

    def __init__(
        self, name: str = "refiner_cosine_loss", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        cosine = ops.sum(unit_rows(y_true) * unit_rows(y_pred), axis=-1)
        return 1.0 - cosine
