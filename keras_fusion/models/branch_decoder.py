"""A decoder in the manner of convolutional fusion networks, ours.

As in `resnet_encoder`, a function takes and returns one tensor a branch: one
for each modality. The stages of the encoder are what is fused here.
"""

import keras

from keras_fusion.layers import LocallyConnectedFusion
from keras_fusion.layers import ResizeLike
from keras_fusion.models.argument_checks import check_channels_last
from keras_fusion.models.branch_layers import each
from keras_fusion.models.refinenet_decoder import DecoderSettings
from keras_fusion.models.refinenet_decoder import classify
from keras_fusion.types import Tensor


def decode_branches(
    pyramid: list[list[Tensor]], settings: DecoderSettings
) -> list[Tensor]:
    """Returns the logits of each branch, as large as the finest maps.

    A stage's maps are lifted to one width, rectified and resized to the
    finest; the stages are added up with a weight for each channel of each.

    Args:
        pyramid: For each stage of the encoder, finest first, its maps.
        settings: `DecoderSettings`, of which `width` is that of every stage;
            units and poolings are unused.
    """
    check_channels_last('the decoder "branches"')
    stages = [
        lift(maps, pyramid[0], settings.width, f"level{level}")
        for level, maps in enumerate(pyramid, start=1)
    ]
    fusion = LocallyConnectedFusion(name="stage_fusion")
    fused = [fusion(list(levels)) for levels in zip(*stages, strict=True)]
    drop = keras.layers.Dropout(settings.dropout, name="decoder_dropout")
    return classify(each(drop, fused), settings.num_classes)


def lift(
    maps: list[Tensor], finest: list[Tensor], width: int, name: str
) -> list[Tensor]:
    convolution = keras.layers.Conv2D(
        width,
        1,
        activation="relu",
        kernel_initializer="he_normal",
        name=f"{name}_lift",
    )
    resize = ResizeLike(name=f"{name}_resize")
    return [
        resize(lifted, target)
        for lifted, target in zip(each(convolution, maps), finest, strict=True)
    ]
