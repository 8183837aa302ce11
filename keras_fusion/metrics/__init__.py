"""Metrics that Keras does not have, one a file."""

from keras_fusion.metrics.mean_class_accuracy import MeanClassAccuracy
from keras_fusion.metrics.pixel_accuracy import PixelAccuracy

__all__ = [
    "MeanClassAccuracy",
    "PixelAccuracy",
]
