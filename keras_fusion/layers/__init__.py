"""The layers, one a file."""

from keras_fusion.layers.bilinear_attention import BilinearAttention
from keras_fusion.layers.block_term_fusion import BlockTermFusion
from keras_fusion.layers.channel_exchange import ChannelExchange
from keras_fusion.layers.compact_bilinear_pooling import CompactBilinearPooling
from keras_fusion.layers.factored_log_bilinear import FactoredLogBilinear
from keras_fusion.layers.factorized_bilinear_pooling import (
    FactorizedBilinearPooling,
)
from keras_fusion.layers.film import FiLM
from keras_fusion.layers.gated_graph import GatedGraph
from keras_fusion.layers.gated_multimodal_unit import GatedMultimodalUnit
from keras_fusion.layers.learned_ensemble import LearnedEnsemble
from keras_fusion.layers.ling_unet import LingUNet
from keras_fusion.layers.local_fully_connected_fusion import (
    LocalFullyConnectedFusion,
)
from keras_fusion.layers.locally_connected_1d import LocallyConnected1D
from keras_fusion.layers.locally_connected_2d import LocallyConnected2D
from keras_fusion.layers.locally_connected_3d import LocallyConnected3D
from keras_fusion.layers.locally_connected_fusion import LocallyConnectedFusion
from keras_fusion.layers.log_bilinear import LogBilinear
from keras_fusion.layers.low_rank_bilinear_pooling import LowRankBilinearPooling
from keras_fusion.layers.low_rank_tensor_fusion import LowRankTensorFusion
from keras_fusion.layers.missing_modality_token import MissingModalityToken
from keras_fusion.layers.mlp_conv import MLPConv
from keras_fusion.layers.modality_dropout import ModalityDropout
from keras_fusion.layers.pairwise_bilinear_attention import (
    PairwiseBilinearAttention,
)
from keras_fusion.layers.refiner import Refiner
from keras_fusion.layers.resize_like import ResizeLike
from keras_fusion.layers.squeeze_excite import SqueezeExcite
from keras_fusion.layers.squeeze_excite_fusion import SqueezeExciteFusion
from keras_fusion.layers.tensor_fusion import TensorFusion
from keras_fusion.layers.text_convolution import TextConvolution
from keras_fusion.layers.text_gate import TextGate
from keras_fusion.layers.transformer_fusion import TransformerFusion

__all__ = [
    "BilinearAttention",
    "BlockTermFusion",
    "ChannelExchange",
    "CompactBilinearPooling",
    "FactoredLogBilinear",
    "FactorizedBilinearPooling",
    "FiLM",
    "GatedGraph",
    "GatedMultimodalUnit",
    "LearnedEnsemble",
    "LingUNet",
    "LocalFullyConnectedFusion",
    "LocallyConnected1D",
    "LocallyConnected2D",
    "LocallyConnected3D",
    "LocallyConnectedFusion",
    "LogBilinear",
    "LowRankBilinearPooling",
    "LowRankTensorFusion",
    "MLPConv",
    "MissingModalityToken",
    "ModalityDropout",
    "PairwiseBilinearAttention",
    "Refiner",
    "ResizeLike",
    "SqueezeExcite",
    "SqueezeExciteFusion",
    "TensorFusion",
    "TextConvolution",
    "TextGate",
    "TransformerFusion",
]
