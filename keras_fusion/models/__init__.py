"""Functional builders of published architectures, and their first weights.

The ways in which they fuse are records, by name, in `BRANCH_FUSIONS`,
`CAPTION_DECODERS`, `CAPTION_IMAGES`, `CATEGORY_POOLINGS`,
`CLASSIFICATION_HEADS`, `FUSION_LAYERS` and `TEXT_FUSIONS`.
"""

from keras_fusion.models.branch_fusion import BRANCH_FUSIONS
from keras_fusion.models.branch_fusion import BranchFusion
from keras_fusion.models.caption_decoders import CAPTION_DECODERS
from keras_fusion.models.caption_decoders import CaptionDecoder
from keras_fusion.models.caption_images import CAPTION_IMAGES
from keras_fusion.models.caption_images import CaptionImage
from keras_fusion.models.captioner import caption_contexts
from keras_fusion.models.captioner import caption_parts
from keras_fusion.models.captioner import captioner
from keras_fusion.models.category_pooling import CATEGORY_POOLINGS
from keras_fusion.models.category_pooling import CategoryPooling
from keras_fusion.models.cen_checkpoint import load_cen_checkpoint
from keras_fusion.models.classification_heads import CLASSIFICATION_HEADS
from keras_fusion.models.classification_heads import ClassificationHead
from keras_fusion.models.convolutional_fusion_network import (
    CONVOLUTIONAL_FUSION_PRESETS,
)
from keras_fusion.models.convolutional_fusion_network import (
    convolutional_fusion_network,
)
from keras_fusion.models.deeply_supervised import DeeplySupervised
from keras_fusion.models.fusion_layers import FUSION_LAYERS
from keras_fusion.models.fusion_layers import FusionLayer
from keras_fusion.models.imagenet import load_imagenet_encoder
from keras_fusion.models.instruction_agent import instruction_agent
from keras_fusion.models.label_graph import label_cooccurrence
from keras_fusion.models.lenet import lenet
from keras_fusion.models.multimodal import multimodal
from keras_fusion.models.network_in_network import NETWORK_IN_NETWORK_PRESETS
from keras_fusion.models.network_in_network import network_in_network
from keras_fusion.models.patch_discriminator import patch_discriminator
from keras_fusion.models.refinenet import refinenet
from keras_fusion.models.semantic_attention import semantic_attention
from keras_fusion.models.squeeze_excite_inception import (
    squeeze_excite_inception,
)
from keras_fusion.models.squeeze_excite_resnet import squeeze_excite_resnet
from keras_fusion.models.squeezenet import squeezenet
from keras_fusion.models.text_fusion import TEXT_FUSIONS
from keras_fusion.models.text_fusion import TextFusion
from keras_fusion.models.unet_generator import unet_generator

__all__ = [
    "BRANCH_FUSIONS",
    "CAPTION_DECODERS",
    "CAPTION_IMAGES",
    "CATEGORY_POOLINGS",
    "CLASSIFICATION_HEADS",
    "CONVOLUTIONAL_FUSION_PRESETS",
    "FUSION_LAYERS",
    "NETWORK_IN_NETWORK_PRESETS",
    "TEXT_FUSIONS",
    "BranchFusion",
    "CaptionDecoder",
    "CaptionImage",
    "CategoryPooling",
    "ClassificationHead",
    "DeeplySupervised",
    "FusionLayer",
    "TextFusion",
    "caption_contexts",
    "caption_parts",
    "captioner",
    "convolutional_fusion_network",
    "instruction_agent",
    "label_cooccurrence",
    "lenet",
    "load_cen_checkpoint",
    "load_imagenet_encoder",
    "multimodal",
    "network_in_network",
    "patch_discriminator",
    "refinenet",
    "semantic_attention",
    "squeeze_excite_inception",
    "squeeze_excite_resnet",
    "squeezenet",
    "unet_generator",
]
