"""Which channels of each tensor of a graph somebody reads."""

import dataclasses
from collections.abc import Collection
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fusion.inference.graph import Call
from keras_fusion.inference.graph import Graph
from keras_fusion.inference.graph import Symbol
from keras_fusion.inference.graph import symbols_in
from keras_fusion.inference.layer_kernels import channel_axis
from keras_fusion.inference.layer_kernels import has_known_kernel
from keras_fusion.inference.layer_kernels import kernel_layer
from keras_fusion.inference.normalizations import exchanged_channels

# Layers that do nothing in prediction.
IDLE = (
    keras.layers.ActivityRegularization,
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)

# Layers that treat every value alike, and those that move positions.
ELEMENTWISE = (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.ELU)
POSITIONAL = (
    keras.layers.AveragePooling2D,
    keras.layers.MaxPooling2D,
    keras.layers.UpSampling2D,
    keras.layers.ZeroPadding2D,
)
ACTIVATIONS = (
    keras.activations.gelu,
    keras.activations.linear,
    keras.activations.relu,
    keras.activations.relu6,
    keras.activations.sigmoid,
    keras.activations.silu,
    keras.activations.tanh,
)


@dataclasses.dataclass(frozen=True)
class Reads:
    """The channels that are read: `mask` of those on `axis`."""

    axis: int
    mask: np.ndarray


ReadsOf = dict[Symbol, Reads | None]
"""By tensor. None stands for all of it; a tensor nobody reads is missing."""


def keeps_channels(call: Call, axis: int) -> bool:
    """Whether each output channel comes from the same input channel alone."""
    layer = call.layer
    if type(layer) is keras.layers.Activation:
        return layer.activation in ACTIVATIONS
    if type(layer) in POSITIONAL:
        return channel_axis(layer) == axis
    return type(layer) in (*IDLE, *ELEMENTWISE)


def find_reads(
    graph: Graph, folded: dict[Call, list[Call]], whole: Collection[Call]
) -> ReadsOf:
    """Goes through a graph from its end.

    Args:
        graph: The graph.
        folded: Normalizations that will be taken up by the calls before them.
        whole: Calls that will read all of their inputs.
    """
    reads: ReadsOf = dict.fromkeys(symbols_in(graph.outputs))
    for call in reversed(graph.calls):
        if call in folded:
            pass_normalization(reads, call, channel_axis(folded[call][0].layer))
        elif call in whole:
            for symbol in call.inputs:
                add_reads(reads, symbol, None)
        elif is_read(reads, call):
            pass_call(reads, call)
    return reads


def is_read(reads: ReadsOf, call: Call) -> bool:
    own = (call.name, call.number)
    return any((symbol.layer, symbol.call) == own for symbol in reads)


def pass_call(reads: ReadsOf, call: Call) -> None:
    output = reads.get(call.output())
    if (
        has_known_kernel(call.layer)
        and kernel_layer(call.layer).input_axis is not None
    ):
        mask = rows_read(call.layer, output)
        axis = channel_axis(call.layer)
        add_reads(reads, call.inputs[0], Reads(axis, mask))
        return
    through = output is not None and keeps_channels(call, output.axis)
    for symbol in call.inputs:
        add_reads(reads, symbol, output if through else None)


def rows_read(layer: Any, output: Reads | None) -> np.ndarray:
    """Input channels by which a kernel multiplies more than zeros."""
    record = kernel_layer(layer)
    used = ops.convert_to_numpy(layer.kernel) != 0
    if output is not None:
        used = np.compress(output.mask, used, record.output_axis)
    rows = np.moveaxis(used, record.input_axis, 0)
    mask = rows.any(axis=tuple(range(1, rows.ndim)))
    # A convolution of nothing would have no positions to write to.
    return mask if mask.any() else np.ones_like(mask)


def pass_normalization(reads: ReadsOf, call: Call, axis: int) -> None:
    exchanged = exchanged_channels(call.layer)
    written = channels_read(reads, call, *exchanged.shape)
    for m, symbol in enumerate(call.inputs):
        others = np.delete(exchanged & written, m, axis=0).any(axis=0)
        mask = (written[m] & ~exchanged[m]) | others
        add_reads(reads, symbol, Reads(axis, mask))


def channels_read(
    reads: ReadsOf, call: Call, modalities: int, channels: int
) -> np.ndarray:
    """Boolean array `(N, channels)` of what is read of a normalization."""
    written = np.zeros((modalities, channels), "bool")
    for m in range(modalities):
        symbol = call.output(m)
        if symbol in reads:
            own = reads[symbol]
            written[m] = True if own is None else own.mask
    return written


def add_reads(reads: ReadsOf, symbol: Symbol, more: Reads | None) -> None:
    if more is not None and not more.mask.any():
        return
    known = reads.get(symbol, more)
    if known is None or more is None or known.axis != more.axis:
        reads[symbol] = None
    else:
        reads[symbol] = Reads(known.axis, known.mask | more.mask)
