"""Keras optimizers with a learning rate for each group of weights."""

from keras_fusion.optimizers.multi_rate import MultiRateAdamW
from keras_fusion.optimizers.multi_rate import MultiRateSGD

__all__ = [
    "MultiRateAdamW",
    "MultiRateSGD",
]
