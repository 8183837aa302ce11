"""How much a model computes."""

import math
from typing import Any

import keras

from keras_fusion.inference.graph import read_graph
from keras_fusion.inference.graph import replace_symbols
from keras_fusion.inference.graph import symbols_in
from keras_fusion.inference.layer_kernels import KERNEL_LAYERS
from keras_fusion.inference.layer_kernels import LOCAL
from keras_fusion.inference.layer_kernels import TRANSPOSED
from keras_fusion.inference.layer_kernels import channel_axis

# For sizes that a model leaves open.
ASSUMED_SIZE = 128


def count_multiplications(model: keras.Model, outputs: Any = None) -> int:
    """The multiplications by kernels for one sample.

    Counted are convolutions, dense and locally connected layers, those of
    nested models too. Sizes that the model leaves open count as 128.

    Args:
        model: A functional or built sequential model.
        outputs: See `fold`.
    """
    graph = read_graph(model, outputs)
    known: dict[Any, Any] = {}
    for symbol, x in zip(
        symbols_in(graph.inputs),
        keras.tree.flatten(graph.model.input),
        strict=True,
    ):
        shape = (1, *(size or ASSUMED_SIZE for size in x.shape[1:]))
        known[symbol] = keras.KerasTensor(shape, x.dtype)
    total = 0
    for call in graph.calls:
        args = replace_symbols(call.args, known.__getitem__)
        kwargs = replace_symbols(call.kwargs, known.__getitem__)
        results = call.layer.compute_output_spec(*args, **kwargs)
        flat = keras.tree.flatten(results)
        for index, result in enumerate(flat):
            known[call.output(index)] = result
        if isinstance(call.layer, keras.Model):
            total += count_multiplications(call.layer)
        elif type(call.layer) in KERNEL_LAYERS:
            source = known[call.inputs[0]]
            total += of_layer(call.layer, source.shape, flat[0].shape)
    return total


def of_layer(layer: Any, read: tuple, written: tuple) -> int:
    """Multiplications of a layer, given the shapes it reads and writes."""
    record = KERNEL_LAYERS[type(layer)]
    size = math.prod(layer.kernel.shape)
    if record is LOCAL:
        return size
    shape = read if record is TRANSPOSED else written
    return size * math.prod(shape) // shape[channel_axis(layer)]
