"""How likely words are beside every image, each part computed once.

All functions take the built layer of a decoder, the contexts of some words
`(words, context)`, the words `(words,)`, and codes of images `(images,
units)`; they return the natural logarithm of the likelihood of each word
beside each image, float64 `(images, words)`.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

PairLikelihoods = Callable[
    [keras.layers.Layer, np.ndarray, np.ndarray, np.ndarray], np.ndarray
]
# Words whose scores are held at once, and bytes of them for all images.
ROWS = 2048
BYTES = 2**26
# Sums of products below it have lost digits, or all of them.
TINY = 1e-250


def text_likelihoods(
    layer: keras.layers.Layer,
    contexts: np.ndarray,
    words: np.ndarray,
    codes: np.ndarray,
) -> np.ndarray:
    """Of a model without images: the same beside each."""
    different, inverse = _once(contexts)
    alone = np.empty(len(words))
    for rows, code in _context_codes(layer, different):
        scores = _numpy(layer.logits(code))
        mine = np.flatnonzero((inverse >= rows.start) & (inverse < rows.stop))
        normal = scores - _log_sum(scores)
        alone[mine] = normal[inverse[mine] - rows.start, words[mine]]
    return np.repeat(alone[None], len(codes), axis=0)


def additive_likelihoods(
    layer: keras.layers.Layer,
    contexts: np.ndarray,
    words: np.ndarray,
    codes: np.ndarray,
) -> np.ndarray:
    """Of logits that are a sum: `a[image] + b[context]` for each word.

    The sum over the vocabulary of `exp(a + b)` is a product of two matrices,
    so that no pair has a softmax of its own.
    """
    different, inverse = _once(contexts)
    modality = layer.encode_modality(ops.convert_to_tensor(codes))
    bias = _numpy(layer.bias)
    of_images = _numpy(layer.logits(modality)) - bias
    highest = of_images.max(axis=1, keepdims=True)
    images = np.exp(of_images - highest)
    result = np.empty((len(codes), len(words)))
    for rows, code in _context_codes(layer, different):
        of_words = _numpy(layer.logits(code))
        log_sums = highest + _log_of_sums(images, of_images - highest, of_words)
        mine = np.flatnonzero((inverse >= rows.start) & (inverse < rows.stop))
        local = inverse[mine] - rows.start
        scores = of_images[:, words[mine]] + of_words[local, words[mine]]
        result[:, mine] = scores - log_sums[:, local]
    return result


def gated_likelihoods(
    layer: keras.layers.Layer,
    contexts: np.ndarray,
    words: np.ndarray,
    codes: np.ndarray,
) -> np.ndarray:
    """Of any layer whose codes of context and image meet in `logits`."""
    different, inverse = _once(contexts)
    modality = layer.encode_modality(ops.convert_to_tensor(codes))
    result = np.empty((len(codes), len(words)))
    step = max(1, BYTES // (4 * ROWS * int(layer.vocabulary_size)))
    for rows, code in _context_codes(layer, different):
        mine = np.flatnonzero((inverse >= rows.start) & (inverse < rows.stop))
        local = inverse[mine] - rows.start
        for first in range(0, len(codes), step):
            some = modality[first : first + step][:, None]
            scores = layer.logits(ops.convert_to_tensor(code)[None], some)
            sums = ops.logsumexp(scores, axis=-1)
            # (images, rows, vocabulary) stays where it was computed.
            chosen = ops.take_along_axis(
                ops.take(scores, local, axis=1),
                ops.convert_to_tensor(words[mine][None, :, None]),
                axis=-1,
            )[..., 0]
            chosen = chosen - ops.take(sums, local, axis=1)
            result[first : first + step, mine] = _numpy(chosen)
    return result


def _once(contexts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different contexts, and which of them each word has."""
    different, inverse = np.unique(contexts, axis=0, return_inverse=True)
    return different, inverse.reshape(-1)


def _context_codes(layer: keras.layers.Layer, contexts: np.ndarray) -> list:
    """Slices of the contexts, and the codes of each."""
    slices = [
        slice(first, min(first + ROWS, len(contexts)))
        for first in range(0, len(contexts), ROWS)
    ]
    return [
        (rows, layer.encode_context(ops.convert_to_tensor(contexts[rows])))
        for rows in slices
    ]


def _log_of_sums(
    images: np.ndarray, log_images: np.ndarray, of_words: np.ndarray
) -> np.ndarray:
    """The logarithm of the sums over the vocabulary, `(images, words)`."""
    highest = of_words.max(axis=1, keepdims=True)
    sums = images @ np.exp(of_words - highest).T
    lost = np.argwhere(sums < TINY)
    logs = np.log(np.maximum(sums, TINY)) + highest.T
    for image, row in lost:
        logs[image, row] = _log_sum(log_images[image] + of_words[row])[0]
    return logs


def _log_sum(scores: np.ndarray) -> np.ndarray:
    highest = scores.max(axis=-1, keepdims=True)
    total = np.exp(scores - highest).sum(axis=-1, keepdims=True)
    return highest + np.log(total)


def _numpy(values: object) -> np.ndarray:
    return ops.convert_to_numpy(values).astype("float64")
