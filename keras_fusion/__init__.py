"""Multimodal fusion for Keras: layers, losses, metrics, callbacks, models."""

from keras_fusion import callbacks
from keras_fusion import distribution
from keras_fusion import inference
from keras_fusion import layers
from keras_fusion import losses
from keras_fusion import metrics
from keras_fusion import models
from keras_fusion import optimizers
from keras_fusion import statistics

__version__ = "0.1.0"

__all__ = [
    "callbacks",
    "distribution",
    "inference",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "statistics",
]
