import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fusion.inference.graph import Call
from keras_fusion.inference.graph import Graph
from keras_fusion.inference.graph import Symbol
from keras_fusion.inference.graph import read_graph
from keras_fusion.inference.graph import replace_symbols
from keras_fusion.inference.graph import symbols_in
from keras_fusion.layers import ChannelExchange
from keras_fusion.layers import LearnedEnsemble
from keras_fusion.layers import ResizeLike


def missing(model: keras.Model, modality: str) -> keras.Model:
    """Makes the model for a device that lacks one modality's sensor.

    The branch of the modality is not computed, and its output is gone. What
    it would have donated in a `ChannelExchange` comes from the other donors.
    Where there is none, the channel is the missing modality's shift `beta`,
    which is the mean of what it donated in training. The weights of a
    `LearnedEnsemble` sum to 1 over the modalities that are there.

    No new weight is learned: `evaluate` both models on the same examples to
    see what the loss of the sensor costs. The model given stays as it is; the
    new one is not compiled. Call the function again for every further sensor
    that is not there, and `fold` last: in a folded model branches read each
    other's channels directly.

    Args:
        model: A functional `keras.Model` whose inputs are a dict keyed by
            modality, and whose modalities meet nowhere but in
            `ChannelExchange` and `LearnedEnsemble`; `ResizeLike` may look at
            the size of another modality's input.
        modality: Name of the input that is not there.

    Returns:
        A functional `keras.Model` without that input.

    Raises:
        ValueError: If `modality` is not one of two or more inputs, if another
            layer reads it beside others, or if a channel that is kept in the
            model would be exchanged in the new one.

    Example:

    >>> inputs = {name: keras.Input((4,), name=name) for name in ("a", "b")}
    >>> dense = keras.layers.Dense(3)
    >>> branches = [dense(x) for x in inputs.values()]
    >>> branches = keras_fusion.layers.ChannelExchange()(branches)
    >>> outputs = {"ensemble": keras_fusion.layers.LearnedEnsemble()(branches)}
    >>> model = keras.Model(inputs, outputs)
    >>> alone = keras_fusion.inference.missing(model, "b")
    >>> tuple(alone({"a": keras.ops.ones((2, 4))})["ensemble"].shape)
    (2, 3)
    """
    graph = read_graph(model)
    check_modality(graph, modality)
    return Removal(graph, modality).model()


