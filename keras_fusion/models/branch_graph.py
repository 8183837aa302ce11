"""A functional model whose layers are called for several branches.

Keras's `clone_model` walks the graph. It hands over every layer with the
tensors that reach it; beside each of these tensors, which are those of a copy
that is thrown away, a table holds the tensors of the branches.
"""

from collections.abc import Callable
from collections.abc import Collection
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fusion.layers import ChannelExchange
from keras_fusion.types import Tensor

Fuse = Callable[[list[Tensor]], list[Tensor]]


def is_functional(model: Any) -> bool:
    """Whether a model, or layer, has a graph that can be walked."""
    return isinstance(model, keras.Model) and bool(
        getattr(model, "inputs", None)
    )


def layer_names(
    model: keras.Model, prefix: str = ""
) -> dict[str, keras.layers.Layer]:
    """The layers of a model by name, those of models inside of it included.

    The names of the latter begin with that of their model and `_`.
    """
    found = {}
    for layer in model.layers:
        name = prefix + layer.name
        if is_functional(layer):
            found |= layer_names(layer, f"{name}_")
        elif not isinstance(layer, keras.layers.InputLayer):
            found[name] = layer
    return found


class BranchGraph:
    """Calls copies of a model's layers on every branch.

    Args:
        modalities: Names of the branches.
        shared: Boolean, whether one copy of a layer serves all branches.
        exchange: Arguments of the `ChannelExchange` that exchange.
        exchanging: Names of the batch normalizations that become such.
        fuse: Functions of the branches by the name of the layer behind which
            they are called.

    Attributes:
        maps: The branches behind each layer, by its name.
    """

    def __init__(
        self,
        modalities: tuple[str, ...],
        shared: bool,
        exchange: dict[str, Any],
        exchanging: Collection[str],
        fuse: dict[str, Fuse],
    ) -> None:
        self.modalities = modalities
        self.shared = shared
        self.exchange = exchange
        self.exchanging = exchanging
        self.fuse = fuse
        self.maps: dict[str, list[Tensor]] = {}
        self._copies: dict[tuple[int, int], list] = {}
        self._pairs: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []

    def run(
        self, model: keras.Model, branches: list[list[Tensor]], prefix: str = ""
    ) -> tuple[keras.Model, list[list[Tensor]]]:
        """Returns the throw-away copy, and the branches of each output.

        Args:
            model: Functional model.
            branches: The branches of each of its inputs.
            prefix: What the names of its layers begin with.
        """
        plain = keras.tree.map_structure(
            lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype),
            model.input,
        )
        table = {
            id(x): of_input
            for x, of_input in zip(
                keras.tree.flatten(plain), branches, strict=True
            )
        }
        copy = keras.models.clone_model(
            model,
            input_tensors=plain,
            clone_function=lambda layer: layer,
            call_function=lambda layer, *args, **kwargs: self._call(
                layer, prefix, table, args, kwargs
            ),
        )
        return copy, [table[id(x)] for x in copy.outputs]

    def copy_weights(self) -> None:
        """Gives the copies the weights of what they are copies of."""
        for layer, copy in self._pairs:
            if is_batch_norm(layer):
                start_exchange(copy, layer)
            elif copy.weights:
                copy.set_weights(layer.get_weights())
            if isinstance(copy, keras.layers.Normalization):
                copy.finalize_state()

    def _call(
        self,
        layer: Any,
        prefix: str,
        table: dict[int, list[Tensor]],
        args: tuple,
        kwargs: dict[str, Any],
    ) -> Any:
        name = prefix + layer.name
        reaching = [
            table[id(x)]
            for x in keras.tree.flatten((args, kwargs))
            if id(x) in table
        ]
        count = self._common_count(name, reaching)
        if is_functional(layer):
            inner = keras.Model(layer.inputs, layer.outputs)
            walked, found = self.run(inner, reaching, f"{name}_")
            plain = walked(keras.tree.flatten(args))
        else:
            copies = self._copies_of(layer, name, count)
            by_branch = [
                keras.tree.map_structure(
                    lambda x, m=m: table[id(x)][m] if id(x) in table else x,
                    (args, kwargs),
                )
                for m in range(count)
            ]
            call = _normalize if is_batch_norm(layer) else _call_each
            found = call(copies, by_branch)
            plain = (
                copy_of(layer, name) if is_batch_norm(layer) else copies[0]
            )(*args, **kwargs)
            if name in self.fuse:
                found = [self.fuse[name](found[0])]
            self.maps[name] = found[0]
        for x, of_output in zip(keras.tree.flatten(plain), found, strict=True):
            table[id(x)] = of_output
        return plain

    def _common_count(self, name: str, reaching: list[list[Tensor]]) -> int:
        counts = {len(branches) for branches in reaching}
        if len(counts) == 1:
            return counts.pop()
        raise ValueError(
            f"Branches were joined beside a shortcut: the layer {name} gets "
            f"both joined and separate ones. Received: "
            f"positions={sorted(self.fuse)}. Choose layers behind which no "
            "shortcut comes back in, such as those that add one."
        )

    def _copies_of(self, layer: Any, name: str, count: int) -> list:
        """The layers to call on `count` branches, one for each."""
        if not isinstance(layer, keras.layers.Layer):
            # An operation of keras.ops has no weights and no name to keep.
            return [layer] * count
        if (id(layer), count) not in self._copies:
            self._copies[id(layer), count] = self._make(layer, name, count)
        return self._copies[id(layer), count]

    def _make(self, layer: Any, name: str, count: int) -> list:
        if is_batch_norm(layer):
            settings = self.exchange if name in self.exchanging else {}
            made = [exchange_like(layer, name, settings)]
        elif self.shared or count == 1:
            made = [copy_of(layer, name)]
        else:
            made = [copy_of(layer, f"{name}_{m}") for m in self.modalities]
        self._pairs += [(layer, copy) for copy in made]
        return made * (count // len(made))


def _call_each(copies: list, by_branch: list) -> list[list[Tensor]]:
    """The branches of each output of a layer."""
    outputs = [
        copy(*args, **kwargs)
        for copy, (args, kwargs) in zip(copies, by_branch, strict=True)
    ]
    flat = map(keras.tree.flatten, outputs)
    return [list(branches) for branches in zip(*flat, strict=True)]


def _normalize(copies: list, by_branch: list) -> list[list[Tensor]]:
    _, kwargs = by_branch[0]
    # It may have been called for training, or for inference, whatever the
    # model is called for.
    training = {"training": kwargs["training"]} if "training" in kwargs else {}
    return [copies[0]([args[0] for args, _ in by_branch], **training)]


def is_batch_norm(layer: Any) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def copy_of(layer: keras.layers.Layer, name: str) -> keras.layers.Layer:
    copy = type(layer).from_config({**layer.get_config(), "name": name})
    copy.trainable = layer.trainable
    return copy


def exchange_like(
    norm: keras.layers.Layer, name: str, settings: dict[str, Any]
) -> ChannelExchange:
    layer = ChannelExchange(
        **{"threshold": 0.0, **settings},
        axis=norm.axis,
        momentum=norm.momentum,
        epsilon=norm.epsilon,
        dtype=norm.dtype_policy,
        name=name,
    )
    layer.trainable = norm.trainable
    return layer


def start_exchange(exchange: ChannelExchange, norm: keras.layers.Layer) -> None:
    """Begins every modality with the weights of a batch normalization."""
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        weight = getattr(norm, name)
        # Without scale or shift it has none.
        if weight is not None:
            row = ops.convert_to_numpy(weight)
            rows = getattr(exchange, name)
            rows.assign(np.broadcast_to(row, rows.shape))
