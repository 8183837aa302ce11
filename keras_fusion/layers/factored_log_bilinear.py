from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fusion.layers.argument_validation import check_built
from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.argument_validation import check_vector
from keras_fusion.layers.log_bilinear_context import beside_positions
from keras_fusion.layers.log_bilinear_context import check_context
from keras_fusion.layers.log_bilinear_context import predict_embedding
from keras_fusion.layers.log_bilinear_context import to_indices
from keras_fusion.layers.precision import at_least_float32
from keras_fusion.layers.precision import cast_within_range
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class FactoredLogBilinear(keras.layers.Layer):
    """Scores the next word by embeddings that another modality gates.

    As in `LogBilinear`, the context and the modality predict the embedding
    of the next word. But the table that words are scored with depends on the
    modality: it is a sum of tables, one for each of its features, factored
    through F factors, which the modality switches on and off:

        E = Wfr' Wfh                               embeddings, read as context
        r = sum over p of C[p] E[:, w[p]]  +  M x
        f = (Wfr r) * (Wfx x)
        logits[w] = Wfh[:, w] . f + b[w]

    `Wfr` is `embedding_factors`, and the transposes of `Wfh` and `Wfx` are
    `word_factors` and `modality_factors`; `C` and `M` are `context_kernel` and
    `modality_kernel`, transposed too. The gates let words depend on context
    and image together, which the sum in `LogBilinear` cannot express; they
    learn in fewer epochs, with a smaller learning rate, and overfit sooner.

    Embeddings of words from elsewhere make the better start:
    `assign_embeddings` factors a table into `Wfr` and `Wfh`.

    To score many captions against many images, encode each caption and each
    image once: the codes of `encode_context`, of width F, and of
    `encode_modality`, of width 2 F, broadcast against each other in `logits`.

    With V words, D embedding features, P context words and M features of the
    modality, the layer has `F * (D + V + M) + P * D**2 + D * M + V` weights.

    Args:
        vocabulary_size: Integer, number of words V.
        embedding_size: Integer, width D of the embeddings.
        factors: Integer, number of factors F. Defaults to `50`, as in the
            released code.

    Call arguments:
        context: Tensor of word indices, the words before the one to predict.
        modality: Tensor, the vector of the other modality.

    Input shape:
        `context`: `(batch, ..., words)`; axes between belong to positions of
        one text, which share the modality. `modality`: `(batch, features)`.

    Output shape:
        `(batch, ..., vocabulary_size)`.

    Raises:
        ValueError: If the context has no axis of words, if the modality is not
            a vector, if widths are unknown, or if a size is under 1.

    Example:

    >>> layer = keras_fusion.layers.FactoredLogBilinear(17, 16, factors=24)
    >>> context, image = np.ones((2, 5), "int32"), keras.ops.ones((2, 12))
    >>> tuple(layer(context, image).shape), layer.count_params()
    ((2, 17), 2569)
    >>> layer.assign_embeddings(np.eye(17, 16))

    Reference:

    - [Kiros et al., 2014](https://proceedings.mlr.press/v32/kiros14.html), the
      factored three-way form, MLBL-F, equations 4 and 5.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int,
        factors: int = 50,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_sizes(
            vocabulary_size=vocabulary_size,
            embedding_size=embedding_size,
            factors=factors,
        )
        self.vocabulary_size = int(vocabulary_size)
        self.embedding_size = int(embedding_size)
        self.factors = int(factors)

    def build(self, context_shape: Shape, modality_shape: Shape) -> None:
        positions = check_context(self, context_shape)
        features = check_vector(self, modality_shape, "modality")
        width = self.embedding_size
        shapes = {
            "word_factors": (self.vocabulary_size, self.factors),
            "embedding_factors": (self.factors, width),
            "modality_factors": (features, self.factors),
            "context_kernel": (positions, width, width),
            "modality_kernel": (features, width),
        }
        for name, shape in shapes.items():
            weight = self.add_weight(
                shape=shape, initializer="glorot_uniform", name=name
            )
            setattr(self, name, weight)
        self.bias = self.add_weight(
            shape=(self.vocabulary_size,), initializer="zeros", name="bias"
        )

    def assign_embeddings(self, embeddings: np.ndarray) -> None:
        """Makes `E` equal to `embeddings`, `(vocabulary, embedding_size)`.

        Their singular value decomposition gives both factors equal shares.
        With fewer factors than its rank, `E` is the nearest table they can
        form.
        """
        check_built(self, "assign_embeddings")
        expected = (self.vocabulary_size, self.embedding_size)
        if np.shape(embeddings) != expected:
            raise ValueError(
                f"`embeddings` of {self.name} must be of shape {expected}, a "
                "row for each word. "
                f"Received: embeddings_shape={np.shape(embeddings)}. "
                "Cut or project the table to that width."
            )
        left, values, right = np.linalg.svd(embeddings, full_matrices=False)
        tiny = values.max() * max(embeddings.shape) * np.finfo("float32").eps
        rank = min(self.factors, np.count_nonzero(values > tiny))
        words = np.zeros(self.word_factors.shape)
        words[:, :rank] = left[:, :rank] * np.sqrt(values[:rank])
        # Factors that are left over keep this half of their values: two
        # halves of zeros would never get a gradient.
        widths = ops.convert_to_numpy(self.embedding_factors).copy()
        widths[:rank] = np.sqrt(values[:rank, None]) * right[:rank]
        self.word_factors.assign(words)
        self.embedding_factors.assign(widths)

    def call(self, context: Tensor, modality: Tensor) -> Tensor:
        modality_code = self.encode_modality(modality)
        return self.logits(
            self.encode_context(context),
            beside_positions(modality_code, context),
        )

    def encode_context(self, context: Tensor) -> Tensor:
        """Returns the factors of the context's share of the prediction."""
        check_built(self, "encode_context")
        context = to_indices(self, context)
        factors = ops.take(self.word_factors, context, axis=0)
        embedded = ops.matmul(factors, self.embedding_factors)
        return self._to_factors(
            predict_embedding(embedded, self.context_kernel)
        )

    def encode_modality(self, modality: Tensor) -> Tensor:
        """Returns the modality's gates and its factors, side by side."""
        check_built(self, "encode_modality")
        gates = ops.matmul(modality, self.modality_factors)
        share = ops.matmul(modality, self.modality_kernel)
        return ops.concatenate([gates, self._to_factors(share)], axis=-1)

    def _to_factors(self, embedding: Tensor) -> Tensor:
        return ops.matmul(embedding, ops.transpose(self.embedding_factors))

    def logits(self, context_code: Tensor, modality_code: Tensor) -> Tensor:
        """Scores all words by the codes of a context and of a modality."""
        gates, share = ops.split(modality_code, 2, axis=-1)
        # Products of modalities overflow half precision.
        wide = at_least_float32(self.compute_dtype)
        predicted = ops.cast(context_code + share, wide)
        factors = predicted * ops.cast(gates, wide)
        word_factors = ops.cast(self.word_factors, wide)
        scores = ops.matmul(factors, ops.transpose(word_factors))
        scores = scores + ops.cast(self.bias, wide)
        return cast_within_range(scores, self.compute_dtype)

    def compute_output_shape(
        self, context_shape: Shape, modality_shape: Shape
    ) -> Shape:
        return (*context_shape[:-1], self.vocabulary_size)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_size": self.embedding_size,
            "factors": self.factors,
        }