@dataclasses.dataclass(eq=False)
class Removal:
    """A graph from which a modality is taken out.

    Attributes:
        graph: The graph.
        modality: Name of the modality.
    """

    graph: Graph
    modality: str

    def __post_init__(self) -> None:
        # A tensor of the missing branch has no counterpart: None.
        self._made: dict[Symbol, Any] = {}
        self._copies: dict[Any, Any] = {}

    def model(self) -> keras.Model:
        inputs = {
            name: self._input(symbol)
            for name, symbol in self.graph.inputs.items()
            if name != self.modality
        }
        self._made[self.graph.inputs[self.modality]] = None
        for call in self.graph.calls:
            gone = [self._made[symbol] is None for symbol in call.inputs]
            resizes = type(call.layer) is ResizeLike
            if all(gone) or (resizes and gone[0]):
                self._write(call, [None] * len(self._outputs(call)))
            elif not any(gone):
                self._copy(call, call.args, call.kwargs)
            elif type(call.layer) in (ChannelExchange, LearnedEnsemble):
                self._reduce(call, gone)
            elif resizes:
                self._resize(call, inputs)
            else:
                raise ValueError(
                    "`model` must bring its modalities together in "
                    "ChannelExchange and LearnedEnsemble only. Received: "
                    f"layer {call.name} of {type(call.layer).__name__}, which "
                    f"reads {self.modality} beside others. Pass the model as "
                    "it was before `fold`, or train one without that modality."
                )
        for layer, copy in self._copies.items():
            if isinstance(layer, keras.Layer):
                copy.set_weights(layer.get_weights())
        outputs = {
            name: self._made[symbol]
            for name, symbol in self.graph.outputs.items()
            if self._made[symbol] is not None
        }
        return keras.Model(inputs, outputs, name=self.graph.model.name)

    def _input(self, symbol: Symbol) -> Any:
        layer = self.graph.model.get_layer(symbol.layer)
        self._made[symbol] = type(layer).from_config(layer.get_config()).output
        return self._made[symbol]

    def _outputs(self, call: Call) -> list[Symbol]:
        read = [x for other in self.graph.calls for x in other.inputs]
        read += symbols_in(self.graph.outputs)
        own = {x for x in read if (x.layer, x.call) == (call.name, call.number)}
        return [call.output(i) for i in range(1 + max(x.output for x in own))]

    def _write(self, call: Call, results: list[Any]) -> None:
        for index, result in enumerate(results):
            self._made[call.output(index)] = result

    def _copy(self, call: Call, args: Any, kwargs: Any) -> None:
        if call.layer not in self._copies:
            copy = type(call.layer).from_config(call.layer.get_config())
            self._copies[call.layer] = copy
        args = replace_symbols(args, self._made.__getitem__)
        kwargs = replace_symbols(kwargs, self._made.__getitem__)
        results = self._copies[call.layer](*args, **kwargs)
        self._write(call, keras.tree.flatten(results))

    def _reduce(self, call: Call, gone: list[bool]) -> None:
        """Calls a layer of several modalities with those that are there."""
        kept = np.flatnonzero(~np.array(gone))
        tensors = [self._made[call.inputs[m]] for m in kept]
        copy = type(call.layer).from_config(call.layer.get_config())
        results = keras.tree.flatten(copy(tensors))
        for weight, old in zip(copy.weights, call.layer.weights, strict=True):
            values = ops.convert_to_numpy(old)
            weight.assign(values[kept] if values.ndim else values)
        if type(call.layer) is LearnedEnsemble:
            self._write(call, results)
            return
        keep_channels(copy, call.layer, kept)
        self._write(call, [None] * len(gone))
        for m, result in zip(kept, results, strict=True):
            self._made[call.output(int(m))] = result

    def _resize(self, call: Call, inputs: dict[str, Any]) -> None:
        """Takes another input for the size, as all are aligned images."""
        maps, target = call.inputs
        if target != self.graph.inputs[self.modality]:
            raise ValueError(
                f"`model` must not resize in {call.name} by what it makes of "
                f"the missing {self.modality}. Received: target={target}. "
                "Resize by an input."
            )
        other = next(
            symbol
            for name, symbol in self.graph.inputs.items()
            if name in inputs
        )
        self._copy(call, (maps, other), {})


def keep_channels(
    reduced: ChannelExchange, layer: ChannelExchange, kept: np.ndarray
) -> None:
    """Makes the exchange of some modalities do what that of all did."""
    exchanged = layer.exchanged[kept]
    if len(kept) == 1:
        gone = np.delete(np.arange(len(layer.exchanged)), kept)
        beta = ops.convert_to_numpy(layer.beta)
        gamma = ops.convert_to_numpy(layer.gamma)
        reduced.gamma.assign(np.where(exchanged, 0, gamma[kept]))
        reduced.beta.assign(np.where(exchanged, beta[gone], beta[kept]))
    elif not np.array_equal(reduced.exchanged, exchanged):
        raise ValueError(
            f"`model` must exchange in {layer.name} by scales alone. Received: "
            f"a layer with penalized_only={layer.penalized_only}, whose "
            "penalized channels are others with fewer modalities. Train "
            "without `penalized_only`, or for the modalities that are there."
        )


def check_modality(graph: Graph, modality: str) -> None:
    known = list(graph.inputs) if isinstance(graph.inputs, dict) else []
    if modality not in known or len(known) < 2:
        raise ValueError(
            "`modality` must be the name of one of two or more inputs of the "
            f"model, which are {known}. Received: modality={modality!r}"
        )
    if not isinstance(graph.outputs, dict):
        raise ValueError(
            "`model` must return a dict, so that the output of "
            f"{modality} can go. Received: outputs={graph.model.output}"
        )
