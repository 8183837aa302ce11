"""Five ways in which words meet a picture, at about equally many weights.

    python -m benchmarks.text_vision_fusion --data-dir DIR

Every row trains the same network but for its fusion, whose width is chosen so
that all have about as many weights, on the same demonstrations in the same
order, once for each seed: on the mini world, with the goal's cell as one more
output; and, given a folder in the Blocks format, on people's instructions.
Runs are those of `instruction_following`, under RUNS_DIR; finished ones are
not trained again, so a stopped benchmark goes on.
"""

import dataclasses
import shlex
import statistics
import sys

from applications import startup

startup.import_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tyro  # noqa: E402

from applications import instruction_following  # noqa: E402
from applications import training  # noqa: E402
from applications.instruction_following.config import PRESETS  # noqa: E402
from applications.instruction_following.config import Config  # noqa: E402
from benchmarks.timing import write_table  # noqa: E402

TASK = "instruction_following"
FUSIONS = (
    "concat",
    "local_dense",
    "text_convolution",
    "text_gate",
    "bilinear",
)
# The width that is changed to reach a number of weights.
WIDTHS = {
    "concat": "image_units",
    "local_dense": "fusion_units",
    "text_convolution": "fusion_units",
    "text_gate": "image_units",
    "bilinear": "fusion_units",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Compares five fusions of text and picture."""

    data_dir: str | None = None
    """Folder in the Blocks format; None: the mini world alone."""
    runs_dir: str = "runs"
    """Folder of the runs."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds over which a row's mean and deviation are taken."""
    fusions: tuple[str, ...] = FUSIONS
    """Fusions to train."""
    epochs: int = 2
    """Passes over the boards of the mini world."""
    boards: int = 16000
    """Boards of the mini world."""
    blocks_epochs: int = 1
    """Passes over the states of people's demonstrations."""
    weights: int = 200_000
    """Weights of every network, about, on the mini world."""


def main(comparison: Comparison) -> None:
    rows = []
    for fusion in comparison.fusions:
        row = [fusion]
        for label, config in settings(comparison, fusion).items():
            runs = []
            for seed in comparison.seeds:
                keras.backend.clear_session()
                name = f"fusion-{label}-{fusion}-{seed}"
                run = dataclasses.replace(config, seed=seed, name=name)
                metrics = training.train(TASK, run)
                if label == "mini":
                    metrics["goal_accuracy"] = goal_accuracy(run)
                runs.append(metrics)
            row += cells(label, runs)
        rows.append(row)
    write(comparison, rows)


def settings(comparison: Comparison, fusion: str) -> dict[str, Config]:
    """The settings of each column's runs."""
    mini = dataclasses.replace(
        PRESETS["default"],
        runs_dir=comparison.runs_dir,
        fusion=fusion,
        epochs=comparison.epochs,
        boards=comparison.boards,
        goal_weight=1.0,
    )
    found = {"mini": mini}
    if comparison.data_dir:
        found["blocks"] = dataclasses.replace(
            mini,
            data_dir=comparison.data_dir,
            epochs=comparison.blocks_epochs,
            resolution=80,
            frames=2,
            filters=(32, 32, 32),
            kernel_sizes=(6, 4, 3),
            strides=(4, 2, 2),
        )
    return {
        label: at_weights(instruction_following.prepare(config), comparison)
        for label, config in found.items()
    }


def at_weights(config: Config, comparison: Comparison) -> Config:
    """The config with the width that comes nearest to the weights."""
    field = WIDTHS[config.fusion]

    def apart(width: int) -> int:
        changed = dataclasses.replace(config, **{field: width})
        model = instruction_following.build_model(changed)
        keras.backend.clear_session()
        return model.count_params() - comparison.weights

    low, high = 1, 1024
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if apart(middle) < 0 else (low, middle)
    best = min((low, high), key=lambda width: abs(apart(width)))
    return dataclasses.replace(config, **{field: best})


def goal_accuracy(config: Config) -> float:
    """How often the most likely cell at the start has the goal."""
    config = instruction_following.prepare(config)
    model = training.load_model(training.runs.folder(TASK, config))
    right = []
    for inputs, targets in instruction_following.load_data(config).validation:
        goal = model(inputs, training=False)["goal"]
        right.append(np.argmax(goal, axis=1) == targets["goal"].numpy())
    return float(np.concatenate(right).mean())


def cells(label: str, runs: list[dict]) -> list[str]:
    """The columns of a row that these runs fill."""
    ends = spread([run["mean_end_distance"] for run in runs], 2)
    count = f"{runs[0]['parameters']:,}"
    if label == "blocks":
        return [count, ends]
    success = spread([100 * run["success"] for run in runs])
    goals = spread([100 * run["goal_accuracy"] for run in runs])
    return [count, success, ends, goals]


def spread(values: list[float], digits: int = 1) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def write(comparison: Comparison, rows: list[list[str]]) -> None:
    columns = ["fusion", "weights", "success %", "end distance", "goal cell %"]
    if comparison.data_dir:
        columns += ["weights, people", "end distance, people"]
    notes = [
        f"`python -m benchmarks.text_vision_fusion {shlex.join(sys.argv[1:])}`",
        "",
        (
            f"Mini world: {comparison.epochs} epochs of {comparison.boards} "
            "boards, supervised, the goal's cell as one more output. "
            "People's instructions: "
            f"{comparison.blocks_epochs} epoch(s), supervised. Validation "
            "part, distances in block lengths, mean ± sample deviation over "
            f"the seeds {', '.join(map(str, comparison.seeds))}."
        ),
    ]
    write_table(
        "text_vision_fusion",
        "Five ways in which words meet a picture",
        notes,
        columns,
        rows,
    )


if __name__ == "__main__":
    main(tyro.cli(Comparison))
