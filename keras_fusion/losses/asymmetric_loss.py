from typing import Any

import keras
from keras import ops

from keras_fusion.losses.known_label_loss import mean_of_known
from keras_fusion.losses.sample_loss import SampleLoss
from keras_fusion.losses.similarity import nan_where_not_finite
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class AsymmetricLoss(SampleLoss):
    """Binary cross-entropy that spares what is easily seen not to be there.

    An image has few of many categories, so that most labels are 0, and most
    of these easy. With p the probability of a label:

        label 1:  -(1 - p)^positive_gamma * log p
        label 0:  -q^negative_gamma * log(1 - q),  q = max(p - clip, 0)

    The value of a sample is the mean over its known labels (the published one
    is the sum). Equal gammas and no `clip` are focal loss, which Keras has as
    `BinaryFocalCrossentropy`; gammas of 0 are binary cross-entropy.

    Args:
        negative_gamma: Float, at least 0. Defaults to `4`, as published.
        positive_gamma: Float, at least 0. Defaults to `1`, as released.
        clip: Float, from 0 to less than 1: a label 0 of a smaller probability
            costs nothing. Defaults to `0.05`, as published.
        reduction: As in `keras.losses.Loss`, over the values of the samples.
        name: Name of the loss.
        dtype: The dtype of its computations.

    Call arguments:
        y_true: Labels `(batch, categories)`: 1, 0, or -1 for unknown.
        y_pred: Logits of the same shape.

    Raises:
        ValueError: If a gamma is negative, or `clip` out of its range.

    Example:

    >>> loss = keras_fusion.losses.AsymmetricLoss(2.0, 0.0, clip=0.0)
    >>> logits = np.zeros((1, 3), "float32")
    >>> round(float(loss(np.array([[1, 0, -1]]), logits)), 4)
    0.4332

    Reference:

    - [Ridnik et al., 2021](https://arxiv.org/abs/2009.14119), equations 4 to 6
    """

    def __init__(
        self,
        negative_gamma: float = 4.0,
        positive_gamma: float = 1.0,
        clip: float = 0.05,
        reduction: str = "sum_over_batch_size",
        name: str = "asymmetric_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if min(negative_gamma, positive_gamma) < 0 or not 0 <= clip < 1:
            raise ValueError(
                "`negative_gamma` and `positive_gamma` must be at least 0, "
                "`clip` from 0 to less than 1. Received: negative_gamma="
                f"{negative_gamma}, positive_gamma={positive_gamma}, "
                f"clip={clip}"
            )
        self.negative_gamma = negative_gamma
        self.positive_gamma = positive_gamma
        self.clip = clip

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        truth = ops.cast(y_true, y_pred.dtype)
        known = truth >= 0
        positive = -_powered(
            ops.sigmoid(-y_pred), self.positive_gamma
        ) * ops.log_sigmoid(y_pred)
        values = ops.where(truth > 0.5, positive, self._negative(y_pred))
        return nan_where_not_finite(mean_of_known(values, known), y_pred)

    def _negative(self, logits: Tensor) -> Tensor:
        chance = ops.sigmoid(logits)
        if not self.clip:
            # Stable where the probability rounds to 1.
            log = ops.log_sigmoid(-logits)
            return -_powered(chance, self.negative_gamma) * log
        chance = ops.maximum(chance - self.clip, 0.0)
        log = ops.log1p(-chance)
        return -_powered(chance, self.negative_gamma) * log

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "negative_gamma": self.negative_gamma,
            "positive_gamma": self.positive_gamma,
            "clip": self.clip,
        }


def _powered(base: Tensor, exponent: float) -> Tensor:
    # Keeps the gradient finite at 0 where the exponent is under 1.
    return ops.power(ops.maximum(base, 1e-8), exponent) if exponent else 1.0
