import math
from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.layers.argument_validation import check_ndim
from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.argument_validation import int_or_none
from keras_fusion.layers.precision import at_least_float32
from keras_fusion.layers.precision import cast_within_range
from keras_fusion.layers.query_chunks import map_queries
from keras_fusion.types import Activation
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class BilinearAttention(keras.layers.Layer):
    """Pools a map once for each query, where low-rank bilinear scores are high.

    Queries are embeddings of categories ("semantic decoupling") or of a text;
    `f[i]` is the feature of the map at position `i`, `x[c]` is query `c`:

        h[c, i] = act((U' f[i]) * (V' x[c]))
        scores[c, i] = p' h[c, i]
        weights[c] = softmax of scores[c] over the positions
        output[c] = sum over i of weights[c, i] * f[i]

    The published joint feature `P' h + b`, scored by a dense layer, is the
    same function: without an activation between them, `p = P w`, and every
    bias drops out of the softmax. `hidden_units` and `out_activation` put
    that activation in, so that the million weights of `P` matter:

        scores[c, i] = p' out_act(P' h[c, i] + b)

    With several glimpses `p` is a matrix: every glimpse has a softmax of its
    own, and the pooled features lie side by side. With `V = 0` the layer is
    global average pooling.

    The tensor `h` is large: positions x queries x rank for every sample. It is
    made for as many queries at a time as `memory_limit` allows, one where the
    number of positions or queries is unknown, and made again in the backward
    pass instead of kept. With `activate_product=False` and no hidden units it
    is never made, since the scores are then a matrix product.

    With F features of the map, X of the queries, G glimpses and d2 hidden
    units, the layer has `(F + X) * rank + rank * G` weights, or
    `(F + X) * rank + (rank + 1 + G) * d2`.

    Args:
        rank: Integer, width of the projections `U` and `V`.
        num_glimpses: Integer, attention maps for each query. Defaults to `1`.
        activation: Activation function. Defaults to `"tanh"`.
        activate_product: Boolean. Whether the product is activated, or each
            projection before it. Defaults to `True`.
        hidden_units: Integer or `None`, width of `P`. Defaults to `None`.
        out_activation: Activation function behind `P`, required with
            `hidden_units`. Defaults to `None`.
        memory_limit: Number of MiB that `h` may take for each sample, or
            `None` for no limit. Defaults to `32`.

    Call arguments:
        query: Tensor, the queries; one query a sample without that axis.
            A batch of 1 serves all samples.
        value: Tensor, the map.
        value_mask: Boolean tensor, false at positions that get no weight;
            without any valid position the output is zero.
        return_attention_scores: Boolean. Whether to return the weights too.

    Input shape:
        `query`: `(batch, queries, features)` or `(batch, features)`.
        `value`: `(batch, ..., features)` with any number of position axes.
        `value_mask`: `(batch, ...)`, as `value` without features.

    Output shape:
        `(batch, queries, num_glimpses * features)`, without `queries` where
        the query has none. The weights:
        `(batch, queries, num_glimpses, ...)`, likewise.

    Raises:
        ValueError: If a tensor has too few axes, if the features are unknown,
            or if only one of `hidden_units` and `out_activation` is given.

    Example:

    >>> layer = keras_fusion.layers.BilinearAttention(rank=16)
    >>> labels = keras.random.normal((1, 80, 10), seed=0)
    >>> maps = keras.random.normal((2, 9, 9, 32), seed=0)
    >>> pooled, weights = layer(labels, maps, return_attention_scores=True)
    >>> tuple(pooled.shape), tuple(weights.shape)
    ((2, 80, 32), (2, 80, 1, 9, 9))

    Reference:

    - [Chen et al., 2019](https://arxiv.org/abs/1908.07325), semantic
      decoupling.
    - [Kim et al., 2017](https://arxiv.org/abs/1610.04325), equations 8 and 9,
      with `activate_product=False` and several glimpses.
    """

    def __init__(
        self,
        rank: int,
        num_glimpses: int = 1,
        activation: Activation = "tanh",
        activate_product: bool = True,
        hidden_units: int | None = None,
        out_activation: Activation = None,
        memory_limit: float | None = 32,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_sizes(rank=rank, num_glimpses=num_glimpses)
        if (hidden_units is None) != (out_activation is None):
            raise ValueError(
                "`hidden_units` and `out_activation` must be given together: "
                "linear hidden units would not change the attention. Received: "
                f"hidden_units={hidden_units}, out_activation={out_activation}"
            )
        if hidden_units is not None:
            check_sizes(hidden_units=hidden_units)
        self.rank = int(rank)
        self.num_glimpses = int(num_glimpses)
        self.activation = keras.activations.get(activation)
        self.activate_product = activate_product
        self.hidden_units = int_or_none(hidden_units)
        self.out_activation: Any = None
        if out_activation is not None:
            self.out_activation = keras.activations.get(out_activation)
        self.memory_limit = (
            None if memory_limit is None else float(memory_limit)
        )
        self.supports_masking = True

    def build(self, query_shape: Shape, value_shape: Shape) -> None:
        check_ndim(self, query_shape, 2, 3, "query")
        check_ndim(self, value_shape, 3, name="value")
        kernels = {
            "value_kernel": (
                check_channels(self, value_shape, -1, "value"),
                self.rank,
            ),
            "query_kernel": (
                check_channels(self, query_shape, -1, "query"),
                self.rank,
            ),
        }
        width = self.rank
        if self.hidden_units is not None:
            width = self.hidden_units
            kernels["hidden_kernel"] = (self.rank, width)
            self.hidden_bias = self.add_weight(
                shape=(width,), initializer="zeros", name="hidden_bias"
            )
        kernels["score_kernel"] = (width, self.num_glimpses)
        for name, shape in kernels.items():
            kernel = self.add_weight(
                shape=shape, initializer="glorot_uniform", name=name
            )
            setattr(self, name, kernel)

    def call(
        self,
        query: Tensor,
        value: Tensor,
        value_mask: Tensor | None = None,
        return_attention_scores: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        single = len(query.shape) == 2
        queries = ops.expand_dims(query, 1) if single else query
        batch, *grid, features = ops.shape(value)
        positions = math.prod(grid)
        cells = ops.reshape(value, (batch, positions, features))
        scores = self._scores(
            ops.matmul(queries, self.query_kernel),
            ops.matmul(cells, self.value_kernel),
            self._queries_at_once(queries.shape[1], value.shape[1:-1]),
        )
        weights = self._softmax(scores, value_mask)

        # Maps of all queries and glimpses, one below the other.
        count = ops.shape(queries)[1]
        rows = (batch, count * self.num_glimpses, positions)
        pooled = ops.matmul(ops.reshape(weights, rows), cells)
        axes = (batch,) if single else (batch, count)
        pooled = ops.reshape(pooled, (*axes, self.num_glimpses * features))
        # Keras multiplies matrices of float64 in float32 on PyTorch.
        pooled = ops.cast(pooled, self.compute_dtype)
        if not return_attention_scores:
            return pooled
        maps = ops.reshape(weights, (*axes, self.num_glimpses, *grid))
        return pooled, maps

    def _queries_at_once(self, queries: int | None, grid: Shape) -> int | None:
        """How many queries to score at a time, `None` for all of them."""
        if self.memory_limit is None:
            return None
        if queries is None or None in grid:
            return 1
        width = max(self.rank, self.hidden_units or 0)
        bytes_a_number = int(self.compute_dtype[-2:]) // 8
        bytes_a_query = max(1, math.prod(grid)) * width * bytes_a_number
        at_once = max(1, int(self.memory_limit * 2**20 // bytes_a_query))
        return None if at_once >= queries else at_once

    def _scores(
        self, query: Tensor, value: Tensor, at_once: int | None
    ) -> Tensor:
        """Scores of shape `(batch, queries, glimpses, positions)`."""
        if not self.activate_product:
            query, value = self.activation(query), self.activation(value)
            if self.hidden_units is None:
                return self._linear_scores(query, value)
        weights = [self.score_kernel]
        if self.hidden_units is not None:
            weights += [self.hidden_kernel, self.hidden_bias]
        # Their values: variables themselves would, in chunks that TensorFlow
        # runs eagerly, get their gradient twice.
        shared = [value, *map(ops.copy, weights)]
        if at_once is None:
            return self._product_scores(query, *shared)
        return map_queries(self._product_scores, query, at_once, *shared)

    def _linear_scores(self, query: Tensor, value: Tensor) -> Tensor:
        batch, count, rank = ops.shape(query)
        rows = (batch, count * self.num_glimpses, rank)
        weighted = ops.expand_dims(query, 2) * ops.transpose(self.score_kernel)
        scores = ops.matmul(
            ops.reshape(weighted, rows), ops.transpose(value, (0, 2, 1))
        )
        batch, _, positions = ops.shape(scores)
        return ops.reshape(scores, (batch, count, self.num_glimpses, positions))

    def _product_scores(
        self,
        query: Tensor,
        value: Tensor,
        score_kernel: Tensor,
        *hidden: Tensor,
    ) -> Tensor:
        # (batch, queries, positions, rank)
        product = ops.expand_dims(query, 2) * ops.expand_dims(value, 1)
        product = cast_within_range(product, self.compute_dtype)
        if self.activate_product:
            product = self.activation(product)
        if hidden:
            kernel, bias = hidden
            joint = _times(product, kernel) + bias
            product = self.out_activation(
                cast_within_range(joint, self.compute_dtype)
            )
        scores = _times(product, score_kernel)
        return ops.transpose(scores, (0, 1, 3, 2))

    def _softmax(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        wide = at_least_float32(self.compute_dtype)
        scores = cast_within_range(scores, self.compute_dtype)
        scores = ops.cast(scores, wide)
        if mask is None:
            return ops.cast(ops.softmax(scores), self.compute_dtype)
        positions = ops.shape(scores)[-1]
        mask = ops.cast(mask, "bool")
        mask = ops.reshape(mask, (ops.shape(mask)[0], 1, 1, positions))
        weights = ops.softmax(ops.where(mask, scores, -1e9))
        # All positions are equal where none is valid.
        weights = ops.where(mask, weights, 0.0)
        return ops.cast(weights, self.compute_dtype)

    def compute_output_spec(
        self,
        query: Tensor,
        value: Tensor,
        value_mask: Tensor | None = None,
        return_attention_scores: bool = False,
    ) -> Any:
        output_shape = self.compute_output_shape(query.shape, value.shape)
        pooled = keras.KerasTensor(output_shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return pooled
        maps_shape = (*output_shape[:-1], self.num_glimpses, *value.shape[1:-1])
        return pooled, keras.KerasTensor(maps_shape, dtype=self.compute_dtype)

    def compute_output_shape(
        self, query_shape: Shape, value_shape: Shape
    ) -> Shape:
        features = self.num_glimpses * value_shape[-1]
        return (value_shape[0], *query_shape[1:-1], features)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rank": self.rank,
            "num_glimpses": self.num_glimpses,
            "activation": keras.activations.serialize(self.activation),
            "activate_product": self.activate_product,
            "hidden_units": self.hidden_units,
            "out_activation": self.out_activation
            and keras.activations.serialize(self.out_activation),
            "memory_limit": self.memory_limit,
        }


def _times(tensor: Tensor, kernel: Tensor) -> Tensor:
    # One matrix product; broadcasting `matmul` would, for its gradient, make
    # a kernel for each sample and query.
    return ops.tensordot(tensor, kernel, axes=1)
