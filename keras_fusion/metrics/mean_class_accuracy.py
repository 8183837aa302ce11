import keras
from keras import ops

from keras_fusion.metrics.confusion_metric import ConfusionMetric
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class MeanClassAccuracy(ConfusionMetric):
    """Mean over the classes of the share of their pixels that is right.

        accuracy of class c = right pixels of c / labeled pixels of c

    Every class counts the same, however small. Classes that the labels do
    not contain are left out. Counts are summed over all batches first, so
    the batch size has no influence. Segmentation papers call it mean
    accuracy; it is the macro-averaged recall.

    The arguments are those of `keras.metrics.MeanIoU`: `num_classes`, `name`,
    `dtype`, `ignore_class`, `sparse_y_true`, `sparse_y_pred`, `axis`.
    `sample_weight` is one number, one for each sample or one for each pixel;
    integers, unless `dtype` is a float.

    Example:

    >>> metric = keras_fusion.metrics.MeanClassAccuracy(num_classes=2)
    >>> _ = metric.update_state([0, 0, 0, 1], [0, 0, 1, 1])
    >>> round(float(metric.result()), 4)
    0.8333

    Reference:

    - [Long et al., 2015](https://arxiv.org/abs/1411.4038), section 5, "mean
      accuracy".
    """

    def result(self) -> Tensor:
        counts = ops.cast(self.total_cm, "float32")
        labeled = ops.sum(counts, axis=1)
        accuracy = ops.divide_no_nan(ops.diagonal(counts), labeled)
        present = ops.sum(ops.cast(labeled > 0, "float32"))
        return ops.divide_no_nan(ops.sum(accuracy), present)
