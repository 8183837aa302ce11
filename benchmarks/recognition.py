"""Which pooling recognizes categories best, and which looks at them.

    python -m benchmarks.recognition
    python -m benchmarks.recognition --config.data-dir DIR \\
        --config.modalities rgb depth

Every row has the same backbone, images, epochs and, by the width of its last
features, about the same number of weights; it is measured on the test part,
else on validation, on which nothing was chosen.
"""

import dataclasses
import statistics
from pathlib import Path
from typing import Any

import keras
import tyro

from applications.callbacks import StepTimer
from applications.multilabel_recognition import Config
from applications.multilabel_recognition import build_model
from applications.multilabel_recognition import callbacks
from applications.multilabel_recognition import load_data
from applications.multilabel_recognition import measure
from benchmarks.fitting import fit
from benchmarks.tables import percent
from benchmarks.tables import spread
from benchmarks.tables import write_table
from keras_fusion.models import CATEGORY_POOLINGS

# Changes of the config that make a row.
METHODS: dict[str, dict[str, Any]] = {
    "semantic_attention": {},
    "semantic_attention, no graph": {"graph_steps": 0},
    **{
        name: {"pooling": name, "graph_steps": 0}
        for name in CATEGORY_POOLINGS
        if name != "semantic_attention"
    },
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Compares ways to pool a map for many categories."""

    methods: tuple[str, ...] = tuple(METHODS)
    """Rows of the table."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds over which mean and deviation are taken."""
    equal_weights: bool = True
    """Widen the last features of every row to as many weights as the first
    has."""
    config: Config = Config()
    """Settings of every row but for the method, its width and the seed."""
    name: str = "recognition"
    """Of the file under benchmarks/results."""


def main(comparison: Comparison) -> None:
    first = load_data(comparison.config).config
    budget = build_model(first).count_params()
    rows = []
    for method in comparison.methods:
        changes = dict(METHODS[method])
        if comparison.equal_weights:
            changes["units"] = width_of(budget, first, changes)
        found = [
            train(method, changes, s, comparison) for s in comparison.seeds
        ]
        rows.append([method, *cells(found)])
    write_table(
        comparison.name,
        "Poolings of a map for many categories",
        [note(comparison)],
        ["pooling", "mAP", "OF1", "pointing", "weights", "step"],
        rows,
    )


def note(comparison: Comparison) -> str:
    config = comparison.config
    source = f"{config.dataset}, {config.rooms} for training"
    if config.data_dir:
        source = f"{Path(config.data_dir).name}, mask {config.mask}"
    return (
        f"Data: {source}; modalities {', '.join(config.modalities)}; side "
        f"{config.side}, {config.epochs} epochs in batches of "
        f"{config.batch_size}; seeds {', '.join(map(str, comparison.seeds))}. "
        "mAP, OF1 at one half and pointing accuracy (by chance in brackets) in "
        "per cent, mean and deviation over seeds of weights and order; a dash "
        "is a pooling without maps. A step is the median of a training's."
    )


def width_of(budget: int, config: Config, changes: dict[str, Any]) -> int:
    """The `units` that bring a row nearest to a number of weights.

    The number grows linearly with them, so two models tell it.
    """

    def count(units: int) -> int:
        changed = dataclasses.replace(config, **changes, units=units)
        return build_model(changed).count_params()

    base = count(1)
    slope = count(2) - base
    return max(1, min(4096, round(1 + (budget - base) / slope)))


def train(
    method: str, changes: dict[str, Any], seed: int, comparison: Comparison
) -> dict[str, Any]:
    """Scores, weights and seconds of a step after the last epoch."""
    keras.utils.clear_session()
    config = dataclasses.replace(comparison.config, **changes, seed=seed)
    keras.utils.set_random_seed(seed)
    data = load_data(config)
    model, timer = build_model(data.config), StepTimer()
    # Without the picture of the graph, which goes into a run's folder.
    plain = dataclasses.replace(data.config, cooccurrence=())
    rates = callbacks(plain, None, Path())
    fit(model, data.train(), config.epochs, [timer, *rates])
    split, dataset = data.split("test", "validation")
    scores = measure(model, dataset, data.config)
    found = {
        "map": scores["mean_average_precision"],
        "of1": scores["at_half"]["OF1"],
        "pointing": scores.get("pointing_accuracy"),
        "chance": scores.get("pointing_chance"),
        "weights": model.count_params(),
        "milliseconds": 1000 * (timer.median() or 0.0),
    }
    print(method, seed, split, found, flush=True)
    return found


def cells(found: list[dict[str, Any]]) -> list[str]:
    points = [one["pointing"] for one in found if one["pointing"] is not None]
    pointing = "-"
    if points:
        chance = statistics.mean(one["chance"] for one in found)
        pointing = f"{percent(points)} ({100 * chance:.1f})"
    return [
        percent([one["map"] for one in found]),
        percent([one["of1"] for one in found]),
        pointing,
        f"{found[0]['weights']:,}",
        f"{spread([one['milliseconds'] for one in found], 0)} ms",
    ]


if __name__ == "__main__":
    main(tyro.cli(Comparison, description=__doc__))
