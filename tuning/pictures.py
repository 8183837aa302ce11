"""Scores against each parameter, and against what they cost."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from matplotlib.ticker import NullFormatter

from applications import runs
from tuning.space import choices
from tuning.space import is_logarithmic
from tuning.space import limits

if TYPE_CHECKING:
    from tuning.results import Trial
    from tuning.search import Search

COLUMNS = 4
PANEL = 2.6  # inches
COLOR, MARKED = "#4477aa", "#cc3311"


def draw(search: "Search", found: list["Trial"], file: Path) -> None:
    """A panel for each parameter, the last one for the Pareto front."""
    scored = [trial for trial in found if trial.score is not None]
    declared = search.space.declare().space
    panels = len(declared) + 1
    rows = -(-panels // COLUMNS)
    figure = Figure(
        figsize=(COLUMNS * PANEL * 1.25, rows * PANEL), layout="constrained"
    )
    axes = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True).ravel()
    for place, parameter in zip(axes, declared, strict=False):
        _against(place, parameter, scored)
    _front(axes[len(declared)], search, scored)
    for place in axes[panels:]:
        place.set_visible(False)
    for place in axes[::COLUMNS]:
        place.set_ylabel(search.space.objective.key)
    with runs.replacing(file) as temporary:
        figure.savefig(temporary, dpi=100)


def _against(axes: Axes, parameter, scored: list["Trial"]) -> None:
    """Score against a parameter; trials without it are left out."""
    axes.set_xlabel(parameter.name)
    here = [trial for trial in scored if parameter.name in trial.values]
    x = [trial.values[parameter.name] for trial in here]
    if limits(parameter) is None:
        every = choices(parameter)
        x = [every.index(value) for value in x]
        names = [str(value).replace("_", "\n") for value in every]
        axes.set_xticks(range(len(every)), names)
        axes.set_xlim(-0.5, len(every) - 0.5)
    elif is_logarithmic(parameter):
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize="x-small")
    axes.scatter(x, [trial.score for trial in here], color=COLOR, alpha=0.7)


def _front(axes: Axes, search: "Search", scored: list["Trial"]) -> None:
    cost = search.flags.cost
    scored = [trial for trial in scored if cost in trial.metrics]
    x = np.array([trial.metrics[cost] for trial in scored])
    y = np.array([trial.score for trial in scored])
    axes.scatter(x, y, color=COLOR, alpha=0.7)
    best = front(x, [search.space.objective.better(score) for score in y])
    axes.step(x[best], y[best], where="post", color=MARKED, label="front")
    axes.scatter(x[best], y[best], color=MARKED)
    axes.set_xlabel(cost)
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.tick_params(labelsize="x-small")
    axes.legend(fontsize="x-small")


def front(cost, loss) -> np.ndarray:
    """Indices of the points that no other point beats in both, by cost."""
    order = np.lexsort((loss, cost))
    kept, least = [], np.inf
    for index in order:
        if loss[index] < least:
            kept.append(index)
            least = loss[index]
    return np.array(kept, dtype=int)
