from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_built
from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.argument_validation import check_vector
from keras_fusion.layers.log_bilinear_context import beside_positions
from keras_fusion.layers.log_bilinear_context import check_context
from keras_fusion.layers.log_bilinear_context import predict_embedding
from keras_fusion.layers.log_bilinear_context import to_indices
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class LogBilinear(keras.layers.Layer):
    """Scores every word as the next one, given the words before and an image.

    The embeddings of the context words, each through a matrix of its position,
    add up to a prediction of the next word's embedding; a word scores by its
    agreement with that prediction. The vector of another modality, such as
    image features, may add its own share:

        r = sum over p of C[p] R[w[p]]  +  M x
        logits[w] = r . R[w] + b[w]

    `R`, the one table of embeddings, serves for reading and for scoring. `C`
    is `context_kernel`, `M` is `modality_kernel` (both are kept transposed,
    as kernels of dense layers are), and without the second argument the term
    `M x` is left out: a language model of text alone. The softmax of the
    logits is the distribution of the next word; train with
    `SparseCategoricalCrossentropy(from_logits=True)`.

    The image shifts the logits by an amount that does not depend on the
    context. Where the words in question depend on both together, use
    `FactoredLogBilinear`.

    To score many captions against many images, encode each caption and each
    image once: the codes of `encode_context` and `encode_modality`, both of
    width `embedding_size`, broadcast against each other in `logits`.

    With V words, D embedding features, P context words and M features of the
    modality, the layer has `V * D + P * D**2 + V` weights, and `D * M` more
    with a modality.

    Args:
        vocabulary_size: Integer, number of words V.
        embedding_size: Integer, width D of the embeddings.

    Call arguments:
        context: Tensor of word indices, the words before the one to predict.
        modality: Optional tensor, the vector of the other modality.

    Input shape:
        `context`: `(batch, ..., words)`; axes between belong to positions of
        one text, which share the modality. `modality`: `(batch, features)`.

    Output shape:
        `(batch, ..., vocabulary_size)`.

    Raises:
        ValueError: If the context has no axis of words, if the modality is not
            a vector or was left out when the layer was built, if widths are
            unknown, or if a size is under 1.

    Example:

    >>> layer = keras_fusion.layers.LogBilinear(17, 16)
    >>> context, image = np.ones((2, 5), "int32"), keras.ops.ones((2, 12))
    >>> tuple(layer(context, image).shape), layer.count_params()
    ((2, 17), 1761)

    Reference:

    - [Mnih and Hinton, 2007](https://doi.org/10.1145/1273496.1273577), the
      log-bilinear language model.
    - [Kiros et al., 2014](https://proceedings.mlr.press/v32/kiros14.html), its
      modality-biased form, MLBL-B.
    """

    def __init__(
        self, vocabulary_size: int, embedding_size: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_sizes(
            vocabulary_size=vocabulary_size, embedding_size=embedding_size
        )
        self.vocabulary_size = int(vocabulary_size)
        self.embedding_size = int(embedding_size)

    def build(
        self, context_shape: Shape, modality_shape: Shape | None = None
    ) -> None:
        positions = check_context(self, context_shape)
        width = self.embedding_size
        self.embeddings = self.add_weight(
            shape=(self.vocabulary_size, width),
            initializer="glorot_uniform",
            name="embeddings",
        )
        self.context_kernel = self.add_weight(
            shape=(positions, width, width),
            initializer="glorot_uniform",
            name="context_kernel",
        )
        self.modality_kernel = None
        if modality_shape is not None:
            self.modality_kernel = self.add_weight(
                shape=(check_vector(self, modality_shape, "modality"), width),
                initializer="glorot_uniform",
                name="modality_kernel",
            )
        self.bias = self.add_weight(
            shape=(self.vocabulary_size,), initializer="zeros", name="bias"
        )

    def call(self, context: Tensor, modality: Tensor | None = None) -> Tensor:
        context_code = self.encode_context(context)
        if modality is None:
            return self.logits(context_code)
        modality_code = self.encode_modality(modality)
        return self.logits(
            context_code, beside_positions(modality_code, context)
        )

    def encode_context(self, context: Tensor) -> Tensor:
        """Returns the context's share of the predicted embedding."""
        check_built(self, "encode_context")
        context = to_indices(self, context)
        embedded = ops.take(self.embeddings, context, axis=0)
        return predict_embedding(embedded, self.context_kernel)

    def encode_modality(self, modality: Tensor) -> Tensor:
        """Returns the modality's share of the predicted embedding."""
        check_built(self, "encode_modality")
        if self.modality_kernel is None:
            raise ValueError(
                f"`modality` of {self.name} must be None, as the layer was "
                f"built for text alone. Received: modality={modality}. "
                "Pass one at the first call too."
            )
        return ops.matmul(modality, self.modality_kernel)

    def logits(
        self, context_code: Tensor, modality_code: Tensor | None = None
    ) -> Tensor:
        """Scores all words by the codes of a context and of a modality."""
        code = context_code
        if modality_code is not None:
            code = context_code + modality_code
        scores = ops.matmul(code, ops.transpose(self.embeddings))
        return scores + self.bias

    def compute_output_shape(
        self, context_shape: Shape, modality_shape: Shape | None = None
    ) -> Shape:
        return (*context_shape[:-1], self.vocabulary_size)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_size": self.embedding_size,
        }
