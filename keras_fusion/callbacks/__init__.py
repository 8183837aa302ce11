"""Callbacks that show what a fusion does, one a file."""

from keras_fusion.callbacks.companion_decay import CompanionDecay
from keras_fusion.callbacks.fusion_monitor import FusionMonitor
from keras_fusion.callbacks.modality_balance import ModalityBalance

__all__ = [
    "CompanionDecay",
    "FusionMonitor",
    "ModalityBalance",
]
