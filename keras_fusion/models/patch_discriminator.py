import keras

from keras_fusion.models.branch_layers import channel_axis
from keras_fusion.models.branch_layers import sides
from keras_fusion.models.idle_norm import IdleNorm
from keras_fusion.models.unet_layers import SLOPE
from keras_fusion.models.unet_layers import kernel_initializer
from keras_fusion.types import Shape
from keras_fusion.types import Tensor

EPSILON = 1e-5
# Blocks have at most this many times the filters of the first.
WIDEST = 8


def patch_discriminator(
    image_shape: Shape = (256, 256, 3),
    target_channels: int = 3,
    width: int = 64,
    stages: int = 3,
    unused_norms: bool = False,
    name: str = "patch_discriminator",
) -> keras.Model:
    """Tells for each patch whether an image is real or made, as in pix2pix.

    The image is judged beside the one that it was made from. `stages`
    4x4 convolutions halve the resolution, and two more keep it, less one
    pixel each; instance normalization follows all but the first and the
    last. With `stages=3` a logit sees 70x70 pixels, and images of 256x256
    have 30x30 logits. There is one set of weights for all modalities: call
    the model once for each of them.

    Inputs are a dict of `"condition"`, the image of a modality, and
    `"image"`, real or made. The output is a dict of `"logits"`, above 0 for
    real ones: compile or compare with `from_logits=True`. The released code
    ends in a sigmoid, of which the logarithm loses its digits.

    The defaults are the published network with 2,769,601 trainable weights.
    The released code counts 2,769,731, as its first and last block own a
    normalization that is never called; `unused_norms=True` has them too.

    Args:
        image_shape: Shape of the condition without the batch dimension; only
            the channels must be known. Images have the same height and width.
        target_channels: Integer, channels of the image.
        width: Integer, filters of the first block. Each block has twice as
            many as the one before it, up to 8 times `width`.
        stages: Integer, at least 1, blocks that halve the resolution.
        unused_norms: Boolean, whether to own the normalizations that are
            never used, so that the weights are as many as published.
        name: Name of the model.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If `stages` is under 1, or a side of `image_shape` is
            under `3 * 2**stages`, which leaves no patch.

    Example:

    >>> model = keras_fusion.models.patch_discriminator(width=4)
    >>> image = keras.ops.zeros((1, 256, 256, 3))
    >>> tuple(model({"condition": image, "image": image})["logits"].shape)
    (1, 30, 30, 1)

    Reference:

    - [Isola et al., 2017](https://arxiv.org/abs/1611.07004)
    - [Wang et al., 2020](https://arxiv.org/abs/2011.05005), whose released
      code shares the normalizations among modalities.
    """
    check_sides(image_shape, stages)
    axis = channel_axis()
    first = (target_channels, *sides(image_shape))
    target_shape = first if axis == 1 else (*first[1:], target_channels)
    inputs = {
        "condition": keras.Input(image_shape, name="condition"),
        "image": keras.Input(target_shape, name="image"),
    }
    x = keras.layers.Concatenate(axis, name="pair")(list(inputs.values()))
    for block in range(1, stages + 2):
        x = convolution(
            x,
            filters=width * min(2 ** (block - 1), WIDEST),
            strides=2 if block <= stages else 1,
            name=f"block{block}",
        )
        if block > 1:
            x = keras.layers.GroupNormalization(
                groups=-1, axis=axis, epsilon=EPSILON, name=f"block{block}_norm"
            )(x)
        elif unused_norms:
            x = idle(x, f"block{block}_norm")
        x = keras.layers.LeakyReLU(SLOPE, name=f"block{block}_relu")(x)
    x = convolution(x, filters=1, strides=1, name="last")
    if unused_norms:
        x = idle(x, "last_norm")
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")
    return keras.Model(inputs, {"logits": logits(x)}, name=name)


def convolution(x: Tensor, filters: int, strides: int, name: str) -> Tensor:
    # "same" would keep the resolution of a convolution without strides.
    x = keras.layers.ZeroPadding2D(1, name=f"{name}_padding")(x)
    return keras.layers.Conv2D(
        filters,
        4,
        strides=strides,
        kernel_initializer=kernel_initializer(),
        name=f"{name}_conv",
    )(x)


def idle(x: Tensor, name: str) -> Tensor:
    return IdleNorm(axis=channel_axis(), name=name)([x])[0]


def check_sides(image_shape: Shape, stages: int) -> None:
    if stages < 1:
        raise ValueError(
            f"`stages` must be at least 1. Received: stages={stages}"
        )
    smallest = 3 * 2**stages
    if any(side is not None and side < smallest for side in sides(image_shape)):
        raise ValueError(
            f"Height and width of `image_shape` must be at least {smallest} "
            f"with `stages={stages}`, to leave a patch. Received: "
            f"image_shape={tuple(image_shape)}. Choose fewer `stages`."
        )
