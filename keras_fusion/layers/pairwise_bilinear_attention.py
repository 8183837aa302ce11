from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.layers.argument_validation import check_ndim
from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.argument_validation import int_or_none
from keras_fusion.layers.built_dense import built_dense
from keras_fusion.layers.precision import at_least_float32
from keras_fusion.layers.precision import cast_within_range
from keras_fusion.layers.precision import policy_behind_product
from keras_fusion.types import Activation
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class PairwiseBilinearAttention(keras.layers.Layer):
    """Attends over all pairs of two sequences and adds what they have jointly.

    Every glimpse has one softmax over all pairs of a query token `x[i]`, such
    as a word, and a value token `y[j]`, such as a region. It weighs a bilinear
    feature of each pair, and what comes of it is added to every query token,
    before the next glimpse:

        scores[g, i, j] = p[g]' (act(U' x[i]) * act(V' y[j]))
        weights[g] = softmax of scores[g] over all pairs (i, j)
        f = sum over i, j of weights[g, i, j]
            * act(U[g]' x[i]) * act(V[g]' y[j])
        x[i] = x[i] + P[g]' f + c[g]                   for the next glimpse

    All scores come from the original `x`. The projections `U`, `V`, `U[g]`
    and `V[g]` have biases. This layer relates two sequences; to pool a map for
    each of several queries on their own, use `BilinearAttention`.

    With X and Y features, G glimpses, rank K and attention rank A, the layer
    has `(X + Y + 2 + G) * A + G * ((X + Y + 2) * K + (K + 1) * X)` weights.

    Args:
        rank: Integer, width of the bilinear features `f`.
        num_glimpses: Integer. Defaults to `8`, as published.
        attention_rank: Integer, width of `U` and `V`. Defaults to `3 * rank`,
            as published.
        activation: Activation function. Defaults to `"relu"`.

    Call arguments:
        query: Tensor, the sequence that is refined.
        value: Tensor, the other sequence.
        query_mask: Boolean tensor, false at query tokens without weight.
        value_mask: Boolean tensor, false at value tokens without weight.
        return_attention_scores: Boolean. Whether to return the weights too.

    Input shape:
        `query`: `(batch, queries, features)`, masked by `(batch, queries)`;
        `value`: `(batch, values, features)`, masked by `(batch, values)`.

    Output shape:
        That of `query`. The weights: `(batch, num_glimpses, queries, values)`.

    Raises:
        ValueError: If a tensor does not have three axes, if the features are
            unknown, or if a size is under 1.

    Example:

    >>> layer = keras_fusion.layers.PairwiseBilinearAttention(
    ...     rank=16, num_glimpses=2
    ... )
    >>> words = keras.random.normal((2, 5, 12), seed=0)
    >>> regions = keras.random.normal((2, 9, 20), seed=0)
    >>> refined, weights = layer(words, regions, return_attention_scores=True)
    >>> tuple(refined.shape), tuple(weights.shape)
    ((2, 5, 12), (2, 2, 5, 9))

    Reference:

    - [Kim et al., 2018](https://arxiv.org/abs/1805.07932), bilinear attention
      networks with residual learning, in the form of its released code
      without weight normalization, dropout and the counting module.
    """

    def __init__(
        self,
        rank: int,
        num_glimpses: int = 8,
        attention_rank: int | None = None,
        activation: Activation = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_sizes(rank=rank, num_glimpses=num_glimpses)
        if attention_rank is not None:
            check_sizes(attention_rank=attention_rank)
        self.rank = int(rank)
        self.num_glimpses = int(num_glimpses)
        self.attention_rank = int_or_none(attention_rank)
        self.activation = keras.activations.get(activation)
        self.supports_masking = True

    def build(self, query_shape: Shape, value_shape: Shape) -> None:
        check_ndim(self, query_shape, 3, 3, "query")
        check_ndim(self, value_shape, 3, 3, "value")
        query_width = check_channels(self, query_shape, -1, "query")
        value_width = check_channels(self, value_shape, -1, "value")
        attention_rank = self.attention_rank or 3 * self.rank
        glimpses = range(self.num_glimpses)
        behind_product = policy_behind_product(self.dtype_policy)
        self.query_attention = built_dense(
            self,
            "query_attention",
            attention_rank,
            query_width,
            activation=self.activation,
        )
        self.value_attention = built_dense(
            self,
            "value_attention",
            attention_rank,
            value_width,
            activation=self.activation,
        )
        self.score_kernel = self.add_weight(
            shape=(self.num_glimpses, attention_rank),
            initializer="glorot_uniform",
            name="score_kernel",
        )
        self.query_projections = [
            built_dense(
                self,
                f"query_{g}",
                self.rank,
                query_width,
                activation=self.activation,
                dtype=behind_product,
            )
            for g in glimpses
        ]
        self.value_projections = [
            built_dense(
                self,
                f"value_{g}",
                self.rank,
                value_width,
                activation=self.activation,
            )
            for g in glimpses
        ]
        self.residuals = [
            built_dense(
                self,
                f"residual_{g}",
                query_width,
                self.rank,
                dtype=behind_product,
            )
            for g in glimpses
        ]

    def call(
        self,
        query: Tensor,
        value: Tensor,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        return_attention_scores: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        weights = self._softmax(
            self._scores(query, value), query_mask, value_mask
        )
        # Products of modalities overflow half precision, more so from glimpse
        # to glimpse.
        wide = at_least_float32(self.compute_dtype)
        query = ops.cast(query, wide)
        for g in range(self.num_glimpses):
            # (batch, queries, rank): what every query token attends to
            attended = ops.matmul(
                weights[:, g], self.value_projections[g](value)
            )
            joint = ops.sum(
                ops.cast(self.query_projections[g](query), wide)
                * ops.cast(attended, wide),
                axis=1,
                keepdims=True,
            )
            query = query + ops.cast(self.residuals[g](joint), wide)
        query = cast_within_range(query, self.compute_dtype)
        return (query, weights) if return_attention_scores else query

    def _scores(self, query: Tensor, value: Tensor) -> Tensor:
        """Scores of shape `(batch, glimpses, queries, values)`."""
        wide = at_least_float32(self.compute_dtype)
        return ops.einsum(
            "bik,gk,bjk->bgij",
            ops.cast(self.query_attention(query), wide),
            ops.cast(self.score_kernel, wide),
            ops.cast(self.value_attention(value), wide),
        )

    def _softmax(
        self,
        scores: Tensor,
        query_mask: Tensor | None,
        value_mask: Tensor | None,
    ) -> Tensor:
        valid = None
        if query_mask is not None:
            valid = ops.cast(query_mask, "bool")[:, None, :, None]
        if value_mask is not None:
            columns = ops.cast(value_mask, "bool")[:, None, None, :]
            valid = columns if valid is None else valid & columns
        if valid is not None:
            scores = ops.where(valid, scores, -1e9)
        total = ops.logsumexp(scores, axis=(2, 3), keepdims=True)
        weights = ops.exp(scores - total)
        if valid is not None:
            # All pairs are equal where none is valid.
            weights = ops.where(valid, weights, 0.0)
        return ops.cast(weights, self.compute_dtype)

    def compute_output_spec(
        self,
        query: Tensor,
        value: Tensor,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        return_attention_scores: bool = False,
    ) -> Any:
        refined = keras.KerasTensor(query.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return refined
        shape = (
            query.shape[0],
            self.num_glimpses,
            query.shape[1],
            value.shape[1],
        )
        return refined, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def compute_output_shape(
        self, query_shape: Shape, value_shape: Shape
    ) -> Shape:
        return tuple(query_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rank": self.rank,
            "num_glimpses": self.num_glimpses,
            "attention_rank": self.attention_rank,
            "activation": keras.activations.serialize(self.activation),
        }
