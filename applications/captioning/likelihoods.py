"""What a trained model says: likelihoods of captions, and the next words."""

import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from applications.captioning.config import Config
from applications.captioning.generation import Step
from applications.inputs import caption as captions
from keras_fusion.models import CAPTION_DECODERS
from keras_fusion.models import caption_contexts
from keras_fusion.models import caption_parts

ROWS = 256
# Numbers that are never generated.
NEVER = [captions.PADDING, captions.START, captions.UNKNOWN]


class Teller:
    """A model in its two parts: images are read once, words beside them.

    Args:
        model: A captioner.
        config: Its settings.
    """

    def __init__(self, model: keras.Model, config: Config) -> None:
        self.config = config
        self.record = CAPTION_DECODERS[config.model]
        encode, tell = caption_parts(model)
        self._encode = encode and _compiled(encode)
        self._decoder = tell.get_layer("decoder") if self.once else None

        @tf.function(reduce_retracing=True)
        def likelihoods(code: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
            scores = tell([code, words[:, :-1]], training=False)
            return -tf.nn.sparse_softmax_cross_entropy_with_logits(
                words[:, 1:], scores
            )

        @tf.function(reduce_retracing=True)
        def following(code: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
            scores = tell([code, words], training=False)[:, -1]
            return tf.nn.log_softmax(scores)

        self._likelihoods = likelihoods
        self._following = following

    @property
    def once(self) -> bool:
        """Whether all pairs are scored by parts that are computed once."""
        return self.record.likelihoods is not None

    def codes(self, images: np.ndarray) -> np.ndarray:
        """float32 codes of images; where they have no influence, zeros."""
        if self._encode is None:
            return np.zeros((len(images), *self.config.feature_shape), "f")
        found = [
            self._encode(tf.cast(images[first : first + ROWS], "float32"))
            for first in range(0, len(images), ROWS)
        ]
        return np.concatenate(found).astype("float32")

    def log_likelihoods(
        self, codes: np.ndarray, image_of: np.ndarray, words: np.ndarray
    ) -> np.ndarray:
        """Natural logarithms, float64 (captions, width - 1); padding is 0.

        Of each word behind the start, beside the caption's own image.
        """
        found = np.zeros((len(words), words.shape[1] - 1))
        # Captions of about one length together, less what is padding to all.
        widths = (words != captions.PADDING).sum(axis=1)
        order = np.argsort(widths, kind="stable")
        for first in range(0, len(words), ROWS):
            rows = order[first : first + ROWS]
            width = widths[rows[-1]]
            found[rows, : width - 1] = self._likelihoods(
                codes[image_of[rows]], words[rows, :width]
            )
        return np.where(words[:, 1:] == captions.PADDING, 0.0, found)

    def pairs(self, codes: np.ndarray, words: np.ndarray) -> np.ndarray:
        """The mean log2-likelihood of a word, negated: (images, captions).

        It is C(caption | image) of the paper, of all words and the end.
        """
        said = words[:, 1:] != captions.PADDING
        if self.once:
            logs = np.zeros((len(codes), *said.shape))
            windows = caption_contexts(words[:, :-1], self.config.context)
            logs[:, said] = self.record.likelihoods(
                self._decoder, windows[said], words[:, 1:][said], codes
            )
        else:
            same = np.zeros(len(words), "int64")
            logs = np.stack(
                [
                    self.log_likelihoods(code[None], same, words)
                    for code in codes
                ]
            )
        return -logs.sum(axis=2) / said.sum(axis=1) / np.log(2)

    def step(self, codes: np.ndarray) -> Step:
        """A function for `generation`: what may follow, beside each image."""

        def step(rows: np.ndarray, words: np.ndarray) -> np.ndarray:
            found = self._following(codes[rows], words).numpy()
            found = found.astype("float64")
            found[:, NEVER] = -np.inf
            return found

        return step


@functools.lru_cache(maxsize=1)
def teller_of(model: keras.Model, config: Config) -> Teller:
    """The teller of the model that was asked for last, compiled once."""
    return Teller(model, config)


def _compiled(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    return tf.function(
        lambda images: model(images, training=False), reduce_retracing=True
    )
