from collections.abc import Sequence

import keras

from keras_fusion.layers import SqueezeExcite
from keras_fusion.models.branch_layers import Normalize
from keras_fusion.models.branch_layers import batch_normalization
from keras_fusion.models.branch_layers import channel_axis
from keras_fusion.models.branch_layers import convolve as convolve_branches
from keras_fusion.models.image_classifier import classify_pooled
from keras_fusion.models.image_classifier import stem_of
from keras_fusion.types import Shape
from keras_fusion.types import Tensor

Module = tuple[int, tuple[int, int], tuple[int, int], tuple[str, int]]
"""Filters of a module's paths, in the order below."""

# Filters of: the 1x1 path; the 3x3 path; the path of two 3x3; the pooled
# path. A path starts with a 1x1 convolution to its first number. A module
# without 1x1 path halves the resolution and passes the maxima on.
INCEPTION_STAGES: tuple[tuple[Module, ...], ...] = (
    (
        (64, (64, 64), (64, 96), ("average", 32)),
        (64, (64, 96), (64, 96), ("average", 64)),
        (0, (128, 160), (64, 96), ("max", 0)),
    ),
    (
        (224, (64, 96), (96, 128), ("average", 128)),
        (192, (96, 128), (96, 128), ("average", 128)),
        (160, (128, 160), (128, 160), ("average", 128)),
        (96, (128, 192), (160, 192), ("average", 128)),
        (0, (128, 192), (192, 256), ("max", 0)),
    ),
    (
        (352, (192, 320), (160, 224), ("average", 128)),
        (352, (192, 320), (192, 224), ("max", 128)),
    ),
)


def squeeze_excite_inception(
    num_classes: int = 1000,
    image_shape: Shape = (224, 224, 3),
    stages: Sequence[Sequence[Module]] = INCEPTION_STAGES,
    width: int = 64,
    scale: float = 1.0,
    ratio: int | None = 16,
    stem: str = "imagenet",
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    dropout: float = 0.0,
    name: str = "squeeze_excite_inception",
) -> keras.Model:
    """Inception with batch normalization whose modules weigh their channels.

    Every module runs four paths side by side, a 1x1 convolution, a 3x3, two
    of 3x3, and a pooling, and concatenates them; a `SqueezeExcite` gates what
    comes out, so that paths are weighed against each other. `ratio=None` is
    the network without gates.

    Args:
        num_classes: Integer, number of classes.
        image_shape: Shape of the images without the batch dimension; only
            the channels must be known. They come last.
        stages: For each stage, its modules: filters of the 1x1 path; first
            and last filters of the 3x3 path and of the path of two; kind of
            the pooling and filters behind it. A module with 0 for the first
            halves the resolution. The modules keep their names, stage and
            letter, as in the source: `3a` is the first.
        width: Integer, filters of the stem.
        scale: Float that multiplies all filters of the modules, for small
            networks.
        ratio: Integer, channels for each unit of the gates' bottleneck, or
            `None` for no gates.
        stem: `"imagenet"`, which leaves an eighth of the resolution, or
            `"small"`, a 3x3 convolution that keeps it, for small images.
        momentum: Float, of the normalizations' moving statistics.
        epsilon: Float, of the normalizations.
        dropout: Float, share dropped before the classifier.
        name: Name of the model.

    Returns:
        A functional `keras.Model` from `{"image": ...}` to `{"label": ...}`,
        logits.

    Raises:
        ValueError: If `stem` is not one of the above.

    Example:

    >>> model = keras_fusion.models.squeeze_excite_inception(
    ...     num_classes=10, image_shape=(32, 32, 3), scale=1 / 16, stem="small"
    ... )
    >>> model.get_layer("module3b_gates").output.shape
    (None, 32, 32, 20)

    Reference:

    - [Hu et al., 2018](https://arxiv.org/abs/1709.01507), figure 2
    - [Ioffe and Szegedy, 2015](https://arxiv.org/abs/1502.03167), appendix
    """
    normalize = batch_normalization(momentum, epsilon)
    image = keras.Input(image_shape, name="image")
    x = stem_of(image, stem, width, normalize)
    if stem == "imagenet":
        x = convolve(x, width, 1, 1, "stem2_1", normalize)
        x = convolve(x, 3 * width, 3, 1, "stem2_2", normalize)
        x = pool(x, "max", 2, "stem2_pool")
    for number, modules in enumerate(stages, start=3):
        for letter, filters in zip("abcdefgh", modules, strict=False):
            module_name = f"module{number}{letter}"
            x = module(x, scaled(filters, scale), module_name, normalize)
            if ratio is not None:
                gates = SqueezeExcite(
                    ratio, channel_axis(), name=f"{module_name}_gates"
                )
                x = gates(x)
    outputs = classify_pooled(x, num_classes, dropout)
    return keras.Model({"image": image}, outputs, name=name)


def convolve(
    x: Tensor,
    filters: int,
    size: int,
    strides: int,
    name: str,
    normalize: Normalize,
) -> Tensor:
    (x,) = convolve_branches(
        [x], filters, size, strides, lambda kind: f"{name}_{kind}", normalize
    )
    return x


def scaled(filters: Module, scale: float) -> Module:
    single, small, large, (kind, pooled) = filters

    def scaled_one(width: int) -> int:
        return max(1, round(scale * width)) if width else 0

    return (
        scaled_one(single),
        (scaled_one(small[0]), scaled_one(small[1])),
        (scaled_one(large[0]), scaled_one(large[1])),
        (kind, scaled_one(pooled)),
    )


def module(
    x: Tensor, filters: Module, name: str, normalize: Normalize
) -> Tensor:
    single, small, large, (kind, pooled) = filters
    strides = 1 if single else 2
    paths = []
    if single:
        paths.append(convolve(x, single, 1, 1, f"{name}_single", normalize))
    path = convolve(x, small[0], 1, 1, f"{name}_small1", normalize)
    paths.append(
        convolve(path, small[1], 3, strides, f"{name}_small2", normalize)
    )
    path = convolve(x, large[0], 1, 1, f"{name}_large1", normalize)
    path = convolve(path, large[1], 3, 1, f"{name}_large2", normalize)
    paths.append(
        convolve(path, large[1], 3, strides, f"{name}_large3", normalize)
    )
    path = pool(x, kind, strides, f"{name}_pool")
    if pooled:
        path = convolve(path, pooled, 1, 1, f"{name}_pooled", normalize)
    paths.append(path)
    return keras.layers.Concatenate(channel_axis(), name=f"{name}_paths")(paths)


def pool(x: Tensor, kind: str, strides: int, name: str) -> Tensor:
    layer = {
        "max": keras.layers.MaxPooling2D,
        "average": keras.layers.AveragePooling2D,
    }[kind]
    return layer(3, strides=strides, padding="same", name=name)(x)
