"""Layers called on every branch of a network.

A function here takes and returns a list with one tensor for each branch: one
for each modality, or a single one for a network with a single input.
"""

from collections.abc import Callable
from typing import Any

import keras

from keras_fusion.types import Shape
from keras_fusion.types import Tensor

Normalize = Callable[[list[Tensor], str], list[Tensor]]
"""A function of the branches and a layer's name to normalized branches."""


def channel_axis() -> int:
    first = keras.config.image_data_format() == "channels_first"
    return 1 if first else -1


def sides(image_shape: Shape) -> Shape:
    """Height and width of a shape without the batch dimension."""
    return image_shape[1:] if channel_axis() == 1 else image_shape[:-1]


def each(layer: Callable[[Tensor], Tensor], branches: list) -> list[Tensor]:
    """Calls one layer, and so one set of weights, on every branch."""
    return [layer(branch) for branch in branches]


def add(branches: list, others: list, name: str) -> list[Tensor]:
    """The sum of the two lists, branch by branch."""
    layer = keras.layers.Add(name=name)
    return [layer(pair) for pair in zip(branches, others, strict=True)]


def batch_normalization(momentum: float, epsilon: float) -> Normalize:
    """Returns a function that normalizes every branch by the same layer."""

    def normalize(branches: list[Tensor], name: str) -> list[Tensor]:
        layer = keras.layers.BatchNormalization(
            axis=channel_axis(), momentum=momentum, epsilon=epsilon, name=name
        )
        return each(layer, branches)

    return normalize


def convolve(
    branches: list[Tensor],
    filters: int,
    size: int,
    strides: int,
    layer_name: Callable[[str], str],
    normalize: Normalize | None,
    relu: bool = True,
    **settings: Any,
) -> list[Tensor]:
    """Convolution, normalization if there is one and, if `relu`, ReLU.

    Args:
        branches: List of tensors.
        filters: Filters of the convolution.
        size: Its window.
        strides: Its steps.
        layer_name: Function from a kind of layer, of `"padding"`, `"conv"`,
            `"norm"` and `"relu"`, to the layer's name.
        normalize: See `Normalize`.
        relu: Whether ReLU follows.
        **settings: Further arguments of the convolution; by default it has no
            bias and is initialized for ReLU.
    """
    if strides > 1 and size > 1:
        # "same" would pad a strided convolution on one side only.
        pad = keras.layers.ZeroPadding2D(size // 2, name=layer_name("padding"))
        branches = each(pad, branches)
    convolution = keras.layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="valid" if strides > 1 else "same",
        name=layer_name("conv"),
        **{"use_bias": False, "kernel_initializer": "he_normal", **settings},
    )
    branches = each(convolution, branches)
    if normalize is not None:
        branches = normalize(branches, layer_name("norm"))
    if relu:
        branches = each(keras.layers.ReLU(name=layer_name("relu")), branches)
    return branches
