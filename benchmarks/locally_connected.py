"""Locally connected layers: `python -m benchmarks.locally_connected`.

Against the three implementations of Keras 2, in the package tf_keras.
"""

import argparse
import statistics
import time

import numpy as np
import tensorflow as tf
import tf_keras

from benchmarks.tables import write_table
from benchmarks.timing import alternate
from benchmarks.timing import median_ratio
from benchmarks.timing import milliseconds
from keras_fusion import layers

# Batch and sizes of the input, width of a window, filters.
CASES = [
    ((32, 16, 16, 16), 3, 16),
    ((32, 32, 32, 3), 5, 16),
    ((32, 30, 30, 8), 3, 8),
    ((8, 14, 14, 64), 3, 64),
    ((32, 2048, 4), 3, 4),
]
STEP_BAR = 0.5
START_BAR = 0.1
NOTE = (
    "Milliseconds of a forward and backward pass (medians of "
    "{arguments.repeats} taken in turn) and seconds to make, build, trace and "
    "first run a layer (median of {arguments.starts} for ours, one for "
    "theirs). XLA is ours with `jit_compile=True`; all else is without, the "
    "default on a CPU. Ratios are ours to the one of theirs with the fastest "
    f"pass; bars: at most {STEP_BAR} a pass, {START_BAR} to start."
)


def training_pass(layer, inputs, jit_compile=False):
    """Forward and backward, to the weights and to the inputs."""
    weights = [
        # A variable of Keras 3 wraps one of TensorFlow.
        weight if isinstance(weight, tf.Variable) else weight.value
        for weight in layer.trainable_weights
    ]

    @tf.function(jit_compile=jit_compile)
    def compute():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
            loss = tf.reduce_mean(tf.square(outputs))
        return tape.gradient(loss, [inputs, *weights])

    # The call returns when all is computed; the bias is quickly read.
    return lambda: compute()[-1].numpy()


def started(make, inputs, **kwargs):
    """A pass, and the seconds until it has run for the first time."""
    start = time.perf_counter()
    layer = make()
    layer.build(inputs.shape)
    step = training_pass(layer, inputs, **kwargs)
    step()
    return step, time.perf_counter() - start


def alternatives(shape, kernel_size, filters):
    """Makers of the layers by name."""
    name = f"LocallyConnected{len(shape) - 2}D"
    makers = {"ours": lambda: getattr(layers, name)(filters, kernel_size)}
    for implementation in (1, 2, 3):
        makers[f"tf_keras {implementation}"] = lambda number=implementation: (
            getattr(tf_keras.layers, name)(
                filters, kernel_size, implementation=number
            )
        )
    return makers


def measure(case, repeats, starts):
    shape, kernel_size, filters = case
    rng = np.random.default_rng(0)
    inputs = tf.constant(rng.normal(size=shape), tf.float32)
    makers = alternatives(*case)
    steps, seconds_to_start = {}, {}
    for name, make in makers.items():
        # Theirs take so long to start that once has to do.
        tries = [
            started(make, inputs)
            for _ in range(starts if name == "ours" else 1)
        ]
        steps[name] = tries[-1][0]
        seconds_to_start[name] = statistics.median(s for _, s in tries)
    steps["XLA"], seconds_to_start["XLA"] = started(
        makers["ours"], inputs, jit_compile=True
    )
    return alternate(steps, repeats), seconds_to_start


def row(case, repeats, starts):
    seconds, start = measure(case, repeats, starts)
    theirs = [name for name in seconds if name.startswith("tf_keras")]
    fastest = min(theirs, key=lambda name: milliseconds(seconds[name]))
    step_ratio = median_ratio(seconds, "ours", fastest)
    start_ratio = start["ours"] / start[fastest]
    shape, kernel_size, filters = case
    return [
        f"{shape}, {kernel_size}, {filters}",
        *(
            f"{milliseconds(seconds[name]):.1f}"
            for name in ("ours", "XLA", *theirs)
        ),
        f"{step_ratio:.2f} of {fastest[-1]}",
        "yes" if step_ratio <= STEP_BAR else "no",
        *(f"{start[name]:.2f}" for name in ("ours", "XLA", *theirs)),
        f"{start_ratio:.3f}",
        "yes" if start_ratio <= START_BAR else "no",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--starts", type=int, default=5)
    arguments = parser.parse_args()
    # What a process does only once is no layer's fault.
    tiny = ((2, 4, 4, 1), 2, 1)
    measure(tiny, repeats=1, starts=1)
    write_table(
        "locally_connected",
        "Locally connected layers against those of Keras 2",
        [NOTE.format(arguments=arguments)],
        [
            "input, window, filters",
            "ms ours",
            "ms XLA",
            "ms 1",
            "ms 2",
            "ms 3",
            "ratio",
            "in bar",
            "s ours",
            "s XLA",
            "s 1",
            "s 2",
            "s 3",
            "ratio",
            "in bar",
        ],
        [row(case, arguments.repeats, arguments.starts) for case in CASES],
    )


if __name__ == "__main__":
    main()
