import keras

from keras_fusion.layers import SqueezeExcite
from keras_fusion.models.squeeze_excite_resnet import check_arguments
from keras_fusion.models.squeeze_excite_resnet import convolve
from keras_fusion.models.squeeze_excite_resnet import enter

# Filters of: the 1x1 path; the 3x3 path; the path of two 3x3; the pooled
# path. A path starts with a 1x1 convolution to its first number. A module
# without 1x1 path halves the resolution and passes the maxima on.
INCEPTION_STAGES = (
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
    num_classes=1000,
    image_shape=(224, 224, 3),
    stages=INCEPTION_STAGES,
    width=64,
    scale=1.0,
    ratio=16,
    stem="imagenet",
    momentum=0.9,
    epsilon=1e-5,
    dropout=0.0,
    name="squeeze_excite_inception",
):
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
        ValueError: If `stem` has no such meaning, or images have their
            channels first.

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
    check_arguments("3x3", stem)
    norm = {"momentum": momentum, "epsilon": epsilon}
    image = keras.Input(image_shape, name="image")
    x = enter(image, width, stem, norm)
    if stem == "imagenet":
        x = convolve(x, width, 1, 1, "stem2_1", norm)
        x = convolve(x, 3 * width, 3, 1, "stem2_2", norm)
        x = pool(x, "max", 2, "stem2_pool")
    for number, modules in enumerate(stages, start=3):
        for letter, filters in zip("abcdefgh", modules, strict=False):
            place = f"module{number}{letter}"
            x = module(x, scaled(filters, scale), place, norm)
            if ratio is not None:
                x = SqueezeExcite(ratio, name=f"{place}_gates")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="head_dropout")(x)
    classifier = keras.layers.Dense(num_classes, dtype="float32", name="label")
    return keras.Model({"image": image}, {"label": classifier(x)}, name=name)


def scaled(filters, scale):
    single, small, large, (kind, pooled) = filters

    def scaled_one(width):
        return max(1, round(scale * width)) if width else 0

    return (
        scaled_one(single),
        tuple(map(scaled_one, small)),
        tuple(map(scaled_one, large)),
        (kind, scaled_one(pooled)),
    )


def module(x, filters, name, norm):
    single, small, large, (kind, pooled) = filters
    strides = 1 if single else 2
    paths = []
    if single:
        paths.append(convolve(x, single, 1, 1, f"{name}_single", norm))
    path = convolve(x, small[0], 1, 1, f"{name}_small1", norm)
    paths.append(convolve(path, small[1], 3, strides, f"{name}_small2", norm))
    path = convolve(x, large[0], 1, 1, f"{name}_large1", norm)
    path = convolve(path, large[1], 3, 1, f"{name}_large2", norm)
    paths.append(convolve(path, large[1], 3, strides, f"{name}_large3", norm))
    path = pool(x, kind, strides, f"{name}_pool")
    if pooled:
        path = convolve(path, pooled, 1, 1, f"{name}_pooled", norm)
    paths.append(path)
    return keras.layers.Concatenate(name=f"{name}_paths")(paths)


def pool(x, kind, strides, name):
    layer = {
        "max": keras.layers.MaxPooling2D,
        "average": keras.layers.AveragePooling2D,
    }[kind]
    return layer(3, strides=strides, padding="same", name=name)(x)
