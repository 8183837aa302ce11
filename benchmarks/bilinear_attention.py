"""Bilinear attention in one piece and in chunks: time and peak memory.

    python -m benchmarks.bilinear_attention
    python -m benchmarks.bilinear_attention --side 14 --queries 500

The layer has the sizes of the published multi-label models: 9 x 9 cells of
2,048 features, queries of 300, rank 1,024. Variants take turns, so that what
else the machine does falls on all of them alike; every peak is that of a
process of its own, less what the process held before the first run.
"""

import multiprocessing

import numpy as np
import tensorflow as tf
import tyro

from benchmarks import timing
from benchmarks.memory import resident
from benchmarks.tables import write_table
from keras_fusion.layers import BilinearAttention

BATCH = 4
QUERIES = (80, 500)
LIMITS = (None, 32, 8)
REPEATS = 7
NOTES = """\
`BilinearAttention(rank=1024)`, batch 4, {cells} cells of 2,048 features,
queries of 300 features, TensorFlow, float32. `memory_limit` bounds the product
tensor of one sample; that of the batch is as many times larger. A step computes
the gradients of all weights and of the map.

Times are medians; ratios are medians, over rounds, of the time divided by that
in one piece. Peaks are resident memory of a process of its own, beyond what it
held before the first run."""


def main(side: int = 9, queries: tuple[int, ...] = QUERIES) -> None:
    """Measures maps of side * side cells.

    Args:
        side: Cells of a side of the map.
        queries: Numbers of queries.
    """
    rows = []
    for count in queries:
        seconds = {
            kind: timing.alternate(
                {limit: run(kind, side, count, limit)[1] for limit in LIMITS},
                REPEATS,
            )
            for kind in ("prediction", "step")
        }
        rows += [describe(side, count, limit, seconds) for limit in LIMITS]
    suffix = "" if side == 9 else f"_{side}"
    write_table(
        f"bilinear_attention{suffix}",
        "Bilinear attention in one piece and in chunks",
        NOTES.format(cells=side**2).splitlines(),
        [
            "queries",
            "memory_limit",
            "queries at once",
            "prediction",
            "ratio",
            "peak",
            "step",
            "ratio",
            "peak",
        ],
        rows,
    )


def describe(side, queries, limit, seconds):
    cells = []
    for kind, by_limit in seconds.items():
        ratio = timing.median_ratio(by_limit, limit, None)
        cells += [
            f"{timing.milliseconds(by_limit[limit]):.0f} ms",
            f"{ratio:.2f}",
            f"{peak_of_a_process(kind, side, queries, limit):.0f} MiB",
        ]
    layer = make_layer(limit)
    at_once = layer._queries_at_once(queries, (side, side)) or queries
    bound = "none" if limit is None else f"{limit} MiB"
    return [queries, bound, at_once, *cells]


def make_layer(limit):
    return BilinearAttention(1024, memory_limit=limit)


def run(kind, side, queries, limit):
    """Returns a function that traces the work, and one that does it."""
    layer = make_layer(limit)
    rng = np.random.default_rng(0)
    query = rng.normal(size=(1, queries, 300)).astype("float32")
    value = rng.normal(size=(BATCH, side, side, 2048)).astype("float32")
    query, value = tf.constant(query), tf.constant(value)
    layer.build(query.shape, value.shape)
    weights = [weight.value for weight in layer.trainable_weights]

    @tf.function(jit_compile=False)
    def predict():
        return layer(query, value)

    @tf.function(jit_compile=False)
    def step():
        with tf.GradientTape() as tape:
            tape.watch(value)
            loss = tf.reduce_mean(tf.square(layer(query, value)))
        return tape.gradient(loss, [value, *weights])

    function = {"prediction": predict, "step": step}[kind]

    def finished():
        for tensor in tf.nest.flatten(function()):
            tensor.numpy()

    return function.get_concrete_function, finished


def peak_of_a_process(kind, side, queries, limit):
    # Spawned: a fork would inherit the memory of this process.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(peak, (kind, side, queries, limit))


def peak(kind, side, queries, limit):
    """MiB that three runs take in this process."""
    trace, work = run(kind, side, queries, limit)
    trace()
    before = resident("VmRSS")
    for _ in range(3):
        work()
    return resident("VmHWM") - before


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
