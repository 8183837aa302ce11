"""From a map to features for categories, each way a function."""

import dataclasses
from collections.abc import Callable

import keras
from keras import ops

from keras_fusion import layers
from keras_fusion.types import Tensor

HEADS = 4


@dataclasses.dataclass(frozen=True)
class CategoryPoolingSettings:
    """What a pooling may ask for.

    Attributes:
        queries: Function from whether they are repeated for each sample to
            the categories' vectors, `(batch or 1, categories, units)`.
        num_categories: How many there are.
        rank: Width of projections.
        num_glimpses: Attention maps for each category.
        hidden_units: Of `layers.BilinearAttention`, with `out_activation`.
        out_activation: The same.
    """

    queries: Callable[[bool], Tensor]
    num_categories: int
    rank: int
    num_glimpses: int = 1
    hidden_units: int | None = None
    out_activation: str | None = None


Pool = Callable[[Tensor, CategoryPoolingSettings], tuple[Tensor, Tensor | None]]


@dataclasses.dataclass(frozen=True)
class CategoryPooling:
    """One of the ways in which `semantic_attention` pools a map.

    `keras_fusion.models.CATEGORY_POOLINGS` holds them all by name.

    Attributes:
        name: What `semantic_attention` takes as `pooling`.
        description: What happens, in one line.
        pool: Function from a map `(batch, height, width, features)` and
            `CategoryPoolingSettings` to features `(batch, n, features)` and
            attention maps `(batch, categories, height, width)`, or `None`.
        per_category: Whether `n` are the categories, each with a classifier
            of its own and a node of the graph. Else every classifier sees
            all `n`, and the mean of its scores counts; where they are the
            cells, these scores are the maps.
        has_maps: Whether the model says where each category was looked for.

    Example:

    >>> for pooling in keras_fusion.models.CATEGORY_POOLINGS.values():
    ...     print(pooling.name, pooling.per_category)
    semantic_attention True
    low_rank_attention True
    pairwise_attention True
    multi_head_attention True
    spatial_softmax True
    low_rank_bilinear True
    factorized_bilinear True
    block_term True
    compact_bilinear True
    global_average False
    global_maximum False
    class_activation False
    """

    name: str
    description: str
    pool: Pool
    per_category: bool = True
    has_maps: bool = True


def _cells(maps: Tensor) -> Tensor:
    height, width, features = maps.shape[1:]
    return keras.layers.Reshape((height * width, features))(maps)


def _as_maps(weights: Tensor, maps: Tensor) -> Tensor:
    """Weights (batch, categories, cells) on the grid of `maps`."""
    # No `Reshape`: Keras takes queries for cells in the symbolic shape of
    # what `MultiHeadAttention` returns.
    return ops.reshape(weights, (-1, weights.shape[1], *maps.shape[1:3]))


def semantic_attention(
    maps: Tensor, settings: CategoryPoolingSettings
) -> tuple[Tensor, Tensor | None]:
    return _bilinear_attention(maps, settings, True)


def low_rank_attention(
    maps: Tensor, settings: CategoryPoolingSettings
) -> tuple[Tensor, Tensor | None]:
    return _bilinear_attention(maps, settings, False)


def _bilinear_attention(
    maps: Tensor, settings: CategoryPoolingSettings, activate_product: bool
) -> tuple[Tensor, Tensor | None]:
    pooled, weights = layers.BilinearAttention(
        settings.rank,
        num_glimpses=settings.num_glimpses,
        activate_product=activate_product,
        hidden_units=settings.hidden_units,
        out_activation=settings.out_activation,
        name="pooling",
    )(settings.queries(False), maps, return_attention_scores=True)
    return pooled, ops.mean(weights, axis=2)


def pairwise_attention(
    maps: Tensor, settings: CategoryPoolingSettings
) -> tuple[Tensor, Tensor | None]:
    """One softmax over all pairs; a category that gets little of it is lost."""
    features, weights = layers.PairwiseBilinearAttention(
        settings.rank,
        num_glimpses=settings.num_glimpses,
        attention_rank=settings.rank,
        name="pooling",
    )(settings.queries(True), _cells(maps), return_attention_scores=True)
    return features, _as_maps(ops.mean(weights, axis=1), maps)


def multi_head_attention(
    maps: Tensor, settings: CategoryPoolingSettings
) -> tuple[Tensor, Tensor | None]:
    heads = HEADS if settings.rank % HEADS == 0 else 1
    cells = _cells(maps)
    features, weights = keras.layers.MultiHeadAttention(
        heads,
        settings.rank // heads,
        output_shape=maps.shape[-1],
        name="pooling",
    )(settings.queries(True), cells, return_attention_scores=True)
    return features, _as_maps(ops.mean(weights, axis=1), maps)


