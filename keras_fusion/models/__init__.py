"""Functional builders of published architectures, and their first weights."""

from keras_fusion.models.convolutional_fusion_network import (
    CONVOLUTIONAL_FUSION_PRESETS,
)
from keras_fusion.models.convolutional_fusion_network import (
    convolutional_fusion_network,
)
from keras_fusion.models.deeply_supervised import DeeplySupervised
from keras_fusion.models.imagenet import load_imagenet_encoder
from keras_fusion.models.instruction_agent import instruction_agent
from keras_fusion.models.lenet import lenet
from keras_fusion.models.network_in_network import NETWORK_IN_NETWORK_PRESETS
from keras_fusion.models.network_in_network import network_in_network
from keras_fusion.models.refinenet import refinenet
from keras_fusion.models.squeeze_excite_inception import (
    squeeze_excite_inception,
)
from keras_fusion.models.squeeze_excite_resnet import squeeze_excite_resnet

__all__ = [
    "CONVOLUTIONAL_FUSION_PRESETS",
    "NETWORK_IN_NETWORK_PRESETS",
    "DeeplySupervised",
    "convolutional_fusion_network",
    "instruction_agent",
    "lenet",
    "load_imagenet_encoder",
    "network_in_network",
    "refinenet",
    "squeeze_excite_inception",
    "squeeze_excite_resnet",
]
