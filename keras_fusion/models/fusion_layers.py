"""From a vector for each modality to one, each way a layer."""

import dataclasses
from collections.abc import Callable

import keras

from keras_fusion import layers
from keras_fusion.types import Tensor

# Features of a modality before their products are counted one by one.
TENSOR_FEATURES = 8
# A sketch has to be larger than what it is brought to.
SKETCH = 16


@dataclasses.dataclass(frozen=True)
class FusionLayer:
    """One of the ways to fuse vectors of several modalities into one.

    `keras_fusion.models.FUSION_LAYERS` holds them all by name.

    Attributes:
        name: Its key.
        description: What happens, in one line.
        make: Function from the widths of the modalities' vectors, in order,
            and the width of the fused vector to a layer, or model, that is
            called with their list. It can be given to `layers.Refiner`.

    Example:

    >>> fusion = keras_fusion.models.FUSION_LAYERS["gated"].make([6, 4], 5)
    >>> tuple(fusion([keras.ops.ones((2, 6)), keras.ops.ones((2, 4))]).shape)
    (2, 5)
    """

    name: str
    description: str
    make: Callable[[list[int], int], keras.layers.Layer]


def _model(
    widths: list[int], fuse: Callable[[list[Tensor]], Tensor]
) -> keras.Model:
    inputs = [keras.Input((width,)) for width in widths]
    return keras.Model(inputs, fuse(inputs), name="fusion")


def _concat(widths: list[int], units: int) -> keras.layers.Layer:
    dense = keras.layers.Dense(units, activation="relu")
    return _model(widths, lambda xs: dense(keras.layers.Concatenate()(xs)))


def _projected(
    widths: list[int], units: int, fusion: keras.layers.Layer
) -> keras.layers.Layer:
    """The same fusion of projections to one width."""
    dense = [keras.layers.Dense(units) for _ in widths]
    return _model(
        widths,
        lambda xs: fusion([d(x) for d, x in zip(dense, xs, strict=True)]),
    )


def _mean(widths: list[int], units: int) -> keras.layers.Layer:
    return _projected(widths, units, keras.layers.Average())


def _locally_connected(widths: list[int], units: int) -> keras.layers.Layer:
    return _projected(widths, units, layers.LocallyConnectedFusion())


def _tensor(widths: list[int], units: int) -> keras.layers.Layer:
    return _projected(widths, TENSOR_FEATURES, layers.TensorFusion(units))


def _compact_bilinear(widths: list[int], units: int) -> keras.layers.Layer:
    sketch = layers.CompactBilinearPooling(SKETCH * units, seed=0)
    dense = keras.layers.Dense(units)
    return _model(widths, lambda xs: dense(sketch(xs)))


def _heads(units: int) -> int:
    return 4 if units % 4 == 0 else 1


FUSION_LAYERS: dict[str, FusionLayer] = {
    fusion.name: fusion
    for fusion in (
        FusionLayer(
            "concat", "vectors side by side go through a dense layer", _concat
        ),
        FusionLayer("mean", "projections of all vectors are averaged", _mean),
        FusionLayer(
            "locally_connected",
            "projections are added with a weight for each channel of each",
            _locally_connected,
        ),
        FusionLayer(
            "gated",
            "gates that see all vectors weigh them unit by unit",
            lambda widths, units: layers.GatedMultimodalUnit(units),
        ),
        FusionLayer(
            "tensor",
            "every feature meets every other, of a few for each vector",
            _tensor,
        ),
        FusionLayer(
            "low_rank_tensor",
            "the same of all features, by a few products of factors",
            lambda widths, units: layers.LowRankTensorFusion(units),
        ),
        FusionLayer(
            "low_rank_bilinear",
            "projections are multiplied, and added by a shortcut",
            lambda widths, units: layers.LowRankBilinearPooling(
                units, rank=units, shortcut=True
            ),
        ),
        FusionLayer(
            "factorized_bilinear",
            "products of projections are summed in windows",
            lambda widths, units: layers.FactorizedBilinearPooling(units),
        ),
        FusionLayer(
            "compact_bilinear",
            "the outer product is sketched at random",
            _compact_bilinear,
        ),
        FusionLayer(
            "block_term",
            "blocks of projections are multiplied by cores of low rank",
            lambda widths, units: layers.BlockTermFusion(
                units, projection_units=units, num_blocks=4, rank=5
            ),
        ),
        FusionLayer(
            "transformer",
            "vectors attend to each other, and a token gathers them",
            lambda widths, units: layers.TransformerFusion(
                units, num_heads=_heads(units), num_blocks=1, dropout=0.1
            ),
        ),
    )
}
