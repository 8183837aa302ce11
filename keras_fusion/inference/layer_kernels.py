"""Layers that multiply by a kernel: what can be done to their weights."""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fusion.layers import LocallyConnected1D
from keras_fusion.layers import LocallyConnected2D
from keras_fusion.layers import LocallyConnected3D
from keras_fusion.types import Shape


@dataclasses.dataclass(frozen=True)
class KernelLayer:
    """A class of layers whose kernel takes up what follows.

    Attributes:
        width: Name of the argument with the number of output channels, or
            None if outputs cannot be cut.
        output_axis: Axis of the output channels in the kernel.
        input_axis: The same of the input channels, or None if they cannot be
            cut.
    """

    width: str | None
    output_axis: int = -1
    input_axis: int | None = None


CONVOLUTION = KernelLayer("filters", -1, -2)
TRANSPOSED = KernelLayer("filters", -2, -1)
DEPTHWISE = KernelLayer(None)
LOCAL = KernelLayer("filters")

KERNEL_LAYERS: dict[type, KernelLayer] = {
    keras.layers.Dense: KernelLayer("units", -1, -2),
    keras.layers.Conv1D: CONVOLUTION,
    keras.layers.Conv2D: CONVOLUTION,
    keras.layers.Conv3D: CONVOLUTION,
    keras.layers.Conv1DTranspose: TRANSPOSED,
    keras.layers.Conv2DTranspose: TRANSPOSED,
    keras.layers.Conv3DTranspose: TRANSPOSED,
    keras.layers.DepthwiseConv1D: DEPTHWISE,
    keras.layers.DepthwiseConv2D: DEPTHWISE,
    LocallyConnected1D: LOCAL,
    LocallyConnected2D: LOCAL,
    LocallyConnected3D: LOCAL,
}


def has_known_kernel(layer: Any) -> bool:
    # A subclass may compute anything.
    known = type(layer) in KERNEL_LAYERS
    return known and not getattr(layer, "quantization_mode", None)


def kernel_layer(layer: Any) -> KernelLayer:
    """What can be done to a layer with a known kernel."""
    record = KERNEL_LAYERS[type(layer)]
    if getattr(layer, "groups", 1) > 1:
        return dataclasses.replace(record, width=None, input_axis=None)
    return record


def is_linear(layer: Any) -> bool:
    return layer.activation is keras.activations.linear


def channel_axis(layer: Any) -> int:
    """The axis of a layer's channels, 1 or -1."""
    first = getattr(layer, "data_format", None) == "channels_first"
    return 1 if first else -1


def width(layer: Any) -> int:
    """The number of output channels."""
    record = KERNEL_LAYERS[type(layer)]
    if record is DEPTHWISE:
        return math.prod(layer.kernel.shape[-2:])
    return layer.kernel.shape[record.output_axis]


def changed_layer(
    layer: Any,
    name: str,
    shape: Shape,
    affine: tuple[np.ndarray, np.ndarray] | None,
    read: np.ndarray | None,
    written: np.ndarray | None,
) -> Any:
    """Makes a layer like another, with other weights.

    Args:
        layer: The layer to change.
        name: Name of the new one.
        shape: Shape of its inputs.
        affine: Scales and shifts of all output channels, or None.
        read: Input channels in the order in which inputs have them, or
            None if that is the order of the layer.
        written: Output channels to return, or None for all.
    """
    record = KERNEL_LAYERS[type(layer)]
    kernel = ops.convert_to_numpy(layer.kernel).astype("float64")
    kernel_shape = kernel.shape
    bias = np.zeros(1)
    if layer.use_bias:
        bias = channels_last_bias(layer, ops.convert_to_numpy(layer.bias))
        bias = bias.astype("float64")
    if affine is not None:
        scale, shift = affine
        if record is DEPTHWISE:
            kernel = kernel.reshape(*kernel_shape[:-2], -1)
        along = [1] * kernel.ndim
        along[record.output_axis] = -1
        kernel = (kernel * scale.reshape(along)).reshape(kernel_shape)
        bias = bias * scale + shift
    config = {**layer.get_config(), "name": name}
    if written is not None:
        kernel = np.take(kernel, written, record.output_axis)
        if bias.size > 1:
            bias = bias[..., written]
        config[record.width] = len(written)
    if read is not None:
        kernel = np.take(kernel, read, record.input_axis)
    config["use_bias"] = layer.use_bias or affine is not None
    for key in config:
        if key.endswith("_initializer"):
            config[key] = "zeros"
        if key.endswith(("_regularizer", "_constraint")):
            config[key] = None
    changed = type(layer).from_config(config)
    changed.build(shape)
    changed.kernel.assign(kernel)
    if changed.use_bias:
        bias = np.broadcast_to(bias, changed.bias.shape)
        if stores_channels_first(layer):
            bias = np.moveaxis(bias, -1, 0).reshape(bias.shape)
        changed.bias.assign(bias)
    return changed


def stores_channels_first(layer: Any) -> bool:
    """Whether a bias lies in the order of the output, as in Keras 2."""
    local = KERNEL_LAYERS[type(layer)] is LOCAL
    return local and channel_axis(layer) == 1


def channels_last_bias(layer: Any, bias: np.ndarray) -> np.ndarray:
    if not stores_channels_first(layer):
        return bias
    *windows, channels = bias.shape
    return np.moveaxis(bias.reshape(channels, *windows), 0, -1)
