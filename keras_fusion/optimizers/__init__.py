"""Keras optimizers with a learning rate for each group of weights."""

from keras_fusion.optimizers.inverse_power_decay import InversePowerDecay
from keras_fusion.optimizers.multi_rate import MultiRateAdamW
from keras_fusion.optimizers.multi_rate import MultiRateSGD

__all__ = [
    "InversePowerDecay",
    "MultiRateAdamW",
    "MultiRateSGD",
]
