"""Single modalities against ways to fuse them, on your images.

    python -m benchmarks.modality_fusion --config.data-dir DIR \\
        --config.modalities rgb thermal depth

Measured on the validation part, on which nothing was chosen or stopped. Runs
are those of `semantic_segmentation`, under RUNS_DIR; finished ones are not
trained again, so a stopped benchmark goes on.
"""

import dataclasses
import shlex
import sys

import tyro

from applications.semantic_segmentation.config import PRESETS
from applications.semantic_segmentation.config import Config
from benchmarks import fused_runs
from benchmarks.tables import percent
from benchmarks.tables import write_table

TASK = "semantic_segmentation"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison(fused_runs.Comparison):
    config: Config = PRESETS["default"]
    """Settings of every row but for fusion, modalities and seed."""
    name: str = "modality_fusion"
    """Of the file under benchmarks/results."""


def main(comparison: Comparison) -> None:
    found = fused_runs.train(TASK, comparison)
    rows = [row for label in found for row in describe(label, found[label])]
    write(comparison, rows)


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
        row |= fused_runs.costs(runs, output)
        rows.append(row)
    return rows


def write(comparison: Comparison, rows: list[dict]) -> None:
    config, seeds = comparison.config, comparison.seeds
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
        comparison.name,
        f"Fusion of {', '.join(config.modalities)}",
        notes,
        columns,
        [list(row.values()) for row in rows],
    )


if __name__ == "__main__":
    main(tyro.cli(Comparison, description=__doc__))
