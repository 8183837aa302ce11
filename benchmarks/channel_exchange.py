"""What channel exchange costs: `python -m benchmarks.channel_exchange`."""

import argparse
import functools
import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks.tables import write_table
from benchmarks.timing import alternate
from benchmarks.timing import median_ratio
from benchmarks.timing import milliseconds
from keras_fusion.layers import ChannelExchange
from keras_fusion.models import refinenet

BATCH_SIZE = 16
SIZES = [(32, 64), (64, 32), (128, 16)]
BAR = 1.10
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def plain_norms(branches):
    """The same network's norms in Keras, one for each modality."""
    return [keras.layers.BatchNormalization()(x) for x in branches]


def exchanging_norms(branches):
    """Exchanges one eighth of each modality's channels, of its own part."""
    layer = ChannelExchange()
    outputs = layer(branches)
    channels = branches[0].shape[-1]
    gamma = np.ones(layer.gamma.shape)
    for m in range(len(gamma)):
        start = m * channels // len(gamma)
        gamma[m, start : start + channels // 8] = 0.01
    layer.gamma.assign(gamma)
    return outputs


def network(channels, size, normalize):
    """Four times a shared 3x3 convolution, norms and ReLU, two modalities."""
    inputs = [keras.Input((size, size, channels)) for _ in range(2)]
    branches = inputs
    for _ in range(4):
        convolution = keras.layers.Conv2D(
            channels, 3, padding="same", use_bias=False
        )
        branches = normalize([convolution(x) for x in branches])
        branches = [keras.layers.ReLU()(x) for x in branches]
    return keras.Model(inputs, branches)


def training_pass(model, inputs):
    """Forward and backward; the optimizer's part is the same for both."""

    @tf.function
    def compute():
        with tf.GradientTape() as tape:
            outputs = model(inputs, training=True)
            loss = sum(tf.reduce_mean(tf.square(y)) for y in outputs)
        return tape.gradient(loss, model.trainable_variables)

    return lambda: [gradient.numpy() for gradient in compute()]


def prediction(model, inputs):
    @tf.function
    def compute():
        outputs = model(inputs, training=False)
        # What is read back must not weigh more than the pass.
        return [tf.reduce_max(y) for y in outputs]

    return lambda: [value.numpy() for value in compute()]


def layer_rows(repeats, clock):
    for channels, size in SIZES:
        rng = np.random.default_rng(0)
        shape = (2, BATCH_SIZE, size, size, channels)
        inputs = list(tf.constant(rng.normal(size=shape), tf.float32))
        for name, time_of in (
            ("training step", training_pass),
            ("prediction", prediction),
        ):
            seconds = alternate(
                {
                    "plain": time_of(
                        network(channels, size, plain_norms), inputs
                    ),
                    "exchange": time_of(
                        network(channels, size, exchanging_norms), inputs
                    ),
                },
                repeats,
                clock=clock,
            )
            yield row(
                f"{name}, {channels} channels x {size} x {size}",
                seconds,
                "exchange",
                "plain",
                BAR,
            )


def refinenet_row(repeats, clock):
    """A whole step of RefineNet-50, loss and optimizer included."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 128, 128, 3)).astype("float32")
    labels = rng.integers(40, size=(2, 128, 128))
    steps = {}
    for name, modalities in {"one": ["rgb"], "two": ["rgb", "depth"]}.items():
        model = refinenet(modalities, num_classes=40, blocks=(3, 4, 6, 3))
        model.compile(
            keras.optimizers.SGD(1e-4, momentum=0.9),
            {
                output: keras.losses.SparseCategoricalCrossentropy(True)
                for output in model.output
            },
        )
        steps[name] = functools.partial(
            model.train_on_batch,
            dict.fromkeys(modalities, images),
            dict.fromkeys(model.output, labels),
        )
    seconds = alternate(steps, repeats, clock=clock)
    return row(
        "RefineNet-50 step, 128 x 128, of two modalities against twice one",
        seconds,
        "two",
        "one",
        times=2,
    )


def row(name, seconds, first, against, bar=None, times=1):
    ratio = median_ratio(seconds, first, against) / times
    return [
        name,
        f"{times * milliseconds(seconds[against]):.1f}",
        f"{milliseconds(seconds[first]):.1f}",
        f"{ratio:.3f}",
        f"{bar:.2f}" if bar else "",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=41)
    parser.add_argument("--network-repeats", type=int, default=11)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    clock = CLOCKS[arguments.clock]
    rows = list(layer_rows(arguments.repeats, clock))
    if arguments.network_repeats:
        rows.append(refinenet_row(arguments.network_repeats, clock))
    notes = (
        "`ChannelExchange` against `keras.layers.BatchNormalization` in the "
        f"same network, batch of {BATCH_SIZE}, two modalities, one eighth of "
        "the channels exchanged: four times a shared 3x3 convolution, norms "
        "and ReLU. The two take turns in one process; times are medians, and "
        "the ratio is the median over the rounds. "
        f"Clock: {arguments.clock} (cpu adds up the time of all cores)."
    )
    write_table(
        "channel_exchange",
        "Cost of channel exchange",
        [notes],
        ["what", "plain, ms", "exchange, ms", "ratio", "bar"],
        rows,
    )


if __name__ == "__main__":
    main()
