"""The heads of image classification over one network, side by side.

    python -m benchmarks.classification_heads
    python -m benchmarks.classification_heads --config.data-dir DIR \\
        --config.limit 500 --config.mirror --name classification_heads_cifar10

Every row trains the same network with another head, from the same seeds and
on the same batches in the same order, and is measured on the validation and
test parts together, on which nothing was chosen or stopped. Differences to
the plain network are taken seed by seed.
"""

import dataclasses
import functools
import shlex
import sys

import keras
import numpy as np
import tensorflow as tf
import tyro

from applications.image_classification import Config
from applications.image_classification import build_model
from applications.image_classification import load_data
from applications.image_classification import model as networks
from applications.image_classification import scores
from applications.task import Data
from benchmarks.fitting import fit
from benchmarks.tables import percent
from benchmarks.tables import write_table
from benchmarks.timing import alternate
from benchmarks.timing import milliseconds
from keras_fusion.callbacks import CompanionDecay
from keras_fusion.layers import LocallyConnectedFusion

PLAIN = "last (plain)"
LC = "locally_connected"
# Changes of the config that make a row.
VARIANTS = {
    PLAIN: {"head": "last"},
    "last, widened": {"head": "last"},
    "sum": {"head": "sum"},
    "mean": {"head": "mean"},
    "max": {"head": "max"},
    "shared": {"head": "shared"},
    LC: {"head": LC},
    f"{LC}, rate x 0.1": {"head": LC, "fusion_rate": 0.1},
    f"{LC}, no bias, no ReLU": {
        "head": LC,
        "fusion_bias": False,
        "fusion_relu": False,
    },
    f"{LC}, 3x3 sides": {"head": LC, "side_kernel_size": 3},
    "gated": {"head": "gated"},
    "concat": {"head": "concat"},
    "dag": {"head": "dag"},
    "eplf": {"head": "eplf"},
    "dsn": {"head": "dsn"},
}
WIDENED = (
    " The widened network has the weights of locally connected fusion in its "
    "last convolution."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Compares heads."""

    config: Config = Config(epochs=20, batch_size=64)
    """Settings of every row but for the head and the seed."""
    heads: tuple[str, ...] = tuple(VARIANTS)
    """Rows, the plain network first."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds over which a row's mean and deviation are taken."""
    repeats: int = 15
    """Timed steps of each row; 0: none."""
    name: str = "classification_heads"
    """Of the file under benchmarks/results."""


def main(comparison: Comparison) -> None:
    configs = variants(comparison)
    accuracy = {}
    for label, config in configs.items():
        model = build_model(config)
        accuracy[label] = [
            trained_accuracy(model, dataclasses.replace(config, seed=seed))
            for seed in comparison.seeds
        ]
        print(label, *(f"{value:.4f}" for value in accuracy[label]), flush=True)
    rows = describe(configs, accuracy, comparison.repeats)
    write(comparison, configs, rows)


def variants(comparison: Comparison) -> dict[str, Config]:
    if unknown := set(comparison.heads) - set(VARIANTS):
        raise ValueError(
            f"unknown rows {', '.join(unknown)}; they are: "
            f"{', '.join(VARIANTS)}"
        )
    config = load_data(comparison.config).config
    configs = {
        label: dataclasses.replace(config, **VARIANTS[label])
        for label in comparison.heads
    }
    if "last, widened" in configs:
        configs["last, widened"] = widened(configs["last, widened"])
    return configs


def widened(config: Config) -> Config:
    """The plain network with as many weights as with fused branches."""
    target = build_model(dataclasses.replace(config, head=LC)).count_params()
    while build_model(config).count_params() < target:
        width = config.branch_width + 1
        config = dataclasses.replace(config, branch_width=width)
    return config


def trained_accuracy(model: keras.Model, config: Config) -> float:
    start_afresh(model, config)
    data = load_data(config)
    callbacks = [
        keras.callbacks.LearningRateScheduler(
            lambda epoch: networks.learning_rate_at(epoch, config)
        )
    ]
    if config.head == "dsn":
        callbacks.append(CompanionDecay(config.epochs))
    fit(model, data.train(), config.epochs, callbacks)
    logits, labels = scores.outputs(model, held_out(data))
    return float((logits.argmax(axis=1) == labels).mean())


def held_out(data: Data) -> tf.data.Dataset:
    """The validation and test parts, as far as there are any."""
    names = [name for name in data.sizes if name != "train"]
    first, *others = (data.split(name)[1] for name in names)
    return functools.reduce(tf.data.Dataset.concatenate, others, first)


def start_afresh(model: keras.Model, config: Config) -> None:
    """Gives a model the weights of a new one; what is compiled stays."""
    keras.utils.set_random_seed(config.seed)
    fresh = build_model(config)
    for old, new in zip(model.variables, fresh.variables, strict=True):
        old.assign(new)
    for variable in model.optimizer.variables:
        variable.assign(keras.ops.zeros_like(variable))


def describe(
    configs: dict[str, Config], accuracy: dict[str, list], repeats: int
) -> list[list]:
    models = {label: build_model(config) for label, config in configs.items()}
    seconds = step_seconds(models, configs, repeats) if repeats else {}
    plain = np.array(accuracy.get(PLAIN, accuracy[next(iter(accuracy))]))
    rows = []
    for label, model in models.items():
        values = np.array(accuracy[label])
        rows.append(
            [
                label,
                percent(values, 2),
                percent(values - plain, 2) if label != PLAIN else "",
                f"{int((values > plain).sum())} / {int((values < plain).sum())}"
                if label != PLAIN
                else "",
                f"{used_in_prediction(model):,}",
                f"{multiplications(model) / 1e6:.2f}",
                f"{milliseconds(seconds[label]):.1f}" if seconds else "",
            ]
        )
    return rows


def used_in_prediction(model: keras.Model) -> int:
    """Trainable weights; companions serve training only."""
    return sum(
        int(np.prod(weight.shape))
        for weight in model.trainable_weights
        if not weight.path.startswith("companion_")
    )


def multiplications(model: keras.Model) -> int:
    """Multiplications of one image in convolutions, classifiers, fusions."""
    total = 0
    for layer in model.layers:
        if layer.name.startswith("companion_"):
            continue
        if isinstance(layer, (keras.layers.Conv1D, keras.layers.Conv2D)):
            positions = np.prod(layer.output.shape[1:-1])
            total += int(positions * np.prod(layer.kernel.shape))
        elif isinstance(layer, (keras.layers.Dense, LocallyConnectedFusion)):
            total += int(np.prod(layer.kernel.shape))
    return total


def step_seconds(
    models: dict[str, keras.Model], configs: dict[str, Config], repeats: int
) -> dict[str, list[float]]:
    def step(label: str):
        train, _ = load_data(configs[label]).train()
        batch = tf.nest.map_structure(lambda x: x.numpy(), next(iter(train)))
        return lambda: models[label].train_on_batch(*batch)

    return alternate({label: step(label) for label in models}, repeats)


def write(
    comparison: Comparison,
    configs: dict[str, Config],
    rows: list[list],
) -> None:
    config = next(iter(configs.values()))
    data = load_data(config)
    _, steps = data.train()
    count = sum(len(targets["label"]) for _, targets in held_out(data))
    arguments = shlex.join(sys.argv[1:])
    notes = [
        f"`python -m benchmarks.classification_heads {arguments}`".replace(
            " `", "`"
        ),
        "",
        (
            f"{config.epochs} epochs of {steps} steps, batch "
            f"{config.batch_size}; seeds "
            f"{', '.join(map(str, comparison.seeds))}. Accuracy on "
            f"{count:,} held-out images, mean ± sample deviation over the "
            "seeds, in per cent; the difference to the plain network is taken "
            "seed by seed, and won / lost counts the seeds. Weights and "
            "multiplications (millions an image) are those of prediction. "
            "Steps of training take turns; medians."
            + WIDENED
            * ("last, widened" in configs)
        ),
    ]
    write_table(
        comparison.name,
        "Heads of image classification",
        notes,
        [
            "head",
            "accuracy",
            "difference",
            "won / lost",
            "weights",
            "MACs, M",
            "ms/step",
        ],
        rows,
    )


if __name__ == "__main__":
    main(tyro.cli(Comparison))
