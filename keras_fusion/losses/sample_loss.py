from typing import Any

import keras
from keras import ops

from keras_fusion.types import Tensor


class SampleLoss(keras.losses.Loss):
    """A loss with one value for each sample, and so one weight for each."""

    def __call__(
        self,
        y_true: Tensor,
        y_pred: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        if sample_weight is not None:
            sample_weight = ops.convert_to_tensor(sample_weight)
            self._check(sample_weight, batch=ops.shape(y_pred)[0])
        return super().__call__(y_true, y_pred, sample_weight)

    def _check(self, sample_weight: Tensor, batch: Any) -> None:
        shape = tuple(ops.shape(sample_weight))
        samples = not isinstance(batch, int) or shape[:1] in ((), (batch,))
        # An axis of unknown length is no integer.
        rest = [n for n in shape[1:] if isinstance(n, int)]
        if len(shape) > 2 or any(n != 1 for n in rest) or not samples:
            raise ValueError(
                f"`sample_weight` of {self.name} must be one number, or one "
                "for each sample, of shape `(batch,)` or `(batch, 1)`, as the "
                "loss has one value for each. "
                f"Received: sample_weight_shape={shape}, batch={batch}. "
                "Reduce the weights to one for each sample."
            )
