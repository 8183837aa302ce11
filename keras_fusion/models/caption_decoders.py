import dataclasses
from collections.abc import Callable

import keras
from keras import ops

from keras_fusion.layers import FactoredLogBilinear
from keras_fusion.layers import LogBilinear
from keras_fusion.models.caption_likelihoods import PairLikelihoods
from keras_fusion.models.caption_likelihoods import additive_likelihoods
from keras_fusion.models.caption_likelihoods import gated_likelihoods
from keras_fusion.models.caption_likelihoods import text_likelihoods
from keras_fusion.types import Tensor

START = 1
"""The word before the first one of every caption."""


@dataclasses.dataclass(frozen=True)
class CaptionDecoderSettings:
    """The sizes of a decoder of captions.

    Attributes:
        vocabulary_size: Number of words.
        embedding_size: Width of the words' embeddings.
        context: Words that a log-bilinear model sees.
        factors: Factors of the gates.
        units: Width of the states of an LSTM or a Transformer.
        num_heads: Heads of attention.
        num_blocks: Blocks of a Transformer.
        length: Words of the longest caption.
        dropout: Share dropped between the blocks.
    """

    vocabulary_size: int
    embedding_size: int
    context: int
    factors: int
    units: int
    num_heads: int
    num_blocks: int
    length: int
    dropout: float


Decode = Callable[[Tensor, Tensor | None, CaptionDecoderSettings], Tensor]


@dataclasses.dataclass(frozen=True)
class CaptionDecoder:
    """One of the ways in which `captioner` tells the next word.

    `keras_fusion.models.CAPTION_DECODERS` holds them all by name.

    Attributes:
        name: What `captioner` takes as `decoder`.
        description: What happens, in one line.
        decode: Function from the words so far `(batch, words)`, the code of
            the image `(batch, units)` and `CaptionDecoderSettings` to the
            logits of the next word at each position.
        sees_image: Boolean, whether the image has an influence.
        gated: Boolean, whether the image multiplies, so that a smaller
            learning rate is published.
        table: Name of the layer that holds the words' embeddings.
        likelihoods: Function that scores every image with every caption, what
            belongs to one of them computed once; `None` where a caption has
            to be read anew beside every image.

    Example:

    >>> for decoder in keras_fusion.models.CAPTION_DECODERS.values():
    ...     print(f"{decoder.name}: {decoder.description}")
    lbl: log-bilinear, of the words alone
    mlbl_b: log-bilinear, the image adds its share
    mlbl_f: log-bilinear, the image gates the factors of the words
    lstm: an LSTM that reads the image before the words
    transformer: causal attention to the image and the words
    """

    name: str
    description: str
    decode: Decode
    sees_image: bool = True
    gated: bool = False
    table: str = "decoder"
    likelihoods: PairLikelihoods | None = None


def context_windows(words: Tensor, context: int) -> Tensor:
    """The last words up to each position: `(batch, words, context)`.

    Before the first word of a caption there are as many starts as are needed.
    """
    padded = ops.pad(words, ((0, 0), (context - 1, 0)), constant_values=START)
    # From the end, as the number of words need not be known.
    places = [
        padded[:, place : place + 1 - context or None]
        for place in range(context)
    ]
    return ops.stack(places, axis=-1)


def lbl(
    words: Tensor, code: Tensor | None, settings: CaptionDecoderSettings
) -> Tensor:
    layer = LogBilinear(
        settings.vocabulary_size, settings.embedding_size, name="decoder"
    )
    return layer(context_windows(words, settings.context))


def mlbl_b(
    words: Tensor, code: Tensor | None, settings: CaptionDecoderSettings
) -> Tensor:
    layer = LogBilinear(
        settings.vocabulary_size, settings.embedding_size, name="decoder"
    )
    return layer(context_windows(words, settings.context), code)


def mlbl_f(
    words: Tensor, code: Tensor | None, settings: CaptionDecoderSettings
) -> Tensor:
    layer = FactoredLogBilinear(
        settings.vocabulary_size,
        settings.embedding_size,
        settings.factors,
        name="decoder",
    )
    return layer(context_windows(words, settings.context), code)


