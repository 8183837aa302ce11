"""What the encoder of `refinenet` may start from, by its own names."""

import re
from collections.abc import Callable
from collections.abc import Mapping
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_fusion.types import Shape
from keras_fusion.types import Tensor

CONVOLUTION = re.compile(r"conv(\d+)_block(\d+)_(\d)_conv")
TORCH_EPSILON = 1e-5


class Source(NamedTuple):
    """Where a convolution and the normalization behind it start from."""

    name: str
    kernel_shape: Shape
    strides: tuple[int, int]
    epsilon: float
    read: Callable[[], dict[str, np.ndarray]]
    """Arrays by the names of the model's weights."""


def of_keras(model: keras.Model) -> dict[str, Source]:
    """The sources by the names of our convolutions."""
    layers = layers_by_name(model)
    if not {"conv1_conv", "conv1_bn"} <= set(layers):
        return {}
    names = {"stem_conv": "conv1_conv"}
    for name in layers:
        if match := CONVOLUTION.fullmatch(name):
            stage, block, number = map(int, match.groups())
            names[f"stage{stage - 1}_block{block}_conv{number}"] = name
    return {
        ours: keras_source(
            layers[name], layers[name.removesuffix("conv") + "bn"]
        )
        for ours, name in names.items()
    }


def keras_source(
    convolution: keras.layers.Layer, norm: keras.layers.Layer
) -> Source:
    def read() -> dict[str, np.ndarray]:
        mean = ops.convert_to_numpy(norm.moving_mean)
        if convolution.use_bias:
            mean = mean - ops.convert_to_numpy(convolution.bias)
        return {
            "kernel": ops.convert_to_numpy(convolution.kernel),
            "gamma": ops.convert_to_numpy(norm.gamma),
            "beta": ops.convert_to_numpy(norm.beta),
            "moving_mean": mean,
            "moving_variance": ops.convert_to_numpy(norm.moving_variance),
        }

    return Source(
        convolution.name,
        tuple(convolution.kernel.shape),
        convolution.strides,
        norm.epsilon,
        read,
    )


def of_torchvision(arrays: Mapping[str, Tensor]) -> dict[str, Source]:
    """The sources by the names of our convolutions."""
    names = {"stem_conv": ("conv1", "bn1")}
    for name in arrays:
        if match := re.fullmatch(r"layer(\d)\.(\d+)\.(.*)\.weight", name):
            stage, block, layer = match.groups()
            prefix = f"layer{stage}.{block}"
            ours = f"stage{stage}_block{int(block) + 1}_conv"
            if layer == "downsample.0":
                names[ours + "0"] = (
                    f"{prefix}.{layer}",
                    f"{prefix}.downsample.1",
                )
            elif layer.startswith("conv"):
                number = layer[-1]
                names[ours + number] = (
                    f"{prefix}.conv{number}",
                    f"{prefix}.bn{number}",
                )
    return {
        ours: torchvision_source(arrays, *pair, torchvision_strides(ours))
        for ours, pair in names.items()
        if f"{pair[0]}.weight" in arrays and f"{pair[1]}.running_var" in arrays
    }


def torchvision_source(
    arrays: Mapping[str, Tensor],
    convolution: str,
    norm: str,
    strides: tuple[int, int],
) -> Source:
    def read() -> dict[str, np.ndarray]:
        kernel = np.asarray(arrays[f"{convolution}.weight"])
        return {
            # From (filters, channels, height, width).
            "kernel": np.transpose(kernel, (2, 3, 1, 0)),
            "gamma": np.asarray(arrays[f"{norm}.weight"]),
            "beta": np.asarray(arrays[f"{norm}.bias"]),
            "moving_mean": np.asarray(arrays[f"{norm}.running_mean"]),
            "moving_variance": np.asarray(arrays[f"{norm}.running_var"]),
        }

    filters, channels, *window = arrays[f"{convolution}.weight"].shape
    return Source(
        convolution, (*window, channels, filters), strides, TORCH_EPSILON, read
    )


def torchvision_strides(name: str) -> tuple[int, int]:
    """At the head of a stage but the first the 3x3 and the shortcut halve."""
    halves = re.fullmatch(r"stem_conv|stage[234]_block1_conv[02]", name)
    return (2, 2) if halves else (1, 1)


def layers_by_name(model: keras.Model) -> dict[str, keras.layers.Layer]:
    return {layer.name: layer for layer in model.layers}
