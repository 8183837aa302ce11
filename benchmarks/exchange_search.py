"""Where channels are best exchanged, and under which scale, on your images.

    python -m benchmarks.exchange_search --data-dir DIR \\
        --modalities rgb thermal depth

This file is a search space too: the search tries sets of stages and
thresholds, each for the same number of epochs from the same start. The best
one and the published setting (all stages, 0.02) are then trained again from
other seeds, because the best of many trials is lucky as well as good.
Everything is measured on the validation part. A stopped benchmark goes on.
"""

import dataclasses
import shlex
import statistics
import sys
from pathlib import Path

import keras
import tyro

from applications import files
from applications import training
from applications.semantic_segmentation.config import PRESETS
from applications.semantic_segmentation.config import Config
from benchmarks.tables import percent
from benchmarks.tables import write_table
from tuning import results
from tuning import search as searches
from tuning import workers
from tuning.flags import Flags

TASK = "semantic_segmentation"
OBJECTIVE = "max mean_iou.ensemble"
STAGES = (1, 2, 3, 4)


def space(hp):
    stages = [hp.Boolean(f"stage_{n}", default=True) for n in STAGES]
    return {
        "fusion_stages": tuple(
            n for n, used in zip(STAGES, stages, strict=True) if used
        ),
        "threshold": hp.Float(
            "threshold", 1e-3, 0.3, sampling="log", default=0.02
        ),
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Searches stages and threshold, and compares with the published ones."""

    config: tyro.conf.OmitArgPrefixes[Config] = dataclasses.replace(
        PRESETS["default"], epochs=12
    )
    trials: int = 12
    """Trials of the search."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Seeds of the trainings that are compared."""


def main(benchmark: Benchmark) -> None:
    flags = Flags(trials=benchmark.trials, space=Path(__file__))
    search = searches.begin(TASK, flags, benchmark.config)
    workers.run(search, [])
    trials = results.ranked(search, results.read(search))
    best = search.config(trials[0].name, trials[0].values)
    published = dataclasses.replace(
        benchmark.config, fusion_stages=STAGES, threshold=0.02
    )
    rows = [
        trained(benchmark, label, config)
        for label, config in (("published", published), ("best", best))
    ]
    write(search, benchmark, trials, rows)


def trained(benchmark: Benchmark, label: str, config: Config) -> list[str]:
    """The row of a setting that is trained from every seed."""
    metrics = []
    for seed in benchmark.seeds:
        keras.backend.clear_session()
        config = dataclasses.replace(
            config,
            name=f"{benchmark.config.name}-{label}-{seed}",
            runs_dir=benchmark.config.runs_dir,
            seed=seed,
        )
        metrics.append(training.train(TASK, config))
    seeds = ", ".join(map(str, benchmark.seeds))
    shares = [statistics.mean(m["exchanged_share"].values()) for m in metrics]
    return [
        f"{label}, seeds {seeds}",
        stages(config.fusion_stages),
        f"{config.threshold:.3g}",
        percent([m["mean_iou"]["ensemble"] for m in metrics]),
        percent(shares),
    ]


def stages(numbers: tuple[int, ...]) -> str:
    return " ".join(map(str, numbers)) or "none"


def write(search, benchmark: Benchmark, trials: list, rows: list) -> None:
    config = benchmark.config
    command = shlex.join(sys.argv[1:])
    for trial in trials:
        metrics = files.read_json(search.folder / trial.name / "metrics.json")
        share = statistics.mean(metrics["exchanged_share"].values())
        changed = search.space.changed(trial.values, config)
        rows.append(
            [
                f"trial {trial.name}",
                stages(changed.fusion_stages),
                f"{changed.threshold:.3g}",
                f"{100 * trial.score:.1f}",
                f"{100 * share:.1f}",
            ]
        )
    write_table(
        "exchange_search",
        f"Where to exchange channels of {', '.join(config.modalities)}",
        [
            f"`python -m benchmarks.exchange_search {command}`",
            "",
            (
                f"{config.epochs} epochs each, batch {config.batch_size}, "
                f"images shrunk to {config.resize}, crops of {config.crop} "
                f"pixels; trials with seed {config.seed}. Mean IoU of the "
                "ensemble on the validation part and the mean exchanged share "
                "of the penalized channels, in per cent, ± sample deviation "
                "over the seeds."
            ),
        ],
        ["setting", "stages", "threshold", "mean IoU", "exchanged"],
        rows,
    )


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
