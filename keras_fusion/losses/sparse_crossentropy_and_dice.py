from typing import Any

import keras
from keras import ops

from keras_fusion.losses.sample_loss import SampleLoss
from keras_fusion.replicas import replicas
from keras_fusion.replicas import sums_over_replicas
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class SparseCrossentropyAndDice(SampleLoss):
    """Cross-entropy of the pixels plus the Dice loss of the classes' areas.

    For each sample, with p the predicted probabilities, t the one-hot labels
    and sums over the sample's labeled pixels:

        crossentropy = mean of -log p[label]
        dice         = 1 - mean over classes of
                           (2 * sum(p t) + 1) / (sum(p) + sum(t) + 1)
        loss         = crossentropy + dice_weight * dice

    Cross-entropy counts pixels, so a class of few pixels hardly matters to
    it; Dice compares areas class by class, as intersection over union does.

    A sample of few labeled pixels counts as much as one of many. With
    `over_batch=True` pixels count alike wherever they are: the mean of the
    samples' cross-entropies is that of the batch's labeled pixels, of all
    replicas of a distribution strategy together.

    Args:
        dice_weight: Float, at least 0. Defaults to `1`.
        ignore_class: Integer label of pixels that count for nothing, or
            `None`. Defaults to `None`.
        over_batch: Boolean. Whether the cross-entropy is a mean over the
            labeled pixels of the batch. Defaults to `False`.
        reduction: As in `keras.losses.Loss`, over the values of the samples.
        name: Name of the loss.
        dtype: The dtype of its computations.

    Call arguments:
        y_true: Integer labels `(batch, ...)`. A label outside the classes
            that is not `ignore_class` makes the sample's value NaN.
        y_pred: Logits `(batch, ..., classes)`.
        sample_weight: A number, or one for each sample. Pixels have no weights
            of their own, as Dice compares areas: `ignore_class` leaves them
            out.

    Raises:
        ValueError: If `dice_weight` is negative, or `sample_weight` has axes
            of pixels.

    Example:

    >>> loss = keras_fusion.losses.SparseCrossentropyAndDice(dice_weight=0.0)
    >>> logits = np.zeros((1, 2, 2, 4), "float32")
    >>> round(float(loss(np.zeros((1, 2, 2), "int32"), logits)), 4)
    1.3863

    Reference:

    - [Wang et al., 2020](https://arxiv.org/abs/2011.05005) in its released
      code: `dice_weight=0` and `over_batch=True`.
    - [Milletari et al., 2016](https://arxiv.org/abs/1606.04797), section 3,
      with sums in place of sums of squares in the denominator.
    """

    def __init__(
        self,
        dice_weight: float = 1.0,
        ignore_class: int | None = None,
        over_batch: bool = False,
        reduction: str = "sum_over_batch_size",
        name: str = "sparse_crossentropy_and_dice",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if dice_weight < 0:
            raise ValueError(
                "`dice_weight` must be at least 0. "
                f"Received: dice_weight={dice_weight}"
            )
        self.dice_weight = dice_weight
        self.ignore_class = ignore_class
        self.over_batch = over_batch

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        classes = y_pred.shape[-1]
        labels = ops.cast(
            ops.reshape(y_true, (ops.shape(y_pred)[0], -1)), "int32"
        )
        logits = ops.reshape(y_pred, (ops.shape(y_pred)[0], -1, classes))
        counted = ops.ones_like(labels, dtype=logits.dtype)
        if self.ignore_class is not None:
            kept = labels != self.ignore_class
            counted = ops.cast(kept, logits.dtype)
            labels = ops.where(kept, labels, 0)

        log_probabilities = ops.log_softmax(logits)
        # Of a label that is no class, each backend makes something else.
        known = ops.logical_and(labels >= 0, labels < classes)
        labels = ops.where(known, labels, 0)
        truth = ops.one_hot(labels, classes, dtype=logits.dtype)
        truth = ops.where(known[..., None], truth, float("nan"))
        truth = truth * counted[..., None]  # (batch, pixels, classes)
        crossentropy = -ops.sum(truth * log_probabilities, axis=(1, 2))
        crossentropy = crossentropy / self._pixels(counted)

        guess = ops.exp(log_probabilities) * counted[..., None]
        shared = ops.sum(guess * truth, axis=1)
        total = ops.sum(guess, axis=1) + ops.sum(truth, axis=1)
        dice = 1 - ops.mean((2 * shared + 1) / (total + 1), axis=-1)
        return crossentropy + self.dice_weight * dice

    def _pixels(self, counted: Tensor) -> Tensor:
        """What the sum over each sample's pixels is divided by."""
        pixels = ops.sum(counted, axis=1)
        if self.over_batch:
            # The mean over the samples of this replica, and then over the
            # replicas, has to be the sum over the pixels of them all.
            samples = ops.cast(ops.shape(counted)[0], counted.dtype)
            (total,) = sums_over_replicas([ops.sum(pixels)])
            pixels = total / (samples * replicas())
        return ops.maximum(pixels, 1e-7)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dice_weight": self.dice_weight,
            "ignore_class": self.ignore_class,
            "over_batch": self.over_batch,
        }
