"""Ensembles of branches that end in the same linear layers."""

import dataclasses
from collections.abc import Iterator
from typing import Union

import keras

from keras_fusion.inference.channel_reads import IDLE
from keras_fusion.inference.graph import Call
from keras_fusion.inference.graph import Graph
from keras_fusion.inference.graph import Symbol
from keras_fusion.inference.layer_kernels import has_known_kernel
from keras_fusion.inference.layer_kernels import is_linear
from keras_fusion.layers import LearnedEnsemble


@dataclasses.dataclass(frozen=True, eq=False)
class Merge:
    """Calls of one linear layer, a branch each, that can become one call.

    Attributes:
        calls: The calls.
        parts: For each input of the layer what can be merged before it, or
            else what the calls read there.
    """

    calls: list[Call]
    parts: list[Union["Merge", tuple[Symbol, ...]]]

    @property
    def taken(self) -> Iterator[Call]:
        """All calls that the merge replaces."""
        yield from self.calls
        for part in self.parts:
            if isinstance(part, Merge):
                yield from part.taken


def find_merges(graph: Graph) -> dict[Call, Merge]:
    """Finds the ensembles of what shared linear layers make of branches.

    A weighted sum may be drawn before a linear layer. A bias stays what it
    is, as the weights sum to 1.
    """
    producers, uses = graph.producers(), graph.uses()

    def merge(symbols: tuple[Symbol, ...], dtype: str) -> Merge | None:
        calls = [producers[x] for x in symbols if x in producers]
        if len(calls) < len(symbols) or len({x.layer for x in calls}) > 1:
            return None
        layer = calls[0].layer
        multiplies = has_known_kernel(layer) and is_linear(layer)
        if not multiplies and type(layer) not in (*IDLE, keras.layers.Add):
            return None
        if layer.compute_dtype != dtype or any(uses[x] > 1 for x in symbols):
            return None
        columns = list(zip(*(call.inputs for call in calls), strict=True))
        parts = [merge(column, dtype) or column for column in columns]
        # Without a kernel in it there is nothing to save.
        if multiplies or any(isinstance(part, Merge) for part in parts):
            return Merge(calls, parts)
        return None

    merges = {
        call: merge(tuple(call.inputs), call.layer.compute_dtype)
        for call in graph.calls
        if type(call.layer) is LearnedEnsemble
    }
    return {call: x for call, x in merges.items() if x is not None}
