"""The table of layers in docs/layers.md, against the layers themselves."""

import dataclasses
import math
import re
from collections.abc import Callable

import numpy as np
import pytest

from keras_fusion import layers
from tests import pages


@dataclasses.dataclass(frozen=True)
class Row:
    """A layer to count, what it is called with, and the formula's letters."""

    make: Callable
    shapes: tuple
    letters: dict


VECTORS = ([(2, 3), (2, 5), (2, 7)],)
MAP, TEXT = (2, 6, 5, 3), (2, 7)
ROWS = {
    "ChannelExchange": Row(
        layers.ChannelExchange, ([(2, 4, 5)] * 3,), {"N": 3, "C": 5}
    ),
    "LearnedEnsemble": Row(
        layers.LearnedEnsemble, ([(2, 4, 5)] * 3,), {"N": 3}
    ),
    "SqueezeExcite": Row(
        lambda: layers.SqueezeExcite(2), ((2, 4, 9),), {"C": 9, "u": 4}
    ),
    "SqueezeExciteFusion": Row(
        lambda: layers.SqueezeExciteFusion(2),
        ([(2, 4, 5), (2, 6)],),
        {"S": 11, "u": 5},
    ),
    "ResizeLike": Row(layers.ResizeLike, (MAP, (2, 4, 3, 1)), {}),
    "LocallyConnected1D": Row(
        lambda: layers.LocallyConnected1D(4, 2),
        ((2, 6, 3),),
        {"P": 5, "filters": 4, "k": 2, "C": 3},
    ),
    "LocallyConnected2D": Row(
        lambda: layers.LocallyConnected2D(4, (2, 3)),
        (MAP,),
        {"P": 5 * 3, "filters": 4, "k": 6, "C": 3},
    ),
    "LocallyConnected3D": Row(
        lambda: layers.LocallyConnected3D(4, (2, 3, 1)),
        ((2, 6, 5, 4, 3),),
        {"P": 5 * 3 * 4, "filters": 4, "k": 6, "C": 3},
    ),
    "LocallyConnectedFusion": Row(
        layers.LocallyConnectedFusion, ([(2, 5)] * 3,), {"N": 3, "C": 5}
    ),
    "MLPConv": Row(
        lambda: layers.MLPConv([4, 6, 5], (2, 3)),
        (MAP,),
        {"k": 6, "C": 3, "f": (4, 6, 5)},
    ),
    "GatedMultimodalUnit": Row(
        lambda: layers.GatedMultimodalUnit(4),
        VECTORS,
        {"N": 3, "S": 15, "units": 4},
    ),
    "TensorFusion": Row(
        lambda: layers.TensorFusion(4), VECTORS, {"units": 4, "d": (3, 5, 7)}
    ),
    "LowRankTensorFusion": Row(
        lambda: layers.LowRankTensorFusion(4, rank=6),
        VECTORS,
        {"r": 6, "units": 4, "S": 15, "N": 3},
    ),
    "LowRankBilinearPooling": Row(
        lambda: layers.LowRankBilinearPooling(4, rank=6),
        VECTORS,
        {"r": 6, "units": 4, "S": 15, "N": 3},
    ),
    "FactorizedBilinearPooling": Row(
        lambda: layers.FactorizedBilinearPooling(4, rank=6),
        VECTORS,
        {"r": 6, "units": 4, "S": 15, "N": 3},
    ),
    "BlockTermFusion": Row(
        lambda: layers.BlockTermFusion(4, 11, num_blocks=3, rank=2),
        VECTORS,
        {"S": 15, "N": 3, "p": 11, "r": 2, "units": 4, "blocks": (4, 4, 3)},
    ),
    "CompactBilinearPooling": Row(
        lambda: layers.CompactBilinearPooling(9, seed=0), VECTORS, {}
    ),
    "TransformerFusion": Row(
        lambda: layers.TransformerFusion(8, 2, num_blocks=3, expansion=5),
        VECTORS,
        {"S": 15, "N": 3, "u": 8, "B": 3, "e": 5},
    ),
    "Refiner": Row(
        lambda: layers.Refiner(layers.LowRankTensorFusion(4)),
        VECTORS,
        {"units": 4, "S": 15},
    ),
    "ModalityDropout": Row(
        lambda: layers.ModalityDropout(0.5), VECTORS, {"S": 15}
    ),
    "MissingModalityToken": Row(
        layers.MissingModalityToken, (*VECTORS, (2, 3)), {"S": 15}
    ),
    "BilinearAttention": Row(
        lambda: layers.BilinearAttention(6, num_glimpses=2),
        ((1, 4, 5), (2, 3, 4, 7)),
        {"F": 5, "X": 7, "r": 6, "G": 2},
    ),
    "PairwiseBilinearAttention": Row(
        lambda: layers.PairwiseBilinearAttention(6, 2, attention_rank=4),
        ((2, 3, 5), (2, 4, 7)),
        {"X": 5, "Y": 7, "G": 2, "A": 4, "K": 6},
    ),
    "GatedGraph": Row(layers.GatedGraph, ((2, 3, 5),), {"F": 5}),
    "FiLM": Row(layers.FiLM, (MAP, TEXT), {"F": 7, "C": 3}),
    "TextGate": Row(
        lambda: layers.TextGate(2),
        ((2, 4, 9), TEXT),
        {"C": 9, "T": 7, "u": 4},
    ),
    "TextConvolution": Row(
        lambda: layers.TextConvolution(4, 2),
        (MAP, TEXT),
        {"T": 7, "k": 2, "C": 3, "F": 4},
    ),
    "LingUNet": Row(
        lambda: layers.LingUNet(4, depth=2, kernel_size=3),
        (MAP, (2, 6)),
        {"k": 3, "F": 4, "C": 3, "m": 2, "T": 6},
    ),
    "LocalFullyConnectedFusion": Row(
        lambda: layers.LocalFullyConnectedFusion([4, 6, 5]),
        (MAP, TEXT),
        {"C": 3, "T": 7, "f": (4, 6, 5)},
    ),
    "LogBilinear": Row(
        lambda: layers.LogBilinear(9, 4),
        ((2, 3), (2, 5)),
        {"V": 9, "D": 4, "P": 3, "M": 5},
    ),
    "LogBilinear alone": Row(
        lambda: layers.LogBilinear(9, 4),
        ((2, 3),),
        {"V": 9, "D": 4, "P": 3, "M": 0},
    ),
    "FactoredLogBilinear": Row(
        lambda: layers.FactoredLogBilinear(9, 4, factors=6),
        ((2, 3), (2, 5)),
        {"F": 6, "D": 4, "V": 9, "M": 5, "P": 3},
    ),
}


