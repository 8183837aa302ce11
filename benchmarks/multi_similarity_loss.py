"""Multi-similarity loss: `python -m benchmarks.multi_similarity_loss`.

Needs `torch` and `pytorch-metric-learning` beside TensorFlow.
"""

import argparse
import time

import keras
import numpy as np
import pytorch_metric_learning
import tensorflow as tf
import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning import miners

from benchmarks.tables import write_table
from benchmarks.timing import alternate
from benchmarks.timing import median_ratio
from benchmarks.timing import milliseconds
from keras_fusion.losses import MultiSimilarityLoss

FEATURES = 128
SAMPLES_PER_CLASS = 4
BATCH_SIZES = [128, 512, 2048]
BARS = {512: 0.7}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def batch(size):
    """Labels, and embeddings of classes that overlap."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(size // SAMPLES_PER_CLASS), SAMPLES_PER_CLASS)
    centers = rng.normal(size=(labels.max() + 1, FEATURES))
    noise = rng.normal(size=(size, FEATURES))
    return labels, (centers[labels] + 2 * noise).astype("float32")


def ours(labels, embeddings):
    loss = MultiSimilarityLoss()
    labels, embeddings = tf.constant(labels), tf.constant(embeddings)

    @tf.function
    def compute():
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = loss(labels, embeddings)
        return value, tape.gradient(value, embeddings)

    return lambda: [x.numpy() for x in compute()]


def theirs(labels, embeddings):
    # The same numbers as our defaults: scales 2 and 50, base 0.5.
    loss = losses.MultiSimilarityLoss(alpha=2, beta=50, base=0.5)
    miner = miners.MultiSimilarityMiner(epsilon=0.1)
    labels = torch.tensor(labels)
    embeddings = torch.tensor(embeddings, requires_grad=True)

    def compute():
        value = loss(embeddings, labels, miner(embeddings, labels))
        (gradient,) = torch.autograd.grad(value, embeddings)
        return value.detach().numpy(), gradient.numpy()

    return compute


def rows(repeats, clock):
    for size in BATCH_SIZES:
        functions = {"ours": ours(*batch(size)), "theirs": theirs(*batch(size))}
        for one, other in zip(
            functions["ours"](), functions["theirs"](), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)
        seconds = alternate(functions, repeats, clock=clock)
        ratio = median_ratio(seconds, "ours", "theirs")
        yield [
            size,
            f"{milliseconds(seconds['theirs']):.2f}",
            f"{milliseconds(seconds['ours']):.2f}",
            f"{ratio:.3f}",
            f"{BARS[size]:.2f}" if size in BARS else "",
        ]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=41)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    notes = (
        "`MultiSimilarityLoss` with mining, compiled by TensorFlow as in "
        "`fit`, against `MultiSimilarityLoss` with `MultiSimilarityMiner` of "
        f"pytorch-metric-learning {pytorch_metric_learning.__version__}: value "
        f"and gradient, {FEATURES} features, {SAMPLES_PER_CLASS} samples of a "
        "class. Both give the same numbers. They take turns in one process; "
        "times are medians, and the ratio is the median over the rounds. "
        f"Keras {keras.__version__}, TensorFlow {tf.__version__}, torch "
        f"{torch.__version__}. Clock: {arguments.clock} (cpu adds up the time "
        "of all cores)."
    )
    write_table(
        "multi_similarity_loss",
        "Multi-similarity loss against pytorch-metric-learning",
        [notes],
        ["batch", "theirs, ms", "ours, ms", "ratio", "bar"],
        list(rows(arguments.repeats, CLOCKS[arguments.clock])),
    )


if __name__ == "__main__":
    main()
