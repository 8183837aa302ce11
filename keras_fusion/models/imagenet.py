import os
import re
from collections.abc import Mapping

import keras
import numpy as np

from keras_fusion.models.imagenet_sources import Source
from keras_fusion.models.imagenet_sources import layers_by_name
from keras_fusion.models.imagenet_sources import of_keras
from keras_fusion.models.imagenet_sources import of_torchvision
from keras_fusion.models.weight_files import read_arrays
from keras_fusion.types import Tensor


def load_imagenet_encoder(
    model: keras.Model,
    source: keras.Model | Mapping[str, Tensor] | str | os.PathLike[str],
) -> None:
    """Starts the encoder of a model from a ResNet that knows ImageNet.

    Copies every convolution, and every normalization into all modalities:
    scale, shift and moving statistics. The decoder stays as it is. If all
    images are preprocessed as the source wants them, each branch then
    computes the source's features. There are two kinds of sources:

    - A ResNet of `keras.applications`. It halves the resolution in the first
      1x1 convolution of a stage. Its convolutions have biases and the
      model's have none, so they are taken off the means of the normalizations
      behind them, which is the same as long as these use their moving
      statistics. The weights that Keras publishes for ResNet 50, 101 and 152
      want channels in the order blue, green, red, from 0 to 255 less 103.939,
      116.779 and 123.68, without further scaling: what
      `keras.applications.resnet.preprocess_input` makes of RGB images.
    - The arrays of a ResNet of torchvision, by the names of its
      `state_dict()`. It halves the resolution in the 3x3 convolution, as the
      published networks do. Its weights want RGB images from 0 to 1, less
      ImageNet's means and over its deviations.

    Other modalities should be brought to a similar range.

    Args:
        model: Keras model made by `refinenet` with the layout of the source:
            `stride_on="1x1"` and `epsilon=1.001e-5` for `keras.applications`,
            `stride_on="3x3"` and `epsilon=1e-5` for torchvision; `width=64`,
            images of 3 channels, and `blocks` of `(3, 4, 6, 3)` for
            `ResNet50`, `(3, 4, 23, 3)` for `ResNet101`, `(3, 8, 36, 3)` for
            `ResNet152`. With `frozen_statistics=True` training keeps the
            statistics.
        source: Keras model, one of these, with or without its top; of the
            first version, not `ResNet50V2` and the like. Or a dict from
            torchvision's names to arrays, or the path of a `.npz`,
            `.safetensors` or PyTorch file with such; those of the top are
            not read. PyTorch files need PyTorch; nothing in them is executed.

    Raises:
        ValueError: If the source is not such a model, or the model differs
            from it in layout. Nothing has been copied then.
        FileNotFoundError: If there is no such file.
        ImportError: If reading needs a package that is not installed.

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
    if isinstance(source, str | os.PathLike):
        source = read_arrays(source)
    is_keras = isinstance(source, keras.Model)
    sources = of_keras(source) if is_keras else of_torchvision(source)
    pairs = paired(model, sources, getattr(source, "name", "dict"))
    for layers in pairs:
        check_layout(*layers, stride_on="1x1" if is_keras else "3x3")
    for convolution, norm, origin in pairs:
        copy(convolution, norm, origin.read())


def paired(
    model: keras.Model, sources: dict[str, Source], source_name: str
) -> list[tuple[keras.layers.Layer, keras.layers.Layer, Source]]:
    """Each convolution of the encoder, its normalization and its source."""
    ours = layers_by_name(model)
    expected = {name for name in ours if is_encoder_convolution(name)}
    if set(sources) != expected:
        raise ValueError(
            "`source` must be a ResNet50, ResNet101 or ResNet152 of "
            "keras.applications (not V2), or the arrays of one of "
            "torchvision, with as many bottlenecks as the model. Received: "
            f"source {source_name} with {len(sources)} convolutions for the "
            f"{len(expected)} of the encoder of {model.name}. "
            "Build the model with the source's `blocks`."
        )
    return [
        (ours[name], ours[name.replace("conv", "norm")], source)
        for name, source in sources.items()
    ]


def is_encoder_convolution(name: str) -> bool:
    pattern = r"stem_conv|stage\d+_block\d+_conv\d"
    return re.fullmatch(pattern, name) is not None


def check_layout(
    convolution: keras.layers.Layer,
    norm: keras.layers.Layer,
    source: Source,
    stride_on: str,
) -> None:
    for what, ours, theirs, advice in (
        (
            "kernel",
            tuple(convolution.kernel.shape),
            source.kernel_shape,
            "width=64` and 3 channels",
        ),
        (
            "strides",
            tuple(convolution.strides),
            tuple(source.strides),
            f'stride_on="{stride_on}"`',
        ),
        ("epsilon", norm.epsilon, source.epsilon, f"epsilon={source.epsilon}`"),
    ):
        if ours != theirs:
            raise ValueError(
                f"The {what} of {convolution.name} must be that of "
                f"{source.name}, {theirs}. Received: {ours}. "
                f"Build the model with `{advice}."
            )


def copy(
    convolution: keras.layers.Layer,
    norm: keras.layers.Layer,
    values: dict[str, np.ndarray],
) -> None:
    convolution.kernel.assign(values.pop("kernel"))
    rows = norm.gamma.shape[0]
    for name, value in values.items():
        getattr(norm, name).assign(np.tile(value, (rows, 1)))
