import functools
from collections.abc import Collection
from collections.abc import Sequence

import keras

from keras_fusion.layers import SqueezeExcite
from keras_fusion.models.bottleneck import Bottleneck
from keras_fusion.models.bottleneck import check_stride_on
from keras_fusion.models.bottleneck import residual
from keras_fusion.models.bottleneck import stages_of
from keras_fusion.models.branch_layers import Normalize
from keras_fusion.models.branch_layers import batch_normalization
from keras_fusion.models.branch_layers import channel_axis
from keras_fusion.models.branch_layers import each
from keras_fusion.models.image_classifier import classify_pooled
from keras_fusion.models.image_classifier import stem_of
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


def squeeze_excite_resnet(
    num_classes: int = 1000,
    image_shape: Shape = (224, 224, 3),
    blocks: Sequence[int] = (3, 4, 6, 3),
    width: int = 64,
    ratio: int | None = 16,
    gated_stages: Collection[int] | None = None,
    stride_on: str = "1x1",
    stem: str = "imagenet",
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    dropout: float = 0.0,
    name: str = "squeeze_excite_resnet",
) -> keras.Model:
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
        ValueError: If `stride_on`, `stem` or `gated_stages` is not one of the
            above.

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
    check_stride_on(stride_on)
    numbers = range(1, len(blocks) + 1)
    if gated_stages is None:
        gated_stages = numbers
    if not set(gated_stages) <= set(numbers):
        raise ValueError(
            f"`gated_stages` must be of 1 to {len(blocks)}, the stages of "
            f"`blocks`. Received: gated_stages={gated_stages}"
        )
    normalize = batch_normalization(momentum, epsilon)
    image = keras.Input(image_shape, name="image")
    x = stem_of(image, stem, width, normalize)
    for bottlenecks in stages_of(blocks, width, stride_on):
        for block in bottlenecks:
            gated = block.stage in gated_stages
            x = bottleneck(x, block, ratio if gated else None, normalize)
    outputs = classify_pooled(x, num_classes, dropout)
    return keras.Model({"image": image}, outputs, name=name)


def bottleneck(
    x: Tensor, block: Bottleneck, ratio: int | None, normalize: Normalize
) -> Tensor:
    gate = None
    if ratio is not None:
        gates = SqueezeExcite(ratio, channel_axis(), name=f"{block.name}_gates")
        gate = functools.partial(each, gates)
    (x,) = residual(
        [x],
        block,
        lambda number, kind: f"{block.name}_{number}_{kind}",
        lambda number: normalize,
        gate,
    )
    return x