def lstm(
    words: Tensor, code: Tensor | None, settings: CaptionDecoderSettings
) -> Tensor:
    x = _behind_image(words, code, settings, settings.embedding_size)
    x = keras.layers.LSTM(settings.units, return_sequences=True, name="lstm")(x)
    return _to_words(x, settings)


def transformer(
    words: Tensor, code: Tensor | None, settings: CaptionDecoderSettings
) -> Tensor:
    """Blocks that normalize first; positions are learned."""
    x = _behind_image(words, code, settings, settings.units)
    # The number of words is known to the tensor alone.
    places = ops.cumsum(ops.ones_like(x[..., 0], dtype="int32"), axis=1) - 1
    positions = keras.layers.Embedding(
        settings.length + 1, settings.units, name="positions"
    )
    x = x + positions(places)
    for number in range(1, settings.num_blocks + 1):
        x = _attend(x, f"block_{number}", settings)
    x = keras.layers.LayerNormalization(name="last_norm")(x)
    return _to_words(x, settings)


def _attend(x: Tensor, name: str, settings: CaptionDecoderSettings) -> Tensor:
    normal = keras.layers.LayerNormalization(name=f"{name}_norm_1")(x)
    attention = keras.layers.MultiHeadAttention(
        settings.num_heads,
        max(1, settings.units // settings.num_heads),
        dropout=settings.dropout,
        name=f"{name}_attention",
    )
    x = x + attention(normal, normal, use_causal_mask=True)
    normal = keras.layers.LayerNormalization(name=f"{name}_norm_2")(x)
    wide = keras.layers.Dense(
        4 * settings.units, activation="gelu", name=f"{name}_wide"
    )(normal)
    narrow = keras.layers.Dense(settings.units, name=f"{name}_narrow")(wide)
    dropped = keras.layers.Dropout(settings.dropout, name=f"{name}_dropout")
    return x + dropped(narrow)


def _behind_image(
    words: Tensor,
    code: Tensor | None,
    settings: CaptionDecoderSettings,
    width: int,
) -> Tensor:
    """The image as a first word, and the embeddings of the words."""
    embedded = keras.layers.Embedding(
        settings.vocabulary_size, settings.embedding_size, name="embeddings"
    )(words)
    if width != settings.embedding_size:
        embedded = keras.layers.Dense(width, name="word_units")(embedded)
    first = keras.layers.Dense(width, name="image_as_word")(code)
    # Of any size it would fill the gates of an LSTM for good.
    first = keras.layers.LayerNormalization(name="image_norm")(first)
    return keras.layers.Concatenate(axis=1, name="image_and_words")(
        [first[:, None], embedded]
    )


def _to_words(x: Tensor, settings: CaptionDecoderSettings) -> Tensor:
    """The logits behind every word; none behind the image alone."""
    dropped = keras.layers.Dropout(settings.dropout, name="states_dropout")
    dense = keras.layers.Dense(settings.vocabulary_size, name="scores")
    return dense(dropped(x[:, 1:]))


CAPTION_DECODERS: dict[str, CaptionDecoder] = {
    decoder.name: decoder
    for decoder in (
        CaptionDecoder(
            "lbl",
            "log-bilinear, of the words alone",
            lbl,
            sees_image=False,
            likelihoods=text_likelihoods,
        ),
        CaptionDecoder(
            "mlbl_b",
            "log-bilinear, the image adds its share",
            mlbl_b,
            likelihoods=additive_likelihoods,
        ),
        CaptionDecoder(
            "mlbl_f",
            "log-bilinear, the image gates the factors of the words",
            mlbl_f,
            gated=True,
            likelihoods=gated_likelihoods,
        ),
        CaptionDecoder(
            "lstm",
            "an LSTM that reads the image before the words",
            lstm,
            table="embeddings",
        ),
        CaptionDecoder(
            "transformer",
            "causal attention to the image and the words",
            transformer,
            table="embeddings",
        ),
    )
}
