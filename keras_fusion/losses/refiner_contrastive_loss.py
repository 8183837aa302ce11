from typing import Any

import keras
from keras import ops

from keras_fusion.losses.sample_loss import SampleLoss
from keras_fusion.losses.similarity import nan_where_not_finite
from keras_fusion.losses.similarity import off_diagonal
from keras_fusion.losses.similarity import unit_rows
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class RefinerContrastiveLoss(SampleLoss):
    """Asks each defused vector to be closer to its own target than others'.

    With `S[i][j]` the cosine between reconstruction i and target j, and `N`
    the targets j of other samples that come too close, `S[i][j] > S[i][i] -
    margin`:

        loss[i] = mean over N of (margin + S[i][j] - S[i][i]);  0 if N is empty

    It needs no labels. It ranks more than it reconstructs: judge it by how
    often the own target is the nearest, not by the cosine.

    A target of zeros stands for an absent modality: that sample has loss 0
    and is not another sample's N.

    Args:
        margin: Float. Defaults to `0.1`.

    Call arguments:
        y_true: Targets of shape `(batch, features)`.
        y_pred: Reconstructions of that shape.

    Example:

    >>> loss = keras_fusion.losses.RefinerContrastiveLoss()
    >>> targets = np.array([[1.0, 0.0], [0.6, 0.8]])
    >>> round(float(loss(targets, targets)), 4)
    0.0
    >>> round(float(loss(targets, targets[::-1])), 4)
    0.5

    Reference:

    - [Sankaran et al., 2021](https://arxiv.org/abs/2104.03435), as in the
      first author's released code.
    """

    def __init__(
        self,
        margin: float = 0.1,
        name: str = "refiner_contrastive_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.margin = margin

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        similarity, candidates = similarity_to_targets(y_true, y_pred)
        excess = self.margin + similarity - ops.diagonal(similarity)[:, None]
        close = ops.logical_and(candidates, excess > 0)
        total = ops.sum(ops.where(close, excess, 0.0), axis=1)
        count = ops.sum(ops.cast(close, total.dtype), axis=1)
        values = total / ops.maximum(count, 1.0)
        return nan_where_not_finite(values, y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin}


def similarity_to_targets(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Cosines of reconstructions to targets, and which pairs to contrast."""
    similarity = ops.matmul(unit_rows(y_pred), ops.transpose(unit_rows(y_true)))
    present = ops.any(y_true != 0, axis=1)
    both = ops.logical_and(present[:, None], present[None, :])
    return similarity, ops.logical_and(both, off_diagonal(similarity))
