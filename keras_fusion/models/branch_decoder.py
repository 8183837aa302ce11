"""A decoder in the manner of convolutional fusion networks, ours.

As in `resnet_encoder`, a function takes and returns one tensor a branch: one
for each modality. The stages of the encoder are what is fused here.
"""

import keras

from keras_fusion.layers import LocallyConnectedFusion
from keras_fusion.layers import ResizeLike
from keras_fusion.models.resnet_encoder import channel_axis
from keras_fusion.models.resnet_encoder import each


def decode_branches(pyramid, num_classes, width, dropout):
    """Returns the logits of each branch, as large as the finest maps.

    A stage's maps are lifted to one width, rectified and resized to the
    finest; the stages are added up with a weight for each channel of each.

    Args:
        pyramid: For each stage of the encoder, finest first, its maps.
        num_classes: Filters of the classifier.
        width: Filters of every stage.
        dropout: Share dropped before the classifier.
    """
    if channel_axis() != -1:
        raise ValueError(
            'The decoder "branches" has weights for the last axis and wants '
            "channels last. Received: image_data_format=channels_first"
        )
    stages = [
        lift(maps, pyramid[0], width, f"level{level}")
        for level, maps in enumerate(pyramid, start=1)
    ]
    fusion = LocallyConnectedFusion(name="stage_fusion")
    fused = [fusion(list(levels)) for levels in zip(*stages, strict=True)]
    drop = keras.layers.Dropout(dropout, name="decoder_dropout")
    classifier = keras.layers.Conv2D(
        num_classes,
        3,
        padding="same",
        kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3),
        name="classifier",
    )
    return each(classifier, each(drop, fused))


def lift(maps, finest, width, name):
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
