"""Callbacks that show what a fusion does, and what they are made of."""

from keras_fusion.callbacks.companion_decay import CompanionDecay
from keras_fusion.callbacks.exchanged_channels import exchanged_shares
from keras_fusion.callbacks.exchanged_channels import find_exchanges
from keras_fusion.callbacks.exchanged_channels import find_layers
from keras_fusion.callbacks.fusion_monitor import FusionMonitor
from keras_fusion.callbacks.modality_balance import ModalityBalance
from keras_fusion.callbacks.summary_writer import SummaryWriter

__all__ = [
    "CompanionDecay",
    "FusionMonitor",
    "ModalityBalance",
    "SummaryWriter",
    "exchanged_shares",
    "find_exchanges",
    "find_layers",
]
