from typing import Any

import keras
from keras import ops

from keras_fusion.losses.sample_loss import SampleLoss
from keras_fusion.losses.similarity import NEVER
from keras_fusion.losses.similarity import log_one_plus_sum
from keras_fusion.losses.similarity import nan_where_not_finite
from keras_fusion.losses.similarity import off_diagonal
from keras_fusion.losses.similarity import unit_rows
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class MultiSimilarityLoss(SampleLoss):
    """Draws samples of one class together and pushes the others away.

    With `S[i][j]` the cosine between the embeddings of samples i and j, `P`
    the other samples of i's class and `N` those of other classes:

        loss[i] = log(1 + sum over P of exp(-a * (S[i][j] - l))) / a
                + log(1 + sum over N of exp(+b * (S[i][j] - l))) / b

    where `a` is `positive_scale`, `b` is `negative_scale` and `l` is
    `threshold`. Mining first reduces both sums to the informative pairs, by
    a margin `e`: positives less similar than the closest negative plus `e`,
    and negatives more similar than the farthest positive minus `e`. An anchor
    without such pairs has loss 0, and still counts in the mean. Without
    mining, an anchor alone in its class keeps its second term. Means are over
    the labeled samples only, so that unlabeled ones change nothing.

    Batches need several samples of a class: with mining a batch without
    positives has loss 0. Under a distribution strategy each replica compares
    the samples of its own share, and takes their mean.

    Args:
        positive_scale: Float, `a`. Defaults to `2`.
        negative_scale: Float, `b`. Defaults to `50`.
        threshold: Float, `l`. Defaults to `0.5`; the paper sets 1.
        margin: Float, `e`, or None for no mining. Defaults to `0.1`.
        normalize: Boolean. Whether to divide the embeddings by their length.
            Without it `S` holds their dot products. Defaults to `True`.

    Call arguments:
        y_true: Labels: integers under 2^24 of shape `(batch,)` or
            `(batch, 1)`, -1 for an unlabeled sample; or rows
            `(batch, labels)` of 0 and 1, in which samples that share a label
            are positives, -1 in the row of an unlabeled sample. Unlabeled
            samples are neither anchors nor partners.
        y_pred: Embeddings of shape `(batch, features)`.

    Example:

    >>> loss = keras_fusion.losses.MultiSimilarityLoss()
    >>> embeddings = np.array([[1, 0], [0.6, 0.8], [0.8, 0.6], [0, 1]])
    >>> round(float(loss(np.array([0, 0, 1, 1]), embeddings)), 4)
    0.6791
    >>> round(float(loss(np.array([0, 1, 0, 1]), embeddings)), 4)
    0.3394

    Reference:

    - [Wang et al., 2019](https://arxiv.org/abs/1904.06627), equations 12
      (mining of negatives), 13 (of positives) and 15.
    """

    def __init__(
        self,
        positive_scale: float = 2.0,
        negative_scale: float = 50.0,
        threshold: float = 0.5,
        margin: float = 0.1,
        normalize: bool = True,
        name: str = "multi_similarity_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        check_scales(positive_scale, negative_scale)
        self.positive_scale = positive_scale
        self.negative_scale = negative_scale
        self.threshold = threshold
        self.margin = margin
        self.normalize = normalize

    def __call__(
        self,
        y_true: Tensor,
        y_pred: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        loss = super().__call__(y_true, y_pred, sample_weight)
        if self.reduction in (None, "none", "sum"):
            return loss
        labels = ops.convert_to_tensor(y_true, dtype=self.dtype)
        rows = as_rows(labels, ops.shape(y_pred)[0])
        known = ops.cast(ops.all(rows >= 0, axis=1), self.dtype)
        weight = ops.ones_like(known)
        if (
            sample_weight is not None
            and self.reduction == "mean_with_sample_weight"
        ):
            sample_weight = ops.convert_to_tensor(sample_weight, self.dtype)
            weight = weight * ops.reshape(sample_weight, (-1,))
        # Where nothing is labeled, 0 stays 0 and NaN stays NaN.
        counted = ops.maximum(ops.sum(weight * known), 1e-12)
        return loss * ops.sum(weight) / counted

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        embeddings = unit_rows(y_pred) if self.normalize else y_pred
        similarity = ops.matmul(embeddings, ops.transpose(embeddings))
        positive, negative = pairs(y_true, off_diagonal(similarity))
        if self.margin is not None:
            positive, negative = self._mine(similarity, positive, negative)
        distance = self.threshold - similarity
        values = (
            log_one_plus_sum(self.positive_scale * distance, positive)
            / self.positive_scale
            + log_one_plus_sum(-self.negative_scale * distance, negative)
            / self.negative_scale
        )
        return nan_where_not_finite(values, y_pred)

    def _mine(
        self, similarity: Tensor, positive: Tensor, negative: Tensor
    ) -> tuple[Tensor, Tensor]:
        similarity = ops.stop_gradient(similarity)
        closest = ops.max(
            ops.where(negative, similarity, NEVER), axis=1, keepdims=True
        )
        farthest = ops.min(
            ops.where(positive, similarity, -NEVER), axis=1, keepdims=True
        )
        return (
            ops.logical_and(positive, similarity < closest + self.margin),
            ops.logical_and(negative, similarity > farthest - self.margin),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "positive_scale": self.positive_scale,
            "negative_scale": self.negative_scale,
            "threshold": self.threshold,
            "margin": self.margin,
            "normalize": self.normalize,
        }


def check_scales(positive_scale: float, negative_scale: float) -> None:
    """Raises unless both are above 0."""
    if positive_scale <= 0 or negative_scale <= 0:
        raise ValueError(
            "`positive_scale` and `negative_scale` must be above 0. Received: "
            f"positive_scale={positive_scale}, negative_scale={negative_scale}"
        )


def as_rows(labels: Tensor, batch: Any) -> Tensor:
    """Labels of shape `(batch, 1)`, or rows of them as they are."""
    # A generator's labels have no rank before they come.
    if labels.ndim not in (1, 2):
        return ops.reshape(labels, (batch, -1))
    return labels[:, None] if labels.ndim == 1 else labels


def pairs(labels: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Which pairs, of those in `others`, share a label, and which do not."""
    rows = as_rows(labels, ops.shape(others)[0])
    known = ops.all(rows >= 0, axis=1)
    ids = rows[:, :1]
    # The number of columns may be unknown before there is data.
    shared = ops.where(
        ops.equal(ops.shape(rows)[1], 1),
        ids == ops.transpose(ids),
        ops.matmul(rows, ops.transpose(rows)) > 0,
    )
    valid = ops.logical_and(known[:, None], known[None, :])
    valid = ops.logical_and(valid, others)
    return (
        ops.logical_and(valid, shared),
        ops.logical_and(valid, ops.logical_not(shared)),
    )
