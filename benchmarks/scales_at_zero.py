"""How many scales a penalty keeps at zero, predicted and observed.

    python -m benchmarks.scales_at_zero

The theorem of Wang et al. 2020, with the direction in which it can be
derived: at a scale of 0 the loss has the slope `g * x`, where `g` is the
gradient by the channel's normalized output and `x` is that channel, of
deviation 1 and taken for normal. The scale stays at 0 where the slope is
smaller than the penalty, so with probability

    P(|g * x| < l1) = 2 * Phi(l1 / |g|) - 1

and over a batch `g` is the length of the gradient. A `ChannelExchange` with
many channels is trained here with the penalty, from scales around 0 and with
a task whose gradient has that length; what it ends with is counted.
"""

import argparse

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from benchmarks.tables import write_table
from keras_fusion.layers import ChannelExchange

CHANNELS = 20_000
PENALTIES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
BATCHES = (1, 16)
BAR = 1.0
STEPS, RATE = 400, 1e-3


def predicted(ratio):
    """The share at zero where the penalty is `ratio` times the gradient."""
    return float(ops.erf(ratio / np.sqrt(2.0)))


def observed(ratio, batch, seed):
    """The share at zero after a training.

    The task is linear in the output, so that its gradient is the same at
    every step: a random vector of length 1 for every channel and modality.
    """
    rng = np.random.default_rng(seed)
    shape = (2, batch, CHANNELS)
    x = rng.normal(size=shape).astype("float32")
    slopes = rng.normal(size=shape)
    slopes /= np.sqrt(np.square(slopes).sum(axis=1, keepdims=True))
    layer = ChannelExchange(
        threshold=0,
        l1=ratio,
        epsilon=0,
        frozen_statistics=True,
        gamma_initializer=keras.initializers.RandomUniform(-0.01, 0.01, seed),
    )
    inputs = [keras.Input((CHANNELS,)) for _ in range(2)]
    model = keras.Model(inputs, layer(inputs))
    # The sum over the batch, of which Keras takes the mean.
    model.compile(
        keras.optimizers.SGD(RATE),
        [lambda y, z: batch * ops.sum(y * z, axis=-1)] * 2,
        jit_compile=False,
    )
    one = (tuple(x), tuple(slopes.astype("float32")))
    dataset = tf.data.Dataset.from_tensors(one).repeat()
    model.fit(dataset, steps_per_epoch=STEPS, shuffle=False, verbose=0)
    scales = np.abs(ops.convert_to_numpy(layer.gamma))[layer.penalized]
    # Around 0 a scale goes to and fro by no more than a step.
    return float(np.mean(scales < 2 * RATE * (1 + ratio)))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args(argv)
    rows = []
    for batch in BATCHES:
        for ratio in PENALTIES:
            found = [observed(ratio, batch, s) for s in arguments.seeds]
            difference = max(abs(share - predicted(ratio)) for share in found)
            rows.append(
                [
                    batch,
                    ratio,
                    f"{100 * predicted(ratio):.2f}",
                    ", ".join(f"{100 * share:.2f}" for share in found),
                    f"{100 * difference:.2f}",
                    "met" if 100 * difference <= BAR else "missed",
                ]
            )
    write_table(
        "scales_at_zero",
        "Scales that a penalty keeps at zero",
        [note(arguments.seeds)],
        ["batch", "l1 / g", "predicted", "observed", "difference", "bar"],
        rows,
    )


def note(seeds):
    return (
        f"`ChannelExchange` with {CHANNELS:,} channels, of which each of two "
        f"modalities has half under the penalty; {STEPS} steps of SGD from "
        f"scales within 0.01; seeds {', '.join(map(str, seeds))}. Shares in "
        f"per cent; the bar is a difference of {BAR:g}. "
        f"Keras {keras.__version__}."
    )


if __name__ == "__main__":
    main()
