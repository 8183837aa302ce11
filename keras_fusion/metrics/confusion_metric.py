from typing import Any

import keras
from keras import ops

from keras_fusion.metrics.position_weights import position_weights
from keras_fusion.types import Tensor


class ConfusionMetric(keras.metrics.MeanIoU):
    """A metric of how often which class was taken for which."""

    def update_state(
        self,
        y_true: Tensor,
        y_pred: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Any:
        if sample_weight is not None:
            sample_weight = ops.convert_to_tensor(sample_weight)
            self._check_whole(sample_weight)
            labels = ops.convert_to_tensor(y_true)
            if not self.sparse_y_true:
                labels = ops.argmax(labels, axis=self.axis)
            sample_weight = position_weights(
                sample_weight, ops.shape(labels), self.dtype
            )
        return super().update_state(y_true, y_pred, sample_weight)

    def _check_whole(self, sample_weight: Tensor) -> None:
        dtype = keras.backend.standardize_dtype(sample_weight.dtype)
        if "float" in dtype and "int" in self.dtype:
            raise ValueError(
                f"`sample_weight` of {self.name} must be integers or "
                "booleans, as it counts pixels, exactly, in integers. "
                f"Received: weights of dtype {dtype}. For fractions, make the "
                'metric with `dtype="float32"`.'
            )
