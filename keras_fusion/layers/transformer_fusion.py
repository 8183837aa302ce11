import math
from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.layers.argument_validation import check_modalities
from keras_fusion.layers.argument_validation import check_multiple
from keras_fusion.layers.argument_validation import check_ndim
from keras_fusion.layers.argument_validation import check_presence
from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.argument_validation import int_or_none
from keras_fusion.layers.built_dense import built_dense
from keras_fusion.layers.modality_layer import ModalityLayer
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class TransformerFusion(ModalityLayer):
    """Lets the tokens of all modalities attend to each other, and sums up.

    A vector becomes one token, a sequence as many as it has elements, each by
    a projection of its modality, whose bias tells the modalities apart. A
    learned fusion token stands in front, and its state behind the last block
    is the output:

        t = concatenate(fusion token, W[m] x[m] + b[m] for all m)
        t = t + attention(norm(t))            } num_blocks times
        t = t + dense(gelu(dense(norm(t))))   }
        output = norm(t[0])

    The last block computes the fusion token alone, so that one block costs
    time proportional to the number of tokens. Positions within a sequence are
    not encoded: add them before. Choose it for sequences, for modalities that
    may be absent, and where there is much data.

    Where `presence` is 0, or the Keras mask of a sequence False, tokens
    are not attended to, whatever they hold; the fusion token always is.

    With S features in all N modalities together and expansion e, the layer has
    `(S + N + 3) * units` weights, and for each block
    `(4 + 2 * e) * units**2 + (5 + e) * units`.

    Args:
        units: Integer, width of tokens and output; a multiple of `num_heads`.
        num_heads: Integer, number of attention heads. Defaults to `4`.
        num_blocks: Integer, number of blocks. Defaults to `2`.
        expansion: Integer, width of the hidden dense layer of a block as a
            multiple of `units`. Defaults to `4`.
        dropout: Float between 0 and 1, the share dropped of what each half of
            a block adds. Defaults to `0`.
        seed: Integer, seed of the dropout. Defaults to `None`.

    Call arguments:
        inputs: List of N >= 2 tensors.
        presence: Optional mask, 0 or False where a modality of a sample is
            absent. Its values should be zeros.
        training: Boolean. Whether to drop out.

    Input shape:
        For each modality `(batch, features)` or `(batch, tokens, features)`,
        of any number of features; `presence`: `(batch, N)`.

    Output shape:
        `(batch, units)`.

    Raises:
        ValueError: If the inputs are not a list of two or more vectors or
            sequences, if their widths are unknown, or if an argument is out of
            its range.

    Example:

    >>> layer = keras_fusion.layers.TransformerFusion(8, num_blocks=1)
    >>> image, text = keras.ops.ones((2, 5)), keras.ops.ones((2, 7, 4))
    >>> tuple(layer([image, text]).shape), layer.count_params()
    ((2, 8), 952)
    >>> fused = layer([image, text], presence=np.array([[1, 1], [1, 0]]))

    Reference:

    - [Dosovitskiy et al., 2021](https://arxiv.org/abs/2010.11929), equations 1
      to 4, over the tokens of all modalities; attention without biases.
    """

    def __init__(
        self,
        units: int,
        num_heads: int = 4,
        num_blocks: int = 2,
        expansion: int = 4,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_sizes(
            units=units,
            num_heads=num_heads,
            num_blocks=num_blocks,
            expansion=expansion,
        )
        check_multiple("units", units, "num_heads", num_heads)
        self.units = int(units)
        self.num_heads = int(num_heads)
        self.num_blocks = int(num_blocks)
        self.expansion = int(expansion)
        self.dropout = dropout
        self.seed = int_or_none(seed)
        self.supports_masking = True

    def build(
        self, inputs_shape: list[Shape], presence_shape: Shape | None = None
    ) -> None:
        check_modalities(self, inputs_shape)
        if presence_shape is not None:
            check_presence(self, presence_shape, len(inputs_shape))
        for m, shape in enumerate(inputs_shape):
            check_ndim(
                self,
                shape,
                2,
                3,
                f"inputs[{m}]",
                "Flatten positions into one axis of tokens first.",
            )
        self.projections = [
            built_dense(
                self,
                f"projection_{m}",
                self.units,
                check_channels(self, shape, -1, f"inputs[{m}]"),
            )
            for m, shape in enumerate(inputs_shape)
        ]
        self.fusion_token = self.add_weight(
            shape=(self.units,),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="fusion_token",
        )
        blocks = range(self.num_blocks)
        self.attention_norms = [
            self._norm(f"attention_norm_{i}") for i in blocks
        ]
        self.attentions = [self._attention(f"attention_{i}") for i in blocks]
        self.dense_norms = [self._norm(f"dense_norm_{i}") for i in blocks]
        hidden = self.expansion * self.units
        self.expanding = [
            built_dense(
                self, f"expanding_{i}", hidden, self.units, activation=gelu
            )
            for i in blocks
        ]
        self.contracting = [
            built_dense(self, f"contracting_{i}", self.units, hidden)
            for i in blocks
        ]
        self.output_norm = self._norm("output_norm")
        self.dropping = keras.layers.Dropout(
            self.dropout, seed=self.seed, dtype=self.dtype_policy
        )
        self.remember_modalities(inputs_shape)

    def _norm(self, name: str) -> keras.layers.LayerNormalization:
        norm = keras.layers.LayerNormalization(
            epsilon=1e-6, dtype=self.dtype_policy, name=name
        )
        norm.build((None, None, self.units))
        return norm

    def _attention(self, name: str) -> keras.layers.MultiHeadAttention:
        # A bias of the keys would get no gradient: softmax cancels it.
        attention = keras.layers.MultiHeadAttention(
            self.num_heads,
            self.units // self.num_heads,
            use_bias=False,
            dtype=self.dtype_policy,
            name=name,
        )
        tokens = (None, None, self.units)
        attention.build(tokens, tokens)
        return attention

    def call(
        self,
        inputs: list[Tensor],
        presence: Tensor | None = None,
        training: bool = False,
        mask: list[Tensor | None] | None = None,
        inputs_mask: list[Tensor | None] | None = None,
    ) -> Tensor:
        # Keras hands over the masks of the inputs as `mask` where they are the
        # only tensors of a call, and else as `inputs_mask`.
        masks = mask or inputs_mask or [None] * len(inputs)
        tokens = [
            projection(ops.expand_dims(x, 1) if x.ndim == 2 else x)
            for projection, x in zip(self.projections, inputs, strict=True)
        ]
        attended = self._attended(tokens, presence, masks)
        fusion_token = ops.zeros_like(tokens[0][:, :1]) + self.fusion_token
        tokens = ops.concatenate([fusion_token, *tokens], axis=1)
        for i in range(self.num_blocks):
            normal = self.attention_norms[i](tokens)
            queries = normal
            if i == self.num_blocks - 1:
                tokens, queries = tokens[:, :1], normal[:, :1]
            update = self.attentions[i](
                queries, normal, attention_mask=attended
            )
            tokens = tokens + self.dropping(update, training=training)
            update = self.expanding[i](self.dense_norms[i](tokens))
            update = self.contracting[i](update)
            tokens = tokens + self.dropping(update, training=training)
        return self.output_norm(tokens[:, 0])

    def _attended(
        self,
        tokens: list[Tensor],
        presence: Tensor | None,
        masks: list[Tensor | None],
    ) -> Tensor | None:
        # (batch, 1, fusion token and tokens), or None where all are attended to
        if presence is None and all(m is None for m in masks):
            return None
        attended = [ops.ones_like(tokens[0][:, :1, 0], dtype="bool")]
        for m, x in enumerate(tokens):
            valid = ops.ones_like(x[..., 0], dtype="bool")
            if masks[m] is not None:
                valid = ops.logical_and(valid, masks[m])
            if presence is not None:
                present = ops.cast(presence, "bool")[:, m : m + 1]
                valid = ops.logical_and(valid, present)
            attended.append(valid)
        return ops.expand_dims(ops.concatenate(attended, axis=1), 1)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def compute_output_shape(
        self, inputs_shape: list[Shape], presence_shape: Shape | None = None
    ) -> Shape:
        return (inputs_shape[0][0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "num_heads": self.num_heads,
            "num_blocks": self.num_blocks,
            "expansion": self.expansion,
            "dropout": self.dropout,
            "seed": self.seed,
        }


def gelu(x: Tensor) -> Tensor:
    """Keras's, by a function that ONNX has: Keras takes `erfc`."""
    return 0.5 * x * (1 + ops.erf(x * math.sqrt(0.5)))
