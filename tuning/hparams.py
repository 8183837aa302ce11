"""The search for TensorBoard: parameters with their ranges, and scores."""

from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api

from tuning.space import choices
from tuning.space import limits

if TYPE_CHECKING:
    from tuning.results import Trial
    from tuning.search import Search

COSTS = ("parameters", "seconds_per_step")


def write(search: "Search", found: list["Trial"]) -> None:
    """Adds what is not yet there: the search, and each ended trial once."""
    place = search.folder / "hparams"
    if not place.exists():
        with _writer(place).as_default():
            api.hparams_config(
                hparams=[
                    api.HParam(one.name, _domain(one))
                    for one in search.space.declare().space
                ],
                metrics=[
                    api.Metric(search.space.objective.key, display_name="score")
                ]
                + [api.Metric(name) for name in COSTS],
            )
    for trial in found:
        place = search.folder / trial.name / "logs" / "hparams"
        if trial.status == "running" or place.exists():
            continue
        with _writer(place).as_default():
            _session(search, trial)


def _writer(place: Path) -> Any:
    return tf.summary.create_file_writer(str(place))


def _session(search: "Search", trial: "Trial") -> None:
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
