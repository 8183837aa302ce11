"""Normalizations by fixed statistics, as a scale and a shift."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fusion.inference.graph import Call
from keras_fusion.inference.graph import Graph
from keras_fusion.inference.layer_kernels import channel_axis
from keras_fusion.inference.layer_kernels import has_known_kernel
from keras_fusion.inference.layer_kernels import is_linear
from keras_fusion.inference.layer_kernels import kernel_layer
from keras_fusion.layers import ChannelExchange

NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    ChannelExchange,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
)


def find_foldable(
    graph: Graph,
) -> tuple[dict[Call, list[Call]], dict[str, str]]:
    """Finds the normalizations that the calls before them can take up.

    Returns:
        For each such normalization the call before each of its inputs, and
        the names of all others with the reason.
    """
    producers, uses = graph.producers(), graph.uses()
    foldable: dict[Call, list[Call]] = {}
    left = {}
    for call in graph.calls:
        if not isinstance(call.layer, NORMALIZATIONS):
            continue
        reason = reason_against(call)
        before = [producers.get(symbol) for symbol in call.inputs]
        for symbol, producer in zip(call.inputs, before, strict=True):
            if reason is None:
                reason = reason_to_keep(call, producer, uses[symbol])
        if reason is None:
            foldable[call] = [x for x in before if x is not None]
        else:
            left[call.name] = reason
    return foldable, left


def reason_against(call: Call) -> str | None:
    layer = call.layer
    if type(layer) not in (keras.layers.BatchNormalization, ChannelExchange):
        return "its statistics are those of each sample"
    if getattr(layer, "normalization", "batch") == "instance":
        return "its statistics are those of each sample"
    if call.kwargs.get("training"):
        return "it is called with `training=True`"
    return None


def reason_to_keep(call: Call, before: Call | None, uses: int) -> str | None:
    """Why the call before a normalization cannot take it up, or None."""
    if before is None or not has_known_kernel(before.layer):
        return "no layer with a kernel is before it"
    if uses > 1:
        return f"others read {before.name} too"
    if not is_linear(before.layer):
        return f"{before.name} has an activation"
    if before.layer.compute_dtype != call.layer.compute_dtype:
        return f"{before.name} computes in another dtype"
    # A dense layer takes any number of axes.
    spatial = getattr(before.layer, "rank", None)
    axis, own = call.layer.axis, channel_axis(before.layer)
    if axis != own and (spatial is None or (axis - own) % (spatial + 2)):
        return f"its axis is not that of the channels of {before.name}"
    if (
        kernel_layer(before.layer).width is None
        and exchanged_channels(call.layer).any()
    ):
        return f"channels of {before.name} cannot be computed one by one"
    return None


def exchanged_channels(layer: Any) -> np.ndarray:
    """Boolean array `(N, channels)`; N is 1 for a normalization of Keras."""
    if isinstance(layer, ChannelExchange):
        return layer.exchanged
    return np.zeros((1, layer.moving_mean.shape[0]), "bool")


def scales_and_shifts(layer: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each modality of a normalization; for one of Keras, of the one."""
    mean, variance = map(
        number_rows, (layer.moving_mean, layer.moving_variance)
    )
    ones = np.ones_like(mean)
    gamma = number_rows(layer.gamma) if layer.gamma is not None else ones
    beta = number_rows(layer.beta) if layer.beta is not None else 0 * ones
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return list(zip(scale, beta - mean * scale, strict=True))


def number_rows(weight: keras.Variable) -> np.ndarray:
    return np.atleast_2d(ops.convert_to_numpy(weight)).astype("float64")