def table():
    """For each layer of the table its equation and its weights."""
    found = {}
    rows = pages.table(pages.ROOT / "docs/layers.md", "All layers")
    for first, *cells in rows:
        if not pages.names(first):
            continue
        equation, weights = cells[1], cells[-1]
        # "`LocallyConnected1D`, `2D`, `3D`" shortens the names of three.
        whole, *others = pages.names(first)
        stem = whole.removesuffix("1D")
        named = [whole, *(x if x[0].isupper() else stem + x for x in others)]
        formulas = pages.names(weights)
        if len(formulas) < len(named):
            formulas *= len(named)
        for name, formula in zip(named, formulas, strict=True):
            assert name not in found
            found[name] = equation, formula
    return found


TABLE = table()


def built(row):
    """The layer after a call; its shapes are of the arguments, in order."""
    layer = row.make()
    arguments = [
        [np.ones(each, "float32") for each in shape]
        if isinstance(shape, list)
        else np.ones(shape, "float32")
        for shape in row.shapes
    ]
    layer(*arguments)
    return layer


def trainable(layer):
    return sum(math.prod(w.shape) for w in layer.trainable_weights)


def test_the_table_holds_every_layer():
    assert sorted(TABLE) == sorted(layers.__all__)
    assert {name.split()[0] for name in ROWS} == set(layers.__all__)


@pytest.mark.parametrize("name", ROWS)
def test_weights_are_as_many_as_the_table_says(name):
    row, (_, formula) = ROWS[name], TABLE[name.split()[0]]
    layer = built(row)
    count = trainable(layer)
    if isinstance(layer, layers.Refiner):
        count -= trainable(layer.fusion)
    assert eval(formula, {"prod": math.prod, **row.letters}) == count


@pytest.mark.parametrize("name", ROWS)
def test_a_bias_of_the_table_is_one_of_the_layer(name):
    equation, _ = TABLE[name.split()[0]]
    layer = built(ROWS[name])
    ends = [re.split("[/_]", w.path)[-1] for w in layer.weights]
    assert ("+ b" not in equation) or "bias" in ends
