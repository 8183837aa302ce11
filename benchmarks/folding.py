"""What folding saves in prediction: `python -m benchmarks.folding`."""

import argparse

import numpy as np
import tensorflow as tf

from benchmarks.tables import write_table
from benchmarks.timing import alternate
from benchmarks.timing import median_ratio
from benchmarks.timing import milliseconds
from keras_fusion.inference import fold
from keras_fusion.layers import ChannelExchange
from keras_fusion.models import refinenet

SIZE = 128
BAR = 0.75


def exchange_a_third(model):
    """A third of every exchange's channels, of each modality's own part."""
    for layer in model.layers:
        if isinstance(layer, ChannelExchange) and layer.threshold > 0:
            modalities, channels = layer.gamma.shape
            gamma = np.ones(layer.gamma.shape)
            for m in range(modalities):
                start = m * channels // modalities
                gamma[m, start : start + round(channels / 3)] = 0.01
            layer.gamma.assign(gamma)


def prediction(model, images, outputs):
    @tf.function
    def compute():
        results = model(images, training=False)
        # What is read back must not weigh more than the pass.
        return [tf.reduce_max(results[name]) for name in outputs]

    return lambda: [value.numpy() for value in compute()]


def largest_difference(model, folded, images, outputs):
    """Over all outputs, as a share of the largest value."""
    before = model(images, training=False)
    after = folded(images, training=False)
    return max(
        float(tf.reduce_max(tf.abs(before[name] - after[name])))
        / float(tf.reduce_max(tf.abs(before[name])))
        for name in outputs
    )


def row(name, model, images, outputs, bar, arguments):
    folded, report = fold(model, outputs)
    seconds = alternate(
        {
            "whole": prediction(model, images, outputs),
            "folded": prediction(folded, images, outputs),
        },
        arguments.repeats,
    )
    ratio = median_ratio(seconds, "folded", "whole")
    share = report.multiplications_after / report.multiplications_before
    return [
        name,
        f"{milliseconds(seconds['whole']):.1f}",
        f"{milliseconds(seconds['folded']):.1f}",
        f"{ratio:.3f}",
        f"{bar:.2f}" if bar else "",
        f"{share:.3f}",
        f"{largest_difference(model, folded, images, outputs):.1e}",
    ]


def network(modalities, **settings):
    model = refinenet(
        modalities,
        blocks=(3, 4, 6, 3),
        image_shape=(SIZE, SIZE, 3),
        **settings,
    )
    exchange_a_third(model)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--batch-size", type=int, default=1)
    arguments = parser.parse_args()
    modalities = ("rgb", "depth")
    model = network(modalities)
    light = network(modalities, decoder="branches")
    rng = np.random.default_rng(0)
    shape = (arguments.batch_size, SIZE, SIZE, 3)
    images = {
        name: tf.constant(rng.normal(size=shape), tf.float32)
        for name in modalities
    }
    outputs = ["rgb", "depth", "ensemble"]
    rows = [
        row("all outputs", model, images, outputs, None, arguments),
        row("the ensemble", model, images, outputs[2:], BAR, arguments),
        row(
            'all outputs, `decoder="branches"`',
            light,
            images,
            outputs,
            None,
            arguments,
        ),
        row(
            'the ensemble, `decoder="branches"`',
            light,
            images,
            outputs[2:],
            BAR,
            arguments,
        ),
    ]
    notes = (
        f"RefineNet-50, two modalities, {SIZE} x {SIZE}, batch of "
        f"{arguments.batch_size}, a third of each modality's channels "
        "exchanged behind every 3x3 convolution: the prediction of the model "
        "and of `keras_fusion.inference.fold` of it. The two take turns in one "
        "process; times are medians, and the ratio is the median over the "
        "rounds. Multiplications are those by kernels, after against before; "
        "the difference is the largest of all values, against the largest "
        "value."
    )
    why = (
        "The encoder, in which all normalizations and exchanges are, makes "
        "up 9 % of the multiplications of RefineNet-50, so that no rewrite of "
        'it alone can come near the bar. With `decoder="branches"` it is most '
        "of the network."
    )
    write_table(
        "folding",
        "What folding saves",
        [notes, "", why],
        [
            "what",
            "whole, ms",
            "folded, ms",
            "ratio",
            "bar",
            "multiplications",
            "difference",
        ],
        rows,
    )


if __name__ == "__main__":
    main()
