"""A U-Net for branches that share every convolution.

As in `resnet_encoder`, a function takes and returns one tensor a branch, and
a normalization is one `ChannelExchange` for them all. Blocks count from 1.
"""

from collections.abc import Callable
from collections.abc import Sequence

import keras

from keras_fusion.models.branch_layers import Normalize
from keras_fusion.models.branch_layers import channel_axis
from keras_fusion.models.branch_layers import each
from keras_fusion.types import Tensor

# Blocks of the decoder, from the coarsest, that drop maps.
DROPPING = 3
SLOPE = 0.2


def encode(
    branches: list[Tensor],
    filters: Sequence[int],
    norms: Sequence[Normalize],
    fuse: Callable[[list[Tensor], int], tuple[list[Tensor], list[Tensor]]],
) -> list[list[Tensor]]:
    """Returns the maps of each block that go to the decoder, finest first.

    Args:
        branches: List of N image tensors.
        filters: Filters of each block, which halves the resolution.
        norms: What stands behind the convolution of each block.
        fuse: As of `resnet_encoder.encode`.
    """
    pyramid = []
    for number, (width, normalize) in enumerate(
        zip(filters, norms, strict=True), start=1
    ):
        name = f"down{number}"
        if number > 1:
            relu = keras.layers.LeakyReLU(SLOPE, name=f"{name}_relu")
            branches = each(relu, branches)
        convolution = keras.layers.Conv2D(
            width,
            4,
            strides=2,
            padding="same",
            kernel_initializer=kernel_initializer(),
            name=f"{name}_conv",
        )
        branches = normalize(each(convolution, branches), f"{name}_norm")
        branches, maps = fuse(branches, number)
        pyramid.append(maps)
    return pyramid


def decode(
    pyramid: list[list[Tensor]],
    target_channels: int,
    dropout: float,
    norms: Sequence[Normalize],
) -> list[Tensor]:
    """Returns the image of each branch, twice as large as the finest maps.

    Args:
        pyramid: For each block of the encoder, finest first, its maps.
        target_channels: Channels of the images.
        dropout: Share dropped in the coarsest blocks.
        norms: What stands behind the convolution of each block.
    """
    axis = channel_axis()
    skips, branches = pyramid[:-1], pyramid[-1]
    for number, normalize in enumerate(norms, start=1):
        name = f"up{number}"
        skip = skips.pop() if skips else None
        branches = each(keras.layers.ReLU(name=f"{name}_relu"), branches)
        convolution = keras.layers.Conv2DTranspose(
            skip[0].shape[axis] if skip else target_channels,
            4,
            strides=2,
            padding="same",
            kernel_initializer=kernel_initializer(),
            name=f"{name}_conv",
        )
        branches = normalize(each(convolution, branches), f"{name}_norm")
        if skip:
            if number <= DROPPING:
                drop = keras.layers.Dropout(dropout, name=f"{name}_dropout")
                branches = each(drop, branches)
            join = keras.layers.Concatenate(axis, name=f"{name}_skip")
            branches = each(join, list(zip(branches, skip, strict=True)))
    tanh = keras.layers.Activation("tanh", dtype="float32", name="images")
    return each(tanh, branches)


def kernel_initializer() -> keras.initializers.Initializer:
    # One for each layer: an object gives every kernel of a shape the same.
    return keras.initializers.RandomNormal(stddev=0.02)
