"""The calls of a functional model, read from what Keras saves of it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras


@dataclasses.dataclass(frozen=True)
class Symbol:
    """Names a tensor: the layer that returns it, in which of its calls."""

    layer: str
    call: int
    output: int


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """A call of a layer or operation, symbols in place of tensors."""

    layer: Any
    number: int
    args: Any
    kwargs: Any

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def inputs(self) -> list[Symbol]:
        return symbols_in((self.args, self.kwargs))

    def output(self, index: int = 0) -> Symbol:
        return Symbol(self.layer.name, self.number, index)


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """A functional model.

    Attributes:
        model: The model as Keras's own class of functional models.
        inputs: Nested symbols.
        outputs: Nested symbols.
        calls: What the outputs need, each after what it reads.
    """

    model: keras.Model
    inputs: Any
    outputs: Any
    calls: list[Call]

    def producers(self) -> dict[Symbol, Call]:
        """The call behind each tensor; inputs and unused outputs have none."""
        by_call = {(call.name, call.number): call for call in self.calls}
        return {
            symbol: by_call[symbol.layer, symbol.call]
            for call in self.calls
            for symbol in call.inputs
            if (symbol.layer, symbol.call) in by_call
        }

    def uses(self) -> dict[Symbol, int]:
        """How often each tensor is read, as an output of the model too."""
        counts: dict[Symbol, int] = {}
        read = [symbol for call in self.calls for symbol in call.inputs]
        for symbol in read + symbols_in(self.outputs):
            counts[symbol] = counts.get(symbol, 0) + 1
        return counts


def read_graph(model: keras.Model, outputs: Any = None) -> Graph:
    """Reads a functional or a built sequential model.

    Args:
        model: The model.
        outputs: Names of the outputs to keep, of a model that returns a dict.
            All are kept by default.
    """
    model = as_functional(model)
    config = model.get_config()
    layers = {layer.name: layer for layer in model.operations}
    calls = {}
    for saved in config["layers"]:
        layer = layers[saved["name"]]
        for number, node in enumerate(saved["inbound_nodes"]):
            calls[layer.name, number] = Call(
                layer, number, read(node["args"]), read(node["kwargs"])
            )
    # Keras counts their calls from 1 here, and from 0 elsewhere.
    nested = {name for name, x in layers.items() if isinstance(x, type(model))}
    kept = read_ends(config["output_layers"], nested)
    if outputs is not None:
        kept = select(kept, outputs)
    return Graph(
        model,
        read_ends(config["input_layers"], nested),
        kept,
        needed_calls(calls, kept),
    )


def as_functional(model: keras.Model) -> keras.Model:
    try:
        if isinstance(model, keras.Sequential):
            # Its `input` may be that of a call in another model.
            ends = model.inputs[0], model.outputs[0]
        else:
            ends = model.input, model.output
        return keras.Model(*ends, name=model.name)
    except (AttributeError, TypeError, ValueError):
        raise ValueError(
            "`model` must be a functional model, or a sequential one that has "
            f"been built. Received: model={model}. "
            "Call a sequential model on its inputs first."
        ) from None


def read(value: Any) -> Any:
    """A saved argument, with a `Symbol` for each tensor of the graph."""
    if isinstance(value, list | tuple):
        return type(value)(read(item) for item in value)
    if not isinstance(value, dict):
        return value
    if "class_name" not in value:
        return {name: read(item) for name, item in value.items()}
    if value["class_name"] == "__keras_tensor__":
        return Symbol(*value["config"]["keras_history"])
    return keras.saving.deserialize_keras_object(value)


def read_ends(value: Any, nested: set[str]) -> Any:
    """The saved inputs or outputs of a model, as symbols."""
    if isinstance(value, dict):
        return {name: read_ends(item, nested) for name, item in value.items()}
    if isinstance(value[0], str):
        layer, call, output = value
        return Symbol(layer, call - (layer in nested), output)
    return [read_ends(item, nested) for item in value]


def select(outputs: Any, names: Any) -> Any:
    known = list(outputs) if isinstance(outputs, dict) else []
    wanted = [] if isinstance(names, str) else list(names)
    if not wanted or not set(wanted) <= set(known):
        raise ValueError(
            "`outputs` must be None, or a list with one or more of the names "
            f"of the model's outputs, which are {known}. "
            f"Received: outputs={names!r}"
        )
    return {name: outputs[name] for name in known if name in wanted}


def needed_calls(
    calls: dict[tuple[str, int], Call], outputs: Any
) -> list[Call]:
    """The calls that outputs need, sorted, without recursion."""
    ordered: dict[Call, None] = {}
    waiting = symbols_in(outputs)[::-1]
    while waiting:
        call = calls.get((waiting[-1].layer, waiting[-1].call))
        if call is None or call in ordered:
            waiting.pop()
            continue
        missing = [
            symbol
            for symbol in call.inputs
            if calls.get((symbol.layer, symbol.call), call) is not call
            and calls[symbol.layer, symbol.call] not in ordered
        ]
        if missing:
            waiting.extend(reversed(missing))
        else:
            ordered[call] = None
    return list(ordered)


def symbols_in(value: Any) -> list[Symbol]:
    return [x for x in keras.tree.flatten(value) if isinstance(x, Symbol)]


def replace_symbols(value: Any, function: Callable[[Symbol], Any]) -> Any:
    return keras.tree.map_structure(
        lambda x: function(x) if isinstance(x, Symbol) else x, value
    )
