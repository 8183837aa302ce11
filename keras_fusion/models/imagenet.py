import re

import keras
import numpy as np
from keras import ops

CONVOLUTION = re.compile(r"conv(\d+)_block(\d+)_(\d)_conv")


def load_imagenet_encoder(model: keras.Model, source: keras.Model) -> None:
    """Starts the encoder of a model from a `keras.applications` ResNet.

    Copies every convolution, and every normalization into all modalities:
    scale, shift and moving statistics. The source's convolutions have
    biases and the model's have none, so they are taken off the means of the
    normalizations behind them, which is the same as long as these use their
    moving statistics. The decoder stays as it is.

    If all images are preprocessed as the source wants them, each branch then
    computes the source's features. The weights that Keras publishes for
    ResNet 50, 101 and 152 want channels in the order blue, green, red, from 0
    to 255 less 103.939, 116.779 and 123.68, without further scaling: what
    `keras.applications.resnet.preprocess_input` makes of RGB images. Other
    modalities should be brought to a similar range.

    Args:
        model: Keras model made by `refinenet` with the layout of the source:
            `stride_on="1x1"`, `epsilon=1.001e-5`, `width=64`, images of 3
            channels, and `blocks` of `(3, 4, 6, 3)` for `ResNet50`,
            `(3, 4, 23, 3)` for `ResNet101`, `(3, 8, 36, 3)` for `ResNet152`.
            With `frozen_statistics=True` training keeps the statistics.
        source: Keras model, one of these, with or without its top; of the
            first version, not `ResNet50V2` and the like.

    Raises:
        ValueError: If the source is not such a model, or the model differs
            from it in layout. Nothing has been copied then.

    Example:

    >>> model = keras_fusion.models.refinenet(
    ...     blocks=(3, 4, 6, 3),
    ...     stride_on="1x1",
    ...     epsilon=1.001e-5,
    ...     decoder_width=8,
    ... )
    >>> source = keras.applications.ResNet50(weights=None, include_top=False)
    >>> keras_fusion.models.load_imagenet_encoder(model, source)
    """
    pairs = paired_layers(model, source)
    for name, layers in pairs.items():
        check_layout(name, *layers)
    for layers in pairs.values():
        copy(*layers)


def paired_layers(
    model: keras.Model, source: keras.Model
) -> dict[str, tuple[keras.layers.Layer, ...]]:
    """Convolution and norm of model and source, by the model's names."""
    ours = layers_by_name(model)
    theirs = layers_by_name(source)
    names = {"conv1_conv": ("stem_conv", "stem_norm")}
    for name in theirs:
        if match := CONVOLUTION.fullmatch(name):
            stage, block, number = map(int, match.groups())
            block_name = f"stage{stage - 1}_block{block}"
            names[name] = (
                f"{block_name}_conv{number}",
                f"{block_name}_norm{number}",
            )
    expected = {name for name in ours if is_encoder_convolution(name)}
    received = {convolution for convolution, _ in names.values()}
    if received != expected or "conv1_bn" not in theirs:
        raise ValueError(
            "`source` must be a ResNet50, ResNet101 or ResNet152 of "
            "keras.applications (not V2) with as many bottlenecks as the "
            f"model. Received: source {source.name} with {len(received)} "
            f"convolutions for the {len(expected)} of the encoder of "
            f"{model.name}. Build the model with the source's `blocks`."
        )
    return {
        convolution: (
            ours[convolution],
            ours[norm],
            theirs[name],
            theirs[name.removesuffix("conv") + "bn"],
        )
        for name, (convolution, norm) in names.items()
    }


def layers_by_name(model: keras.Model) -> dict[str, keras.layers.Layer]:
    return {layer.name: layer for layer in model.layers}


def is_encoder_convolution(name: str) -> bool:
    pattern = r"stem_conv|stage\d+_block\d+_conv\d"
    return re.fullmatch(pattern, name) is not None


def check_layout(
    name: str,
    convolution: keras.layers.Layer,
    norm: keras.layers.Layer,
    source_convolution: keras.layers.Layer,
    source_norm: keras.layers.Layer,
) -> None:
    shape, source_shape = (
        tuple(layer.kernel.shape) for layer in (convolution, source_convolution)
    )
    for what, ours, theirs, advice in (
        ("kernel", shape, source_shape, "width=64` and 3 channels"),
        (
            "strides",
            convolution.strides,
            source_convolution.strides,
            'stride_on="1x1"`',
        ),
        (
            "epsilon",
            norm.epsilon,
            source_norm.epsilon,
            f"epsilon={source_norm.epsilon}`",
        ),
    ):
        if ours != theirs:
            raise ValueError(
                f"The {what} of {name} must be that of "
                f"{source_convolution.name}, {theirs}. Received: {ours}. "
                f"Build the model with `{advice}."
            )


def copy(
    convolution: keras.layers.Layer,
    norm: keras.layers.Layer,
    source_convolution: keras.layers.Layer,
    source_norm: keras.layers.Layer,
) -> None:
    convolution.kernel.assign(source_convolution.kernel)
    mean = ops.convert_to_numpy(source_norm.moving_mean)
    if source_convolution.use_bias:
        mean = mean - ops.convert_to_numpy(source_convolution.bias)
    rows = norm.gamma.shape[0]
    for weight, value in (
        (norm.gamma, source_norm.gamma),
        (norm.beta, source_norm.beta),
        (norm.moving_mean, mean),
        (norm.moving_variance, source_norm.moving_variance),
    ):
        weight.assign(np.tile(ops.convert_to_numpy(value), (rows, 1)))
