from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from keras_fusion.layers import GatedGraph
from keras_fusion.models.argument_checks import check_channels_last
from keras_fusion.models.argument_checks import check_choice
from keras_fusion.models.category_layers import CategoryClassifier
from keras_fusion.models.category_layers import CategoryQueries
from keras_fusion.models.category_pooling import CATEGORY_POOLINGS
from keras_fusion.models.category_pooling import CategoryPoolingSettings
from keras_fusion.types import Tensor

STDDEV = 0.4


def semantic_attention(
    backbones: Mapping[str, keras.Model],
    num_categories: int = 80,
    pooling: str = "semantic_attention",
    word_vectors: np.ndarray | None = None,
    query_units: int = 300,
    rank: int = 1024,
    num_glimpses: int = 1,
    hidden_units: int | None = None,
    out_activation: str | None = None,
    adjacency: np.ndarray | None = None,
    graph_steps: int = 3,
    units: int = 2048,
    dropout: float = 0.0,
    name: str = "semantic_attention",
) -> keras.Model:
    """Says which of many categories an image shows, and where it looked.

    Each category has a query, the vector of its word or a learned one, and
    pools the map of the backbone where a bilinear score of query and cell is
    high ("semantic decoupling"). The pooled features `h0[c]` speak to each
    other along a graph ("semantic interaction"), and each category has a
    classifier of its own:

        h0 = BilinearAttention(queries, maps)
        h = GatedGraph(h0), with the adjacency of the labels
        o[c] = tanh(W [h[c]; h0[c]] + b)
        label[c] = w[c]' o[c] + v[c]

    Other ways to pool stand in `keras_fusion.models.CATEGORY_POOLINGS`. Those
    with features for each category have the graph too; the others have one
    dense classifier for all.

    The published model has maps of 9x9 cells of 2,048 features, GloVe vectors
    of 300 and the defaults. Its joint features are linear, `hidden_units=1024`
    and `out_activation="linear"`, which as `None` compute the same from fewer
    weights. This is 3,454,976 weights to attend (the published bias of the
    score, which the softmax drops, would be one more), 37,754,880 in the graph
    (gates with one bias where the published have two, 6,144 numbers), 8,390,656
    in `W` and `b`, and 163,920 in the classifiers of 80 categories.

    Args:
        backbones: Model of one image to a map `(batch, height, width,
            features)` with known sizes, by the name of its input. The maps of
            several are concatenated and must be of one size.
        num_categories: Integer.
        pooling: Name of a record of `CATEGORY_POOLINGS`.
        word_vectors: Array `(num_categories, features)`. They are not
            trained, but those of rows of NaN, which are learned. `None`
            learns all.
        query_units: Integer, width of the queries if all are learned.
        rank: Integer, width of the projections of the attention.
        num_glimpses: Integer, attention maps for each category; their mean is
            what comes out.
        hidden_units: Integer or `None`, see `BilinearAttention`.
        out_activation: Activation function behind them.
        adjacency: Array `(num_categories, num_categories)`, see
            `label_cooccurrence`; zeros if `None`.
        graph_steps: Integer, steps of the graph; 0 leaves it out.
        units: Integer, width of `o`.
        dropout: Float, share of `o` that is dropped in training.
        name: Name of the model.

    Returns:
        A functional `keras.Model` from the images, a dict, to `{"label": ...}`,
        logits `(batch, num_categories)`, and `"attention"`, where there are
        maps: `(batch, num_categories, height, width)`.

    Raises:
        ValueError: If there is no backbone, if maps have unknown or different
            sizes, if `pooling` is none of the above, or if `word_vectors` or
            `adjacency` have another shape.

    Example:

    >>> image = keras.Input((8, 8, 3))
    >>> maps = keras.layers.Conv2D(6, 3, strides=2, padding="same")(image)
    >>> model = keras_fusion.models.semantic_attention(
    ...     {"image": keras.Model(image, maps)},
    ...     num_categories=5,
    ...     query_units=4,
    ...     rank=8,
    ...     units=16,
    ... )
    >>> outputs = model({"image": np.zeros((2, 8, 8, 3))})
    >>> tuple(outputs["label"].shape), tuple(outputs["attention"].shape)
    ((2, 5), (2, 5, 4, 4))

    Reference:

    - [Chen et al., 2019](https://arxiv.org/abs/1908.07325)
    """
    check_channels_last("semantic_attention")
    check_choice("pooling", pooling, CATEGORY_POOLINGS)
    vectors = _checked_vectors(word_vectors, num_categories)
    inputs, maps = _maps(backbones)

    def queries(repeat: bool) -> Tensor:
        return _queries(maps, vectors, num_categories, query_units, repeat)

    how = CATEGORY_POOLINGS[pooling]
    settings = CategoryPoolingSettings(
        queries,
        num_categories,
        rank,
        num_glimpses,
        hidden_units,
        out_activation,
    )
    features, attention = how.pool(maps, settings)
    if how.per_category and graph_steps:
        features = _interaction(features, adjacency, graph_steps)
    x = keras.layers.Dense(units, activation="tanh", name="output")(features)
    if dropout:
        x = keras.layers.Dropout(dropout, name="head_dropout")(x)
    if how.per_category:
        scores = CategoryClassifier(dtype="float32", name="classifiers")(x)
    else:
        dense = keras.layers.Dense(
            num_categories, dtype="float32", name="classifiers"
        )
        by_cell = dense(x)
        scores = ops.mean(by_cell, axis=1)
        if by_cell.shape[1] > 1:
            attention = ops.reshape(
                ops.transpose(by_cell, (0, 2, 1)),
                (-1, num_categories, *maps.shape[1:3]),
            )
    last = keras.layers.Identity(dtype="float32", name="label")
    outputs = {"label": last(scores)}
    if attention is not None:
        outputs["attention"] = keras.layers.Identity(
            dtype="float32", name="attention"
        )(attention)
    return keras.Model(inputs, outputs, name=name)