def spatial_softmax(
    maps: Tensor, settings: CategoryPoolingSettings
) -> tuple[Tensor, Tensor | None]:
    cells = _cells(maps)
    scores = keras.layers.Dense(
        settings.num_categories, use_bias=False, name="pooling"
    )(cells)
    weights = ops.transpose(ops.softmax(scores, axis=1), (0, 2, 1))
    return ops.matmul(weights, cells), _as_maps(weights, maps)


def global_average(
    maps: Tensor, settings: CategoryPoolingSettings
) -> tuple[Tensor, Tensor | None]:
    return ops.mean(_cells(maps), axis=1, keepdims=True), None


def global_maximum(
    maps: Tensor, settings: CategoryPoolingSettings
) -> tuple[Tensor, Tensor | None]:
    return ops.max(_cells(maps), axis=1, keepdims=True), None


def class_activation(
    maps: Tensor, settings: CategoryPoolingSettings
) -> tuple[Tensor, Tensor | None]:
    return _cells(maps), None


def _fused(make: Callable[[int, int], keras.layers.Layer]) -> Pool:
    """The mean of the map, fused with the vector of each category.

    `make` gets the features that are to come out, and the rank.
    """

    def pool(
        maps: Tensor, settings: CategoryPoolingSettings
    ) -> tuple[Tensor, Tensor | None]:
        count, features = settings.num_categories, maps.shape[-1]
        queries = settings.queries(True)
        pooled = ops.mean(_cells(maps), axis=1)
        pooled = ops.repeat(pooled[:, None], count, axis=1)
        # These layers take vectors, so every pair is a row.
        rows = [ops.reshape(x, (-1, x.shape[-1])) for x in (pooled, queries)]
        fused = make(features, settings.rank)(rows)
        return ops.reshape(fused, (-1, count, features)), None

    return pool


CATEGORY_POOLINGS: dict[str, CategoryPooling] = {
    pooling.name: pooling
    for pooling in (
        CategoryPooling(
            "semantic_attention",
            "each category attends to cells by a bilinear score, activated "
            "behind the product",
            semantic_attention,
        ),
        CategoryPooling(
            "low_rank_attention",
            "the same, activated before the product",
            low_rank_attention,
        ),
        CategoryPooling(
            "pairwise_attention",
            "one softmax over all pairs of categories and cells refines the "
            "categories' vectors",
            pairwise_attention,
        ),
        CategoryPooling(
            "multi_head_attention",
            "each category attends to cells by dot products in four heads",
            multi_head_attention,
        ),
        CategoryPooling(
            "spatial_softmax",
            "each category attends to cells by a linear score of its own",
            spatial_softmax,
        ),
        CategoryPooling(
            "low_rank_bilinear",
            "the mean of the map and each category's vector are projected "
            "and multiplied",
            _fused(
                lambda features, rank: layers.LowRankBilinearPooling(
                    features, rank=rank, name="pooling"
                )
            ),
            has_maps=False,
        ),
        CategoryPooling(
            "factorized_bilinear",
            "the same, and products are summed in windows",
            _fused(
                lambda features, rank: layers.FactorizedBilinearPooling(
                    features, dropout=0.0, name="pooling"
                )
            ),
            has_maps=False,
        ),
        CategoryPooling(
            "block_term",
            "the same, in blocks with cores of low rank",
            _fused(
                lambda features, rank: layers.BlockTermFusion(
                    features,
                    projection_units=rank,
                    num_blocks=min(4, rank),
                    rank=5,
                    name="pooling",
                )
            ),
            has_maps=False,
        ),
        CategoryPooling(
            "compact_bilinear",
            "their outer product is sketched at random",
            _fused(
                lambda features, rank: layers.CompactBilinearPooling(
                    features, seed=0, name="pooling"
                )
            ),
            has_maps=False,
        ),
        CategoryPooling(
            "global_average",
            "all categories see the mean of the map",
            global_average,
            per_category=False,
            has_maps=False,
        ),
        CategoryPooling(
            "global_maximum",
            "all categories see the largest value of each feature",
            global_maximum,
            per_category=False,
            has_maps=False,
        ),
        CategoryPooling(
            "class_activation",
            "every cell is classified, and the scores are averaged",
            class_activation,
            per_category=False,
        ),
    )
}
