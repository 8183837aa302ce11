"""Scores of all images and captions: `python -m benchmarks.caption_scores`.

Parts that are computed once, against one pass of the whole model for each
pair. The passes are compiled; of them only some are taken, and their time is
multiplied.
"""

import argparse
import time

import keras
import numpy as np
import tensorflow as tf

from applications.captioning import Config
from applications.captioning.likelihoods import Teller
from benchmarks.tables import write_table
from benchmarks.timing import alternate
from benchmarks.timing import median_ratio
from benchmarks.timing import milliseconds
from keras_fusion.models import CAPTION_DECODERS
from keras_fusion.models import captioner

FEATURES, LONGEST, BAR = 512, 14, 0.01
# Pairs that are passed one by one, for the time of all of them.
PASSES = 400


def captions(rng, count, vocabulary):
    """Start, 6 to 14 words as frequent as by Zipf, end, padding."""
    chances = 1 / np.arange(1, vocabulary - 3)
    words = rng.choice(
        np.arange(4, vocabulary), (count, LONGEST), p=chances / chances.sum()
    )
    found = np.zeros((count, LONGEST + 2), "int32")
    found[:, 0] = 1
    for row, length in enumerate(rng.integers(6, LONGEST + 1, count)):
        found[row, 1 : length + 1] = words[row, :length]
        found[row, length + 1] = 2
    return found


def one_by_one(model):
    """A compiled pass of one image and one caption: its cost in bits."""

    @tf.function(reduce_retracing=True)
    def cost(image, words):
        inputs = {"image": image, "words": words[:, :-1]}
        scores = model(inputs, training=False)["next"]
        logs = tf.nn.sparse_softmax_cross_entropy_with_logits(
            words[:, 1:], scores
        )
        return tf.reduce_mean(logs) / tf.math.log(2.0)

    return cost


def trimmed(words):
    """Each caption without its padding, which a pass need not read."""
    return [row[None, : np.count_nonzero(row)] for row in words]


def compare(decoder, arguments):
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    sizes = {"embedding_size": 50, "factors": 50, "context": 5}
    model = captioner([FEATURES], arguments.vocabulary, decoder, **sizes)
    config = Config(model=decoder, feature_shape=(FEATURES,), **sizes)
    teller = Teller(model, config)
    images = rng.random((arguments.images, FEATURES)).astype("float32")
    words = captions(rng, arguments.captions, arguments.vocabulary)
    single, cost = trimmed(words), one_by_one(model)
    chosen = rng.integers([len(images), len(words)], size=(PASSES, 2))

    def together():
        return teller.pairs(teller.codes(images), words)

    def pairwise():
        return [float(cost(images[i : i + 1], single[j])) for i, j in chosen]

    difference = np.abs(together()[tuple(chosen.T)] - pairwise()).max()
    functions = {"once": together, "pairs": pairwise}
    seconds = alternate(
        functions, arguments.repeats, warm_up=1, clock=time.perf_counter
    )
    factor = len(images) * len(words) / PASSES
    ratio = median_ratio(seconds, "once", "pairs") / factor
    return [
        decoder,
        f"{milliseconds(seconds['pairs']) * factor / 1000:.1f}",
        f"{milliseconds(seconds['once']) / 1000:.3f}",
        f"{ratio:.4f}",
        f"{BAR:.2f}",
        f"{difference:.0e}",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--captions", type=int, default=200)
    parser.add_argument("--vocabulary", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    once = [name for name, d in CAPTION_DECODERS.items() if d.likelihoods]
    notes = (
        f"{arguments.images} images of {FEATURES} features by "
        f"{arguments.captions} captions of 6 to {LONGEST} words, vocabulary "
        f"{arguments.vocabulary}. Seconds for all pairs: one compiled pass for "
        f"each (of {PASSES} pairs, multiplied), and with the parts of captions "
        "and images computed once. The ratio is the median over rounds; "
        "difference: the largest between both, in bits a word. "
        f"Keras {keras.__version__}, TensorFlow {tf.__version__}."
    )
    write_table(
        "caption_scores",
        "Scores of all images and captions",
        [notes],
        ["model", "pairs, s", "once, s", "ratio", "bar", "difference"],
        [compare(name, arguments) for name in once],
    )


if __name__ == "__main__":
    main()
