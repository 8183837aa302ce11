import keras

from keras_fusion.layers import SqueezeExcite
from keras_fusion.models.resnet_encoder import channel_axis


def squeeze_excite_resnet(
    num_classes=1000,
    image_shape=(224, 224, 3),
    blocks=(3, 4, 6, 3),
    width=64,
    ratio=16,
    gated_stages=None,
    stride_on="1x1",
    stem="imagenet",
    momentum=0.9,
    epsilon=1e-5,
    dropout=0.0,
    name="squeeze_excite_resnet",
):
    """ResNet whose blocks weigh their channels before the addition.

    A bottleneck of 1x1, 3x3 and 1x1 convolutions, each normalized, ends in a
    `SqueezeExcite` on what is added to the shortcut. `blocks` of
    `(3, 4, 6, 3)`, `(3, 4, 23, 3)` and `(3, 8, 36, 3)` are SE-ResNet-50, 101
    and 152; the gates add 2,530,992, 4,777,712 and 6,629,040 weights to the
    ResNets, which are `ratio=None`.

    Args:
        num_classes: Integer, number of classes.
        image_shape: Shape of the images without the batch dimension; only
            the channels must be known. They come last.
        blocks: Number of bottlenecks in each stage.
        width: Integer, filters of the stem and of the first stage's 3x3
            convolutions. Each stage has twice as many as the one before it.
        ratio: Integer, channels for each unit of the gates' bottleneck, or
            `None` for no gates.
        gated_stages: Numbers from 1 of the stages whose blocks have gates, or
            `None` for all.
        stride_on: `"1x1"` as released, or `"3x3"`: the convolution of a
            stage's first bottleneck that halves the resolution.
        stem: `"imagenet"`, a 7x7 convolution and a pooling that leave a
            quarter of the resolution, or `"small"`, a 3x3 convolution that
            keeps it, for small images.
        momentum: Float, of the normalizations' moving statistics.
        epsilon: Float, of the normalizations.
        dropout: Float, share dropped before the classifier.
        name: Name of the model.

    Returns:
        A functional `keras.Model` from `{"image": ...}` to `{"label": ...}`,
        logits.

    Raises:
        ValueError: If `stride_on` or `stem` have no such meaning, if there is
            no such stage, or if images have their channels first.

    Example:

    >>> model = keras_fusion.models.squeeze_excite_resnet(
    ...     num_classes=10,
    ...     image_shape=(None, None, 3),
    ...     blocks=(1, 1),
    ...     width=8,
    ...     stem="small",
    ... )
    >>> tuple(model({"image": np.zeros((2, 9, 12, 3))})["label"].shape)
    (2, 10)

    Reference:

    - [Hu et al., 2018](https://arxiv.org/abs/1709.01507), figure 3, with the
      layout of its released models
    - [He et al., 2016](https://arxiv.org/abs/1512.03385)
    """
    check_arguments(stride_on, stem)
    norm = {"momentum": momentum, "epsilon": epsilon}
    image = keras.Input(image_shape, name="image")
    x = enter(image, width, stem, norm)
    if gated_stages is None:
        gated_stages = range(1, len(blocks) + 1)
    if not set(gated_stages) <= set(range(1, len(blocks) + 1)):
        raise ValueError(
            f"`gated_stages` must be of 1 to {len(blocks)}, the stages of "
            f"`blocks`. Received: gated_stages={gated_stages}"
        )
    for stage, count in enumerate(blocks, start=1):
        for block in range(1, count + 1):
            first = block == 1
            x = bottleneck(
                x,
                filters=width * 2 ** (stage - 1),
                strides=2 if first and stage > 1 else 1,
                project=first,
                stride_on=stride_on,
                ratio=ratio if stage in gated_stages else None,
                norm=norm,
                name=f"stage{stage}_block{block}",
            )
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="head_dropout")(x)
    classifier = keras.layers.Dense(num_classes, dtype="float32", name="label")
    return keras.Model({"image": image}, {"label": classifier(x)}, name=name)


def enter(image, width, stem, norm):
    if stem == "small":
        return convolve(image, width, 3, 1, "stem", norm)
    x = convolve(image, width, 7, 2, "stem", norm)
    pool = keras.layers.MaxPooling2D(
        3, strides=2, padding="same", name="stem_pool"
    )
    return pool(x)


def bottleneck(x, filters, strides, project, stride_on, ratio, norm, name):
    shortcut = x
    if project:
        shortcut = convolve(
            x, 4 * filters, 1, strides, f"{name}_0", norm, relu=False
        )
    first, second = (strides, 1) if stride_on == "1x1" else (1, strides)
    x = convolve(x, filters, 1, first, f"{name}_1", norm)
    x = convolve(x, filters, 3, second, f"{name}_2", norm)
    x = convolve(x, 4 * filters, 1, 1, f"{name}_3", norm, relu=False)
    if ratio is not None:
        x = SqueezeExcite(ratio, name=f"{name}_gates")(x)
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.ReLU(name=f"{name}_output")(x)


def convolve(x, filters, size, strides, name, norm, relu=True):
    """Convolution without bias, normalization and, unless told not to, ReLU."""
    if strides > 1 and size > 1:
        # "same" would pad a strided convolution on one side only.
        pad = keras.layers.ZeroPadding2D(size // 2, name=f"{name}_padding")
        x = pad(x)
    x = keras.layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="valid" if strides > 1 else "same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = keras.layers.BatchNormalization(name=f"{name}_norm", **norm)(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x


def check_arguments(stride_on, stem):
    if channel_axis() != -1:
        raise ValueError(
            "Images with channels last are expected, as SqueezeExcite gates "
            "the last axis. Received: image_data_format=channels_first"
        )
    if stride_on not in ("3x3", "1x1"):
        raise ValueError(
            '`stride_on` must be "3x3" or "1x1". '
            f"Received: stride_on={stride_on}"
        )
    if stem not in ("imagenet", "small"):
        raise ValueError(
            f'`stem` must be "imagenet" or "small". Received: stem={stem}'
        )
