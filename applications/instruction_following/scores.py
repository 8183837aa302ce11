"""How well an agent follows instructions, beside those that need no learning.

Distances are in block lengths. Success is to stop with the whole arrangement
within a block's length of its target.
"""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from applications.instruction_following import players
from applications.instruction_following import policy
from applications.instruction_following.batched_world import BatchedWorld
from applications.instruction_following.config import Config
from applications.instruction_following.demonstrations import Demonstrations
from applications.instruction_following.players import Played
from applications.instruction_following.views import with_test_time_augmentation

KEYS = (
    "mean_end_distance",
    "median_end_distance",
    "mean_minimum_distance",
    "success",
    "stop_rate",
)
BASELINES = ("stop", "random", "oracle")


def measure(
    model: keras.Model, dataset: Iterable, config: Config
) -> dict[str, Any]:
    """The contents of `metrics.json` that are about following instructions."""
    results = {"agent": [], **{name: [] for name in BASELINES}}
    play = player_of(model, config)
    for inputs, targets in dataset:
        inputs, targets = arrays(inputs), arrays(targets)
        world = world_of(targets, config)
        results["agent"].append(players.play(play(inputs, targets), world))
        rng = np.random.default_rng([config.seed, 3, len(results["stop"])])
        demonstrations = demonstrations_of(targets)
        for name, player in (
            ("stop", players.stopping),
            ("random", players.random_player(rng)),
            ("oracle", players.oracle(demonstrations)),
        ):
            world = world_of(targets, config)
            results[name].append(players.play(player, world))
    summaries = {name: summary(whole(r)) for name, r in results.items()}
    return {
        **summaries.pop("agent"),
        "modalities": list(config.modalities),
        "baselines": summaries,
    }


def table(metrics: dict[str, Any]) -> str:
    """A line for the agent and for each baseline."""
    titles = ("end", "median", "minimum", "success", "stops")
    name = f"agent ({' + '.join(metrics['modalities'])})"
    rows = {name: metrics} | metrics["baselines"]
    lines = [f"{'block lengths':<24}" + "".join(f"{t:>9}" for t in titles)]
    for label, row in rows.items():
        values = [f"{row[key]:9.3f}" for key in KEYS[:3]]
        values += [f"{100 * row[key]:7.1f} %" for key in KEYS[3:]]
        lines.append(f"{label:<24}" + "".join(values))
    return "\n".join(lines)


def summary(played: Played) -> dict[str, float]:
    return {
        "mean_end_distance": float(played.distance.mean()),
        "median_end_distance": float(np.median(played.distance)),
        "mean_minimum_distance": float(played.least.mean()),
        "success": float(successes(played).mean()),
        "stop_rate": float(played.stopped.mean()),
    }


def successes(played: Played) -> np.ndarray:
    return played.stopped & (played.distance < 1)


def played(model: keras.Model, batches: Iterable, config: Config) -> Played:
    """The model's episodes from the starts of some batches."""
    play = player_of(model, config)
    results = []
    for inputs, targets in batches:
        inputs, targets = arrays(inputs), arrays(targets)
        world = world_of(targets, config)
        results.append(players.play(play(inputs, targets), world))
    return whole(results)


def whole(parts: list[Played]) -> Played:
    """All episodes in one; without their paths, which differ in length."""
    joined = [
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("distance", "least", "stopped")
    ]
    return Played(*joined, path=np.zeros((0,)))


def player_of(model: keras.Model, config: Config) -> Any:
    """A function from a batch to the player that the model is."""
    if config.agent == "planner":
        outputs = players.planner_outputs(model)
        if config.mirror:
            outputs = with_test_time_augmentation(outputs, config)
        return lambda inputs, targets: players.PlannerPlayer(
            outputs, config, inputs["text"]
        )
    scores = players.policy_scores(model)
    rng = np.random.default_rng([config.seed, 4])
    return lambda inputs, targets: players.PolicyPlayer(
        scores, config, inputs["text"], lambda x: policy.greedy(x, rng)
    )


def world_of(targets: dict, config: Config) -> BatchedWorld:
    return BatchedWorld(config.rules, targets["start"], targets["target"])


def demonstrations_of(targets: dict) -> Demonstrations:
    return Demonstrations(
        targets["points"], targets["actions"], targets["length"]
    )


def arrays(group: dict) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in group.items()}