def _maps(
    backbones: Mapping[str, keras.Model],
) -> tuple[dict[str, Tensor], Tensor]:
    """The images, and the maps of their backbones side by side."""
    if not backbones:
        raise ValueError("`backbones` must hold one model or more.")
    inputs, maps = {}, []
    for name, backbone in backbones.items():
        image = keras.Input(backbone.input_shape[1:], name=name)
        inputs[name] = image
        maps.append(backbone(image))
    shapes = [tuple(x.shape[1:]) for x in maps]
    grids = {shape[:-1] for shape in shapes}
    known = all(None not in shape and len(shape) == 3 for shape in shapes)
    if not known or len(grids) > 1:
        raise ValueError(
            "`backbones` must make maps (height, width, features) of one known "
            f"height and width. Received: shapes {shapes} of the maps of "
            f"{', '.join(backbones)}"
        )
    if len(maps) == 1:
        return inputs, maps[0]
    return inputs, keras.layers.Concatenate(name="maps")(maps)


def _checked_vectors(
    vectors: np.ndarray | None, num_categories: int
) -> np.ndarray | None:
    if vectors is None:
        return None
    vectors = np.asarray(vectors, "float32")
    if vectors.ndim != 2 or len(vectors) != num_categories:
        raise ValueError(
            "`word_vectors` must be of shape (num_categories, features), for "
            f"{num_categories} categories. Received: shape={vectors.shape}"
        )
    return vectors


def _queries(
    maps: Tensor,
    vectors: np.ndarray | None,
    num_categories: int,
    units: int,
    repeat: bool,
) -> Tensor:
    learned, stddev = np.arange(num_categories), STDDEV
    if vectors is not None:
        units = vectors.shape[1]
        known = np.isfinite(vectors).all(axis=1)
        learned = np.flatnonzero(~known)
        if known.any():
            stddev = float(vectors[known].std()) or STDDEV
    layer = CategoryQueries(
        num_categories,
        units,
        learned=learned.tolist(),
        stddev=stddev,
        repeat=repeat,
        name="queries",
    )
    queries = layer(maps)
    if vectors is not None and len(learned) < num_categories:
        given = vectors.copy()
        given[learned] = 0
        layer.given.assign(given)
    return queries


def _interaction(
    features: Tensor, adjacency: np.ndarray | None, steps: int
) -> Tensor:
    """What categories tell each other, and what they had before."""
    graph = GatedGraph(steps, name="graph")
    heard = graph(features)
    if adjacency is not None:
        expected = tuple(graph.adjacency.shape)
        if np.shape(adjacency) != expected:
            raise ValueError(
                f"`adjacency` must be of shape {expected}. "
                f"Received: shape={np.shape(adjacency)}"
            )
        graph.adjacency.assign(adjacency)
    return keras.layers.Concatenate(name="joint")([heard, features])
