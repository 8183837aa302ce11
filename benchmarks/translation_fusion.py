"""One image made of others: single modalities against ways to fuse them.

    python -m benchmarks.translation_fusion
    python -m benchmarks.translation_fusion --config.data-dir DIR \\
        --config.modalities thermal depth --config.target rgb

Measured on the validation part, on which nothing was chosen or stopped. Runs
are those of `image_translation`, under RUNS_DIR; finished ones are not trained
again, so a stopped benchmark goes on.
"""

import dataclasses
from pathlib import Path

import tyro

from applications.image_translation.config import PRESETS
from applications.image_translation.config import Config
from benchmarks import fused_runs
from benchmarks.tables import spread
from benchmarks.tables import write_table

TASK = "image_translation"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison(fused_runs.Comparison):
    config: Config = PRESETS["default"]
    """Settings of every row but for fusion, modalities and seed."""
    name: str = "translation_fusion"
    """Of the file under benchmarks/results."""


def main(comparison: Comparison) -> None:
    found = fused_runs.train(TASK, comparison)
    rows = [row for label in found for row in describe(label, found[label])]
    config = comparison.config
    names = ", ".join(config.modalities)
    write_table(
        comparison.name,
        f"{config.target} made of {names}",
        [note(comparison, next(iter(found.values()))[0])],
        list(rows[0]),
        [list(row.values()) for row in rows],
    )


def describe(label: str, runs: list[dict]) -> list[dict]:
    """A row for each output, the one that a user would take first."""
    rows = []
    for output in reversed(runs[0]["l1"]):
        row = {"network": label, "output": output}
        for score, digits in (("l1", 4), ("psnr", 2), ("ssim", 3)):
            values = [run[score][output] for run in runs]
            row[score.upper()] = spread(values, digits)
        rows.append(row | fused_runs.costs(runs, output))
    return rows


def note(comparison: Comparison, metrics: dict) -> str:
    config = comparison.config
    source = Path(config.data_dir).name if config.data_dir else "rendered rooms"
    simple = ", ".join(
        f"{name} {scores['l1']:.4f}"
        for name, scores in metrics["baselines"].items()
        if name == "mean image"
    )
    return (
        f"Data: {source}; {config.epochs} epochs, batch {config.batch_size}, "
        f"side {config.side}, adversarial weight {config.adversarial:g}; seeds "
        f"{', '.join(map(str, comparison.seeds))}. Validation part, images "
        "from 0 to 1, mean ± sample deviation over the seeds; L1 without a "
        f"network: {simple}. s/step is the smallest of the seeds, and that of "
        "an average the sum of its networks'."
    )


if __name__ == "__main__":
    main(tyro.cli(Comparison, description=__doc__))
