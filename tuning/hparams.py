"""The search for TensorBoard: parameters with their ranges, and scores."""

from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api

from tuning.parameters import choices
from tuning.parameters import limits
from tuning.search import Search
from tuning.trial import Trial

COSTS = ("parameters", "seconds_per_step")


def write(search: Search, trials: list[Trial]) -> None:
    """Adds what is not yet there: the search, and each ended trial once."""
    logs = search.folder / "hparams"
    if not logs.exists():
        with _writer(logs).as_default():
            _experiment(search)
    for trial in trials:
        logs = search.folder / trial.name / "logs" / "hparams"
        if trial.status == "running" or logs.exists():
            continue
        with _writer(logs).as_default():
            _session(search, trial)


def _writer(logs: Path) -> Any:
    return tf.summary.create_file_writer(str(logs))


def _experiment(search: Search) -> None:
    key = search.space.objective.key
    api.hparams_config(
        hparams=[
            api.HParam(parameter.name, _domain(parameter))
            for parameter in search.space.declare().space
        ],
        metrics=[
            api.Metric(key, display_name="score"),
            *(api.Metric(name) for name in COSTS),
        ],
    )


def _session(search: Search, trial: Trial) -> None:
    api.hparams(trial.values, trial_id=trial.name)
    scalars = {name: trial.metrics.get(name) for name in COSTS}
    scalars[search.space.objective.key] = trial.score
    for name, value in scalars.items():
        if value is not None:
            tf.summary.scalar(name, value, step=0)


def _domain(parameter: Any) -> Any:
    if (ends := limits(parameter)) is None:
        return api.Discrete(choices(parameter))
    whole = type(parameter).__name__ == "Int"
    return (api.IntInterval if whole else api.RealInterval)(*ends)
