"""Five ways in which words meet a picture, at about equally many weights.

    python -m benchmarks.text_vision_fusion --data-dir DIR

Every row trains the same network but for its fusion, whose width is chosen so
that all have about as many weights, on the same examples in the same order,
once for each seed: on demonstrations in the mini world, on goal pixels (see
`goal_pixels`), and, given a folder in the Blocks format, on demonstrations of
people's instructions. The last row, without people, asks what a fusion that
pools its map away owes to channels that tell places.

Results lie under RUNS_DIR; what is there is not trained again, so that a
stopped benchmark goes on. For other settings give another one.
"""

import dataclasses
import functools
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tyro

from applications import files
from applications import instruction_following
from applications.instruction_following import scores
from applications.instruction_following import sources
from applications.instruction_following.config import PRESETS
from applications.instruction_following.config import Config
from applications.instruction_following.data import Part
from applications.instruction_following.data import policy_batch
from applications.instruction_following.model import learning_rate_at
from benchmarks import goal_pixels
from benchmarks.tables import percent
from benchmarks.tables import spread
from benchmarks.tables import write_table

ROWS = {
    "concat": ("concat", True),
    "local_dense": ("local_dense", True),
    "text_convolution": ("text_convolution", True),
    "text_gate": ("text_gate", True),
    "bilinear": ("bilinear", True),
    "bilinear_without_coordinates": ("bilinear", False),
}
"""Fusion, and whether it gets coordinate channels."""
# The width that is changed to reach a number of weights.
WIDTHS = {
    "concat": "image_units",
    "local_dense": "fusion_units",
    "text_convolution": "fusion_units",
    "text_gate": "image_units",
    "bilinear": "fusion_units",
}
# What the table tells of each task.
MEASURED = {
    "mini": ("success", "block", "first_move", "mean_end_distance"),
    "goal": ("accuracy", "bits"),
    "people": (
        *("mean_end_distance", "mean_minimum_distance"),
        *("block", "first_move"),
    ),
}
SHARES = ("success", "block", "first_move", "accuracy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Compares five fusions of text and picture."""

    data_dir: str | None = None
    """Folder in the Blocks format; None: generated tasks alone."""
    runs_dir: str = "runs"
    """Folder of the runs."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds over which a row's mean and deviation are taken."""
    rows: tuple[str, ...] = tuple(ROWS)
    """Rows of the table."""
    epochs: int = 2
    """Passes over the boards of the mini world."""
    boards: int = 10000
    """Boards of the mini world."""
    people_steps: int = 1200
    """Steps of training, of 64 states, on people's demonstrations."""
    weights: int = 300_000
    """Weights of every agent, about."""
    goal_weights: int = 60_000
    """Weights of every network that finds goal pixels, about."""


def main(comparison: Comparison) -> None:
    table = {name: [name] for name in comparison.rows}
    for task in tasks(comparison):
        for name, row in table.items():
            left_out = task == "people" and not ROWS[name][1]
            seeds = () if left_out else comparison.seeds
            results = [measured(comparison, task, name, seed) for seed in seeds]
            row += cells(task, results)
    write(comparison, list(table.values()))


def tasks(comparison: Comparison) -> list[str]:
    return [x for x in MEASURED if x != "people" or comparison.data_dir]


def measured(comparison: Comparison, task: str, name: str, seed: int) -> dict:
    """What was measured, now or before."""
    folder = Path(comparison.runs_dir) / "text_vision_fusion"
    file = folder / f"{task}-{name}-{seed}.json"
    if not file.is_file():
        print(f"\n{task}, {name}, seed {seed}", flush=True)
        results = {"mini": mini, "goal": goal, "people": people}[task](
            comparison, name, seed
        )
        print(results, flush=True)
        files.write_json(file, results)
    return files.read_json(file)


def mini(comparison: Comparison, name: str, seed: int) -> dict:
    config = dataclasses.replace(
        PRESETS["default"], epochs=comparison.epochs, boards=comparison.boards
    )
    return agent(as_in_row(config, comparison, name), seed)


def people(comparison: Comparison, name: str, seed: int) -> dict:
    config = dataclasses.replace(
        PRESETS["default"],
        data_dir=comparison.data_dir,
        # For the sake of the learning rate, which sinks from one to the next.
        epochs=4,
        text_length=40,
        resolution=64,
        filters=(32, 32, 32),
        kernel_sizes=(4, 4, 3),
        strides=(4, 2, 1),
    )
    config = as_in_row(config, comparison, name)
    return agent(config, seed, comparison.people_steps // config.epochs)


def as_in_row(config: Config, comparison: Comparison, name: str) -> Config:
    fusion, coordinates = ROWS[name]
    config = dataclasses.replace(config, fusion=fusion, coordinates=coordinates)
    config = instruction_following.load_data(config).config
    return at_weights(config, comparison.weights)


@functools.cache
def at_weights(config: Config, weights: int) -> Config:
    """The config with the width that comes nearest to so many weights."""
    field = WIDTHS[config.fusion]

    def count(width: int) -> int:
        keras.backend.clear_session()
        changed = dataclasses.replace(config, **{field: width})
        return instruction_following.build_model(changed).count_params()

    return dataclasses.replace(config, **{field: width_at(weights, count)})


def width_at(weights: int, count: Callable[[int], int]) -> int:
    """The width, up to 1,024, whose growing count comes nearest to weights."""
    low, high = 1, 1024
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < weights else (low, middle)
    return min((low, high), key=lambda width: abs(count(width) - weights))


def agent(config: Config, seed: int, steps: int | None = None) -> dict:
    """Trains an agent, maybe for fewer steps an epoch, and measures it."""
    config = dataclasses.replace(config, seed=seed)
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    model = instruction_following.build_model(config)
    data = instruction_following.load_data(config)
    train, steps_per_epoch = data.train()
    model.fit(
        train,
        steps_per_epoch=steps or steps_per_epoch,
        epochs=config.epochs,
        shuffle=False,
        callbacks=[
            keras.callbacks.LearningRateScheduler(
                lambda epoch: learning_rate_at(epoch, config)
            )
        ],
        verbose=2,
    )
    _, held_out = data.split("validation")
    metrics = instruction_following.measure(model, held_out, config)
    return {
        "parameters": model.count_params(),
        **{key: metrics[key] for key in scores.KEYS},
        **heads(model, config),
    }


def heads(model: keras.Model, config: Config) -> dict[str, float]:
    """How often each head says what is demonstrated first, when held out."""
    # That part is the same whatever is generated for training.
    few = dataclasses.replace(config, boards=1)
    part = Part(sources.find(few).splits["validation"](), config)
    right = {"block": [], "direction": []}
    rows = np.arange(len(part.lengths))
    for some in np.array_split(rows, -(-len(rows) // 64)):
        inputs, targets = policy_batch(part, some, 0 * some, (False, False))
        outputs = model(inputs, training=False)
        for head, results in right.items():
            said = np.argmax(outputs[head], axis=1)
            results.append(said == targets[head])
    block, move = (float(np.concatenate(x).mean()) for x in right.values())
    return {"block": block, "first_move": move}


def goal(comparison: Comparison, name: str, seed: int) -> dict:
    def build(width: int) -> keras.Model:
        keras.backend.clear_session()
        return goal_pixels.network(*ROWS[name], width)

    width = width_at(
        comparison.goal_weights, lambda width: build(width).count_params()
    )
    keras.utils.set_random_seed(seed)
    model = build(width)
    parameters = model.count_params()
    return {"parameters": parameters, **goal_pixels.learn(model, seed)}


def cells(task: str, results: list[dict]) -> list[str]:
    """The entries of a row that these runs fill; empty ones for none."""
    if not results:
        return [""] * (1 + len(MEASURED[task]))
    filled = [f"{results[0]['parameters']:,}"]
    for key in MEASURED[task]:
        values = [result[key] for result in results]
        filled.append(percent(values) if key in SHARES else spread(values, 2))
    return filled


def write(comparison: Comparison, table: list[list[str]]) -> None:
    titles = [
        *("fusion", "weights", "success %", "block %", "first move %", "end"),
        *("weights, goal", "goal pixel %", "bits"),
    ]
    passes = (
        f"Mini world: {comparison.epochs} epochs of {comparison.boards:,} "
        "boards, 400 held out. Goal pixel: 6,000 examples, 10 epochs, 2,000 "
        "held out; floor without the text 3.91 bits and 6.7 %."
    )
    if comparison.data_dir:
        titles += [
            *("weights, people", "end", "least", "block %", "first move %")
        ]
        passes += (
            f" People's instructions: {comparison.people_steps:,} steps of 64 "
            "states of the train part, measured on dev."
        )
    notes = [
        f"`python -m benchmarks.text_vision_fusion {shlex.join(sys.argv[1:])}`",
        "",
        (
            f"{passes} Supervised; `end` and `least` are distances in blocks; "
            "`block` and `first move` are the heads' accuracies at the start; "
            "mean ± sample deviation over the seeds "
            f"{', '.join(map(str, comparison.seeds))}."
        ),
    ]
    title = "Five ways in which words meet a picture"
    write_table("text_vision_fusion", title, notes, titles, table)


if __name__ == "__main__":
    main(tyro.cli(Comparison))
