"""The layers, one a file."""

from keras_fusion.layers.channel_exchange import ChannelExchange
from keras_fusion.layers.learned_ensemble import LearnedEnsemble
from keras_fusion.layers.resize_like import ResizeLike
from keras_fusion.layers.squeeze_excite_fusion import SqueezeExciteFusion

__all__ = [
    "ChannelExchange",
    "LearnedEnsemble",
    "ResizeLike",
    "SqueezeExciteFusion",
]
