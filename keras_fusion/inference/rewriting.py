"""Builds the folded graph, call by call."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_fusion.inference.channel_reads import IDLE
from keras_fusion.inference.channel_reads import ReadsOf
from keras_fusion.inference.channel_reads import channels_read
from keras_fusion.inference.channel_reads import is_read
from keras_fusion.inference.channel_reads import keeps_channels
from keras_fusion.inference.ensembles import Merge
from keras_fusion.inference.graph import Call
from keras_fusion.inference.graph import Graph
from keras_fusion.inference.graph import Symbol
from keras_fusion.inference.graph import replace_symbols
from keras_fusion.inference.layer_kernels import changed_layer
from keras_fusion.inference.layer_kernels import channel_axis
from keras_fusion.inference.layer_kernels import has_known_kernel
from keras_fusion.inference.layer_kernels import kernel_layer
from keras_fusion.inference.layer_kernels import width
from keras_fusion.inference.normalizations import exchanged_channels
from keras_fusion.inference.normalizations import scales_and_shifts
from keras_fusion.inference.pieces import Piece
from keras_fusion.inference.pieces import Pieces
from keras_fusion.types import Tensor

Affine = tuple[np.ndarray, np.ndarray]


class Rewriting:
    """A graph under way to its folded form.

    Attributes:
        channels_cut: Output channels that are not computed any more.
        nested_folded: Normalizations folded in nested models.
        nested_left: Those left in nested models, with the reasons.
    """

    def __init__(
        self,
        graph: Graph,
        foldable: dict[Call, list[Call]],
        merges: dict[Call, Merge],
        reads: ReadsOf,
        fold: Callable[[keras.Model], Any],
    ) -> None:
        self.graph = graph
        self.foldable = foldable
        self.merges = merges
        self.reads = reads
        self.fold = fold
        self.channels_cut = 0
        self.nested_folded: tuple[str, ...] = ()
        self.nested_left: dict[str, str] = {}
        self._made: dict[Symbol, Tensor | Pieces] = {}
        self._copies: dict[Any, Any] = {}
        self._changed_layers: dict[Any, Any] = {}
        self._affines: dict[Any, list[Affine]] = {}
        self._shared: dict[Any, Tensor] = {}
        self._names = {layer.name for layer in graph.model.operations}
        # These are made where what takes them up is.
        self._taken = {x for calls in foldable.values() for x in calls}
        self._taken.update(x for merge in merges.values() for x in merge.taken)

    def model(self) -> keras.Model:
        """Makes the folded model."""
        inputs = replace_symbols(self.graph.inputs, self._input)
        for call in self.graph.calls:
            if call in self._taken:
                continue
            if call in self.foldable:
                self._fold(call, self.foldable[call])
            elif call in self.merges:
                weights = call.layer.mixing_weights.tolist()
                self._made[call.output()] = self._mix(
                    self.merges[call], weights
                )
            elif is_read(self.reads, call):
                self._pass(call)
            else:
                self._count_cut(call.layer, 0)
        for layer, copy in self._copies.items():
            # Operations have no weights, and nested models theirs already.
            nested = isinstance(layer, keras.Model)
            if isinstance(layer, keras.Layer) and not nested:
                copy.set_weights(layer.get_weights())
        outputs = replace_symbols(self.graph.outputs, self._whole)
        return keras.Model(inputs, outputs, name=self.graph.model.name)

    def _input(self, symbol: Symbol) -> Tensor:
        layer = self.graph.model.get_layer(symbol.layer)
        copy = type(layer).from_config(layer.get_config())
        self._made[symbol] = copy.output
        return copy.output

    def _pass(self, call: Call) -> None:
        """Makes a call that takes up no normalization."""
        output = call.output()
        if type(call.layer) in IDLE:
            self._made[output] = self._made[call.inputs[0]]
        elif has_known_kernel(call.layer):
            reads = self.reads[output]
            written = None if reads is None else np.flatnonzero(reads.mask)
            self._made[output] = self._multiply(call, None, written)
        elif self._in_pieces(call):
            self._made[output] = self._each_piece(call)
        else:
            self._copy(call)

    def _in_pieces(self, call: Call) -> bool:
        made = self._made[call.inputs[0]] if len(call.inputs) == 1 else None
        return isinstance(made, Pieces) and keeps_channels(call, made.axis)

    def _each_piece(self, call: Call) -> Pieces:
        whole = self._made[call.inputs[0]]
        layer = self._copy_of(call.layer)
        pieces = [
            Piece(
                self._once((layer, id(piece.tensor)), layer, piece.tensor),
                piece.channels,
            )
            for piece in whole.pieces
        ]
        return Pieces(whole.axis, pieces)

    def _once(
        self, key: Any, function: Callable[[Any], Tensor], argument: Any
    ) -> Tensor:
        """Branches that share a piece share what becomes of it."""
        if key not in self._shared:
            self._shared[key] = function(argument)
        return self._shared[key]

    def _copy(self, call: Call) -> None:
        layer = self._copy_of(call.layer)
        args = replace_symbols(call.args, self._whole)
        kwargs = replace_symbols(call.kwargs, self._whole)
        results = keras.tree.flatten(layer(*args, **kwargs))
        for index, result in enumerate(results):
            self._made[call.output(index)] = result

    def _copy_of(self, layer: Any) -> Any:
        if layer not in self._copies:
            if isinstance(layer, keras.Model):
                self._copies[layer] = self._fold_nested(layer)
            else:
                copy = type(layer).from_config(layer.get_config())
                self._copies[layer] = copy
        return self._copies[layer]

    def _fold_nested(self, model: keras.Model) -> keras.Model:
        folded, report = self.fold(model)
        self.nested_folded += report.folded
        self.nested_left.update(report.left)
        self.channels_cut += report.channels_cut
        return folded

    def _fold(self, call: Call, before: list[Call]) -> None:
        """Makes what a normalization returns with the calls before it.

        Channels that are exchanged, and read, in the same modalities make up
        one tensor for each modality in which somebody needs them.
        """
        exchanged = exchanged_channels(call.layer)
        modalities, channels = exchanged.shape
        written = channels_read(self.reads, call, modalities, channels)
        if any(kernel_layer(x.layer).width is None for x in before):
            written |= written.any(axis=1, keepdims=True)
        pieces: list[list[Piece]] = [[] for _ in before]
        kinds = np.concatenate([exchanged, written])
        # The kind that nobody exchanges comes first.
        for kind in np.unique(kinds, axis=1).T:
            own = np.flatnonzero((kinds == kind[:, None]).all(axis=0))
            lost, read = kind[:modalities], kind[modalities:]
            donors = {
                m: [k for k in range(modalities) if k != m] if lost[m] else [m]
                for m in np.flatnonzero(read).tolist()
            }
            values = {
                m: self._channels_of(call, before[m], m, own)
                for m in sorted({k for ks in donors.values() for k in ks})
            }
            for m, sources in donors.items():
                tensor = self._mean([values[k] for k in sources])
                pieces[m].append(Piece(tensor, own))
            self.channels_cut += (modalities - len(values)) * len(own)
        axis = channel_axis(before[0].layer)
        for m, made in enumerate(pieces):
            if made:
                self._made[call.output(m)] = Pieces(axis, made)

    def _channels_of(
        self, call: Call, before: Call, modality: int, channels: np.ndarray
    ) -> Tensor:
        """Some normalized channels of a modality, before any exchange."""
        if call.layer not in self._affines:
            self._affines[call.layer] = scales_and_shifts(call.layer)
        affine = self._affines[call.layer][modality]
        return self._joined(self._multiply(before, affine, channels))

    def _mean(self, tensors: list[Tensor]) -> Tensor:
        if len(tensors) == 1:
            return tensors[0]
        key = ("mean", *map(id, tensors))
        dtype = tensors[0].dtype
        mean = keras.layers.Average(dtype=dtype, name=self._name("donors"))
        return self._once(key, mean, tensors)

    def _mix(
        self, merge: Merge | tuple[Symbol, ...], weights: list[float]
    ) -> Tensor:
        """The weighted sum of branches, before what they have in common."""
        if not isinstance(merge, Merge):
            return self._weighted_sum([self._whole(x) for x in merge], weights)
        parts = [self._mix(part, weights) for part in merge.parts]
        layer = merge.calls[0].layer
        if type(layer) in IDLE:
            return parts[0]
        argument = parts if type(layer) is keras.layers.Add else parts[0]
        return self._copy_of(layer)(argument)

    def _weighted_sum(
        self, tensors: list[Tensor], weights: list[float]
    ) -> Tensor:
        if len(tensors) == 1:
            return tensors[0]
        scaled = [
            keras.layers.Rescaling(
                weight, dtype=x.dtype, name=self._name("ensemble_weight")
            )(x)
            for x, weight in zip(tensors, weights, strict=True)
        ]
        name = self._name("ensemble_sum")
        return keras.layers.Add(dtype=scaled[0].dtype, name=name)(scaled)

    def _multiply(
        self, call: Call, affine: Affine | None, written: np.ndarray | None
    ) -> Tensor | Pieces:
        """Calls a layer with a kernel, changed where it has to be."""
        layer = call.layer
        record = kernel_layer(layer)
        made = self._made[call.inputs[0]]
        read = None
        if isinstance(made, Pieces) and record.input_axis is not None:
            inputs = self._joined(made)
            rows = layer.kernel.shape[record.input_axis]
            if not np.array_equal(made.channels, np.arange(rows)):
                read = made.channels
        else:
            inputs = self._whole(call.inputs[0])
        if written is not None and (
            record.width is None or len(written) == width(layer)
        ):
            written = None
        if affine is None and written is not None:
            self._count_cut(layer, len(written))
        if affine is None and read is None and written is None:
            return self._copy_of(layer)(inputs)
        outputs = self._changed(layer, affine, read, written, inputs)
        if written is None:
            return outputs
        return Pieces(channel_axis(layer), [Piece(outputs, written)])

    def _changed(
        self,
        layer: Any,
        affine: Affine | None,
        read: np.ndarray | None,
        written: np.ndarray | None,
        inputs: Tensor,
    ) -> Tensor:
        """Calls a changed layer, one for all calls with equal changes."""
        parts = [x if x is None else x.tobytes() for x in (read, written)]
        key = (layer, id(affine), *parts)
        if key not in self._changed_layers:
            self._changed_layers[key] = changed_layer(
                layer,
                self._name(layer.name),
                inputs.shape,
                affine,
                read,
                written,
            )
        return self._changed_layers[key](inputs)

    def _count_cut(self, layer: Any, computed: int) -> None:
        if has_known_kernel(layer):
            self.channels_cut += width(layer) - computed

    def _joined(self, made: Tensor | Pieces) -> Tensor:
        """The pieces side by side, channels in the order of the pieces."""
        if not isinstance(made, Pieces):
            return made
        if len(made.pieces) == 1:
            return made.tensors[0]
        key = ("joined", *map(id, made.tensors))
        join = keras.layers.Concatenate(
            axis=made.axis, dtype=made.tensors[0].dtype, name=self._name("join")
        )
        return self._once(key, join, made.tensors)

    def _whole(self, symbol: Symbol) -> Tensor:
        """A tensor as it was, for those who read all of its channels."""
        made = self._made[symbol]
        if not isinstance(made, Pieces):
            return made
        joined = self._joined(made)
        if np.all(np.diff(made.channels) == 1):
            return joined
        order = np.argsort(made.channels).tolist()
        return keras.ops.take(joined, order, axis=made.axis)

    def _name(self, name: str) -> str:
        """A name for a changed layer: a number behind the old one."""
        number = 0
        while f"{name}_{number}" in self._names:
            number += 1
        self._names.add(f"{name}_{number}")
        return f"{name}_{number}"
