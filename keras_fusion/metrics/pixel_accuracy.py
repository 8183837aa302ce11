import keras
from keras import ops

from keras_fusion.metrics.confusion_metric import ConfusionMetric
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class PixelAccuracy(ConfusionMetric):
    """Share of the labeled pixels that are classified rightly.

    Keras's `SparseCategoricalAccuracy` with a class to ignore: pixels that
    carry `ignore_class` count neither as right nor as wrong.

    The arguments are those of `keras.metrics.MeanIoU`: `num_classes`, `name`,
    `dtype`, `ignore_class`, `sparse_y_true`, `sparse_y_pred`, `axis`.
    `sample_weight` is one number, one for each sample or one for each pixel;
    integers, unless `dtype` is a float.

    Example:

    >>> metric = keras_fusion.metrics.PixelAccuracy(2, ignore_class=255)
    >>> _ = metric.update_state([0, 0, 1, 255], [0, 1, 1, 1])
    >>> round(float(metric.result()), 4)
    0.6667

    Reference:

    - [Long et al., 2015](https://arxiv.org/abs/1411.4038), section 5, "pixel
      accuracy".
    """

    def result(self) -> Tensor:
        counts = ops.cast(self.total_cm, "float32")
        return ops.divide_no_nan(ops.trace(counts), ops.sum(counts))
