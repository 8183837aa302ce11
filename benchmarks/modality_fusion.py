"""Single modalities against ways to fuse them, on your images.

    python -m benchmarks.modality_fusion --data-dir DIR \\
        --modalities rgb thermal depth

Every row trains the same network for the same number of steps on the same
crops, once for each seed, and is measured on the validation part, on which
nothing was chosen or stopped. Runs are those of `semantic_segmentation`, under
RUNS_DIR; finished ones are not trained again, so a stopped benchmark goes on.
"""

import dataclasses
import shlex
import sys

import keras
import tyro

from applications import training
from applications.semantic_segmentation.config import PRESETS
from applications.semantic_segmentation.config import Config
from benchmarks.tables import percent
from benchmarks.tables import write_table
from keras_fusion.models import BRANCH_FUSIONS

TASK = "semantic_segmentation"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Compares single modalities and fusions of them."""

    config: Config = PRESETS["default"]
    """Settings of every row but for fusion, modalities and seed."""
    alone: bool = True
    """Train each modality alone too."""
    fusions: tuple[str, ...] = tuple(BRANCH_FUSIONS)
    """Fusions to train."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds over which a row's mean and deviation are taken."""


def main(comparison: Comparison) -> None:
    runs = {label: [] for label, _ in variants(comparison)}
    for seed in comparison.seeds:
        for label, config in variants(comparison):
            keras.backend.clear_session()
            name = f"{config.name}-{label.replace(' ', '-')}-{seed}"
            run = dataclasses.replace(config, seed=seed, name=name)
            runs[label].append(training.train(TASK, run))
    rows = [row for label in runs for row in describe(label, runs[label])]
    write(comparison.config, comparison.seeds, rows)


def variants(comparison: Comparison) -> list[tuple[str, Config]]:
    config = comparison.config
    alone = [
        (f"{m} alone", dataclasses.replace(config, modalities=(m,)))
        for m in config.modalities
    ]
    fused = [
        (fusion, dataclasses.replace(config, fusion=fusion))
        for fusion in comparison.fusions
    ]
    return alone * comparison.alone + fused


def describe(label: str, runs: list[dict]) -> list[dict]:
    """A row for each output, the one that a user would take first."""
    outputs = list(runs[0]["mean_iou"])[::-1]
    classes = list(runs[0]["iou_by_class"][outputs[0]])
    rows = []
    for output in outputs:
        row = {"network": label, "output": output}
        row[f"IoU {classes[-1]}"] = percent(
            [run["iou_by_class"][output][classes[-1]] for run in runs]
        )
        row["mean IoU"] = percent([run["mean_iou"][output] for run in runs])
        row["exchanged %"] = row["weight"] = ""
        if output in runs[0].get("ensemble_weights", {}):
            row["weight"] = percent(
                [run["ensemble_weights"][output] for run in runs]
            )
        if "exchanged_channels" in runs[0] and output != "ensemble":
            row["exchanged %"] = percent(
                [run["exchanged_share"][output] for run in runs]
            )
        row["parameters"] = f"{runs[0]['parameters']:,}"
        row["s/step"] = f"{min(run['seconds_per_step'] for run in runs):.3f}"
        rows.append(row)
    return rows


def write(config: Config, seeds: tuple[int, ...], rows: list[dict]) -> None:
    arguments = shlex.join(sys.argv[1:])
    notes = [
        f"`python -m benchmarks.modality_fusion {arguments}`",
        "",
        (
            f"{config.epochs} epochs, batch {config.batch_size}, images shrunk "
            f"to {config.resize}, crops of {config.crop} pixels; seeds "
            f"{', '.join(map(str, seeds))}. Validation part, mean ± sample "
            "deviation over the seeds, in per cent; s/step is the smallest of "
            "the seeds."
        ),
    ]
    columns = list(rows[0])
    write_table(
        "modality_fusion",
        f"Fusion of {', '.join(config.modalities)}",
        notes,
        columns,
        [list(row.values()) for row in rows],
    )


if __name__ == "__main__":
    main(tyro.cli(Comparison))
