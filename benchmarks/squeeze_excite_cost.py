"""What channel gates cost: `python -m benchmarks.squeeze_excite_cost`.

The same backbone with and without `SqueezeExcite`, step by step in turn.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
import tyro

from benchmarks.tables import write_table
from benchmarks.timing import alternate
from benchmarks.timing import median_ratio
from benchmarks.timing import milliseconds
from keras_fusion.models import squeeze_excite_inception
from keras_fusion.models import squeeze_excite_resnet

NETWORKS = {
    "ResNet-50, 64 x 64": (
        squeeze_excite_resnet,
        {"image_shape": (64, 64, 3)},
    ),
    "Inception, 64 x 64": (
        squeeze_excite_inception,
        {"image_shape": (64, 64, 3)},
    ),
    "ResNet of 3 blocks, 32 x 32": (
        squeeze_excite_resnet,
        {
            "image_shape": (32, 32, 3),
            "blocks": (1, 1, 1),
            "width": 16,
            "stem": "small",
            "num_classes": 10,
        },
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """Measures gates in residual and inception networks."""

    batch_size: int = 8
    """Images a step."""
    repeats: int = 11
    """Timed calls of each network."""


def main(measurement: Measurement) -> None:
    rows = []
    for name, (builder, settings) in NETWORKS.items():
        networks = {
            label: builder(ratio=ratio, **settings)
            for label, ratio in (("gated", 16), ("plain", None))
        }
        weights = {
            label: sum(int(np.prod(w.shape)) for w in model.trainable_weights)
            for label, model in networks.items()
        }
        for what, calls in (
            ("training step", steps(networks, measurement.batch_size)),
            ("prediction", predictions(networks, measurement.batch_size)),
        ):
            seconds = alternate(calls, measurement.repeats)
            rows.append(
                [
                    name,
                    what,
                    f"{milliseconds(seconds['plain']):.1f}",
                    f"{milliseconds(seconds['gated']):.1f}",
                    f"{median_ratio(seconds, 'gated', 'plain'):.3f}",
                    f"{weights['plain']:,}",
                    f"{weights['gated'] - weights['plain']:,}",
                ]
            )
    write_table(
        "squeeze_excite_cost",
        "Cost of channel gates",
        [
            (
                f"Batch of {measurement.batch_size}, gates with one unit for "
                "16 channels. A training step holds forward and backward pass, "
                "SGD with momentum, and all Keras does around it. Plain and "
                f"gated networks take turns, {measurement.repeats} times; "
                "medians, and the median of the ratios."
            )
        ],
        [
            "network",
            "what",
            "plain, ms",
            "gated, ms",
            "ratio",
            "weights",
            "added",
        ],
        rows,
    )


def images(model: keras.Model, count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shape = (count, *model.input["image"].shape[1:])
    return {"image": rng.normal(size=shape).astype("float32")}


def steps(networks: dict[str, keras.Model], batch_size: int) -> dict:
    def step(model: keras.Model):
        model.compile(
            keras.optimizers.SGD(1e-4, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        inputs = images(model, batch_size)
        labels = {
            "label": np.arange(batch_size) % model.output["label"].shape[1]
        }
        return lambda: model.train_on_batch(inputs, labels)

    return {label: step(model) for label, model in networks.items()}


def predictions(networks: dict[str, keras.Model], batch_size: int) -> dict:
    def prediction(model: keras.Model):
        call = tf.function(
            lambda inputs: model(inputs, training=False)["label"]
        )
        inputs = tf.nest.map_structure(tf.constant, images(model, batch_size))
        return lambda: call(inputs).numpy()

    return {label: prediction(model) for label, model in networks.items()}


if __name__ == "__main__":
    main(tyro.cli(Measurement))
