"""Texts: words, and their numbers."""

from collections.abc import Sequence

import keras
import numpy as np

PADDING = 0
# Numbers that are no words: padding, and what is unknown.
RESERVED = 2


def vocabulary(texts: Sequence[str], most: int) -> tuple[str, ...]:
    """The most frequent words, in small letters and without punctuation."""
    if not any(text.strip() for text in texts):
        return ()
    layer = keras.layers.TextVectorization(max_tokens=most + RESERVED)
    layer.adapt(list(texts))
    return tuple(layer.get_vocabulary()[RESERVED:])


def encode(
    texts: Sequence[str], words: Sequence[str], length: int
) -> np.ndarray:
    """The numbers of the words, int32 (texts, length), 0 behind the last."""
    if not words:
        return np.zeros((len(texts), length), "int32")
    layer = keras.layers.TextVectorization(
        vocabulary=list(words), output_sequence_length=length
    )
    numbers = keras.ops.convert_to_numpy(layer(list(texts)))
    return numbers.astype("int32")
