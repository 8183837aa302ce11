"""What a search has found so far, in files that outlive the tuner."""

import dataclasses
import shutil

from applications import files
from applications import settings
from applications.reports import Incomplete
from applications.runs import Run
from tuning import damage
from tuning import hparams
from tuning import pictures
from tuning.parameters import format_values
from tuning.search import Search
from tuning.trial import Trial
from tuning.trial import read as read_trial

ROWS_PRINTED = 10


def update(search: Search) -> list[Trial]:
    """Reads all trials; writes their table, the best config, and HParams."""
    trials = read(search)
    files.write_csv(search.folder / "trials.csv", rows_of(trials))
    if best := ranked(search, trials):
        _write_config(search, best[0])
    hparams.write(search, trials)
    # Hyperband may go on with any trial as long as it lasts.
    if search.flags.algorithm != "hyperband":
        remove_weights(search, trials)
    return trials


def conclude(search: Search) -> None:
    """At the end of a search: pictures, no more weights than asked, a table.

    Raises Incomplete where no trial has a score.
    """
    trials = update(search)
    remove_weights(search, trials)
    print(f"\n{table(search, trials)}\n")
    if not ranked(search, trials):
        raise Incomplete(_without_a_score(search, trials))
    picture = search.folder / "scores.png"
    pictures.draw(search, trials, picture)
    print(
        f"trials:      {search.folder / 'trials.csv'}\n"
        f"picture:     {picture}\n"
        f"best:        python -m applications {search.task} train "
        f"--config {search.folder / 'best.json'}\n"
        f"tensorboard: tensorboard --logdir {search.folder}"
    )


def _without_a_score(search: Search, trials: list[Trial]) -> str:
    reasons = [trial for trial in trials if trial.status == "failed"]
    if not reasons:
        return f"no trial of {search.folder} has ended"
    first = reasons[0]
    return (
        f"all {len(reasons)} trials of {search.folder} failed; trial "
        f"{first.name} {first.message}; what they printed is in TRIAL/"
        "output.txt"
    )


def read(search: Search) -> list[Trial]:
    """All trials that have begun, in the order of their numbers."""
    names = [file.parent.name for file in search.folder.glob("*/trial.json")]
    # A folder that somebody has copied is no trial.
    numbers = sorted(filter(str.isdecimal, names), key=int)
    trials = [read_trial(search, name) for name in numbers]
    return [trial for trial in trials if trial is not None]


def check(search: Search) -> None:
    """Raises ValueError where a file of the trials is damaged."""
    for best in ranked(search, read(search))[:1]:
        _config(search, best)


def ranked(search: Search, trials: list[Trial]) -> list[Trial]:
    """Those with a score, the best first, an earlier one before its equal."""
    scored = [trial for trial in trials if trial.score is not None]
    better = search.space.objective.better
    return sorted(scored, key=lambda trial: better(trial.score))


def remove_weights(search: Search, trials: list[Trial]) -> None:
    """Leaves weights to the best trials, and to those that are running."""
    best = ranked(search, trials)[: search.flags.keep]
    for trial in trials:
        if trial.status != "running" and trial not in best:
            folder = search.folder / trial.name
            (folder / "model.keras").unlink(missing_ok=True)
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def rows_of(trials: list[Trial]) -> list[dict]:
    """A row a trial, all with the same columns; what it lacks is empty."""
    values = dict.fromkeys(name for t in trials for name in t.values)
    metrics = dict.fromkeys(name for t in trials for name in t.metrics)
    return [
        {"trial": trial.name, "status": trial.status, "score": trial.score}
        | {name: trial.values.get(name) for name in values}
        | {name: trial.metrics.get(name) for name in metrics}
        | {"message": trial.message}
        for trial in trials
    ]


def table(search: Search, trials: list[Trial]) -> str:
    """The best trials, a line each, and how many there were."""
    failed = sum(trial.status == "failed" for trial in trials)
    titles = (
        f"{search.space.objective.key:>20} {'parameters':>11} {'s/step':>8}"
    )
    lines = [f"{'trial':<6} {titles}  values"]
    for trial in ranked(search, trials)[:ROWS_PRINTED]:
        lines.append(
            f"{trial.name:<6} {trial.score:>20.4f} "
            f"{trial.metrics.get('parameters', float('nan')):>11,.0f} "
            f"{trial.metrics.get('seconds_per_step', float('nan')):>8.3f}  "
            f"{format_values(trial.values)}"
        )
    lines.append(f"{len(trials)} trials, {failed} of them failed")
    return "\n".join(lines)


def _config(search: Search, trial: Trial) -> settings.Settings:
    run = Run(search.task, search.folder / trial.name)
    with damage.told(run.folder / "config.json"):
        return run.config


def _write_config(search: Search, best: Trial) -> None:
    config = dataclasses.replace(
        _config(search, best),
        name=f"{search.start.name}-best",
        runs_dir=search.start.runs_dir,
    )
    files.write(search.folder / "best.json", settings.to_json(config))
