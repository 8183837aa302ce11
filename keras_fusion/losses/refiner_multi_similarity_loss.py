from typing import Any

import keras
from keras import ops

from keras_fusion.losses.multi_similarity_loss import check_scales
from keras_fusion.losses.refiner_contrastive_loss import similarity_to_targets
from keras_fusion.losses.sample_loss import SampleLoss
from keras_fusion.losses.similarity import log_one_plus_sum
from keras_fusion.losses.similarity import nan_where_not_finite
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class RefinerMultiSimilarityLoss(SampleLoss):
    """Multi-similarity loss in which each sample is a class of its own.

    With `S[i][j]` the cosine between reconstruction i and target j, and `N`
    the targets of other samples with `S[i][j] + margin > S[i][i]`:

        loss[i] = log(1 + exp(-a * (S[i][i] - l))) / a
                + log(1 + sum over N of exp(b * (S[i][j] - l))) / b

    or 0 if N is empty, where `a` is `positive_scale`, `b` is `negative_scale`
    and `l` is `threshold`. It needs no labels, and like
    `RefinerContrastiveLoss` it ranks more than it reconstructs.

    A target of zeros stands for an absent modality: that sample has loss 0
    and is not another sample's N.

    Args:
        positive_scale: Float, `a`. Defaults to `2`.
        negative_scale: Float, `b`. Defaults to `50`.
        threshold: Float, `l`. Defaults to `0.5`.
        margin: Float. Defaults to `0.1`.

    Call arguments:
        y_true: Targets of shape `(batch, features)`.
        y_pred: Reconstructions of that shape.

    Example:

    >>> loss = keras_fusion.losses.RefinerMultiSimilarityLoss()
    >>> targets = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> round(float(loss(targets, targets)), 4)
    0.0
    >>> round(float(loss(targets, targets[::-1])), 4)
    1.1566

    Reference:

    - [Sankaran et al., 2021](https://arxiv.org/abs/2104.03435), as in the
      first author's released code, with vectors normalized.
    """

    def __init__(
        self,
        positive_scale: float = 2.0,
        negative_scale: float = 50.0,
        threshold: float = 0.5,
        margin: float = 0.1,
        name: str = "refiner_multi_similarity_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        check_scales(positive_scale, negative_scale)
        self.positive_scale = positive_scale
        self.negative_scale = negative_scale
        self.threshold = threshold
        self.margin = margin

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        similarity, candidates = similarity_to_targets(y_true, y_pred)
        own = ops.diagonal(similarity)
        close = similarity + self.margin > own[:, None]
        close = ops.logical_and(candidates, close)
        pull = ops.softplus(self.positive_scale * (self.threshold - own))
        push = log_one_plus_sum(
            self.negative_scale * (similarity - self.threshold), close
        )
        loss = pull / self.positive_scale + push / self.negative_scale
        loss = ops.where(ops.any(close, axis=1), loss, 0.0)
        return nan_where_not_finite(loss, y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "positive_scale": self.positive_scale,
            "negative_scale": self.negative_scale,
            "threshold": self.threshold,
            "margin": self.margin,
        }
