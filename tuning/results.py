"""What a search has found so far, in files that outlive the tuner."""

import dataclasses
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from applications import load_task
from applications import runs
from applications import settings
from tuning import hparams
from tuning import pictures
from tuning import trial as trials
from tuning.search import Search
from tuning.space import numbers
from tuning.space import told

SHOWN = 10


def reported(search: Search, name: str, values: dict) -> dict:
    """Runs a trial, says so, and brings the search's files up to date."""
    active = told(search.space.active(values))
    _say(f"trial {name}: {active}")
    began = time.monotonic()
    try:
        metrics = trials.run(search, name, values)
    except trials.TrialFailed as error:
        _say(f"trial {name} failed: {error}")
        raise
    else:
        score = search.space.objective.of(metrics)
        seconds = time.monotonic() - began
        key = search.space.objective.key
        _say(f"trial {name}: {key} {score:.4f} ({seconds:.0f} s)")
        return metrics
    finally:
        write(search)


def _say(text: str) -> None:
    """Progress; the results are what is printed."""
    print(text, file=sys.stderr, flush=True)


@dataclasses.dataclass(frozen=True)
class Trial:
    name: str
    status: str
    values: dict[str, Any]
    message: str
    score: float | None
    metrics: dict[str, float]
    """The numbers of `metrics.json`, and those beside the score."""


def read(search: Search) -> list[Trial]:
    """All trials that have begun, in the order of their numbers."""
    found = []
    for file in search.folder.glob("*/trial.json"):
        record = trials.read(file.parent)
        metrics = {}
        if record["status"] == "completed":
            metrics = _columns(search, file.parent)
        found.append(
            Trial(
                name=file.parent.name,
                status=record["status"],
                values=record["values"],
                message=record.get("message", ""),
                score=record.get("score"),
                metrics=metrics,
            )
        )
    return sorted(found, key=lambda trial: int(trial.name))


def _columns(search: Search, folder: Path) -> dict[str, float]:
    every = numbers(runs.read_json(folder / "metrics.json"))
    beside = search.space.objective.key.rpartition(".")[0]
    return {
        name: value
        for name, value in every.items()
        if name.rpartition(".")[0] in ("", beside) and name != "epochs_asked"
    }


def ranked(search: Search, found: list[Trial]) -> list[Trial]:
    """Those with a score, the best first, an earlier one before its equal."""
    scored = [trial for trial in found if trial.score is not None]
    better = search.space.objective.better
    return sorted(scored, key=lambda trial: better(trial.score))


def write(search: Search) -> None:
    """The table, the best config, and what TensorBoard shows."""
    found = read(search)
    runs.write_history(search.folder / "trials.csv", rows_of(found))
    best = ranked(search, found)
    if best:
        config = runs.read_config(
            search.folder / best[0].name, load_task(search.task).Config
        )
        config = dataclasses.replace(
            config,
            name=f"{search.start.name}-best",
            runs_dir=search.start.runs_dir,
        )
        runs.write(search.folder / "best.json", settings.to_json(config))
    hparams.write(search, found)
    # Hyperband may go on with any trial as long as it lasts.
    if search.flags.algorithm != "hyperband":
        remove_weights(search, found)


def conclude(search: Search) -> None:
    """At the end of a search: pictures, no more weights than asked, a table."""
    write(search)
    found = read(search)
    remove_weights(search, found)
    print(f"\n{table(search, found)}\n")
    if not ranked(search, found):
        return
    picture = search.folder / "scores.png"
    pictures.draw(search, found, picture)
    config = search.folder / "best.json"
    print(
        f"trials:      {search.folder / 'trials.csv'}\n"
        f"picture:     {picture}\n"
        f"best:        python -m applications {search.task} train "
        f"--config {config}\n"
        f"tensorboard: tensorboard --logdir {search.folder}"
    )


def remove_weights(search: Search, found: list[Trial]) -> None:
    """Leaves weights to the best trials, and to those that are running."""
    best = ranked(search, found)[: search.flags.keep]
    for trial in found:
        if trial.status != "running" and trial not in best:
            folder = search.folder / trial.name
            (folder / "model.keras").unlink(missing_ok=True)
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def rows_of(found: list[Trial]) -> list[dict]:
    """A row a trial, all with the same columns; what it lacks is empty."""
    values = dict.fromkeys(name for t in found for name in t.values)
    metrics = dict.fromkeys(name for t in found for name in t.metrics)
    return [
        {"trial": trial.name, "status": trial.status, "score": trial.score}
        | {name: trial.values.get(name) for name in values}
        | {name: trial.metrics.get(name) for name in metrics}
        | {"message": trial.message}
        for trial in found
    ]


def table(search: Search, found: list[Trial]) -> str:
    """The best trials, a line each, and how many there were."""
    best = ranked(search, found)
    failed = sum(trial.status == "failed" for trial in found)
    titles = (
        f"{search.space.objective.key:>20} {'parameters':>11} {'s/step':>8}"
    )
    lines = [f"{'trial':<6} {titles}  values"]
    for trial in best[:SHOWN]:
        lines.append(
            f"{trial.name:<6} {trial.score:>20.4f} "
            f"{trial.metrics.get('parameters', float('nan')):>11,.0f} "
            f"{trial.metrics.get('seconds_per_step', float('nan')):>8.3f}  "
            f"{told(trial.values)}"
        )
    lines.append(f"{len(found)} trials, {failed} of them failed")
    return "\n".join(lines)
