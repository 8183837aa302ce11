"""Scores against each parameter, and against what they cost."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from matplotlib.ticker import NullFormatter

from applications import files
from tuning.parameters import choices
from tuning.parameters import is_logarithmic
from tuning.parameters import limits
from tuning.search import Search
from tuning.trial import Trial

COLUMNS = 4
PANEL_HEIGHT = 2.6  # inches
COLOR, FRONT_COLOR = "#4477aa", "#cc3311"


def draw(search: Search, trials: list[Trial], file: Path) -> None:
    """A panel for each parameter, the last one for the Pareto front."""
    scored = [trial for trial in trials if trial.score is not None]
    declared = search.space.declare().space
    count = len(declared) + 1
    rows = -(-count // COLUMNS)
    figure = Figure(
        figsize=(COLUMNS * PANEL_HEIGHT * 1.25, rows * PANEL_HEIGHT),
        layout="constrained",
    )
    grid = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True)
    panels = grid.ravel()
    for axes, parameter in zip(panels, declared, strict=False):
        _against(axes, parameter, scored)
    _front(panels[len(declared)], search, scored)
    for axes in panels[count:]:
        axes.set_visible(False)
    for axes in panels[::COLUMNS]:
        axes.set_ylabel(search.space.objective.key)
    with files.replacing(file) as temporary:
        figure.savefig(temporary, dpi=100)


def _against(axes: Axes, parameter, scored: list[Trial]) -> None:
    """Score against a parameter; trials without it are left out."""
    axes.set_xlabel(parameter.name)
    shown = [trial for trial in scored if parameter.name in trial.values]
    x = [trial.values[parameter.name] for trial in shown]
    if limits(parameter) is None:
        values = choices(parameter)
        x = [values.index(value) for value in x]
        names = [str(value).replace("_", "\n") for value in values]
        axes.set_xticks(range(len(values)), names)
        axes.set_xlim(-0.5, len(values) - 0.5)
    elif is_logarithmic(parameter):
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize="x-small")
    axes.scatter(x, [trial.score for trial in shown], color=COLOR, alpha=0.7)


def _front(axes: Axes, search: Search, scored: list[Trial]) -> None:
    cost = search.flags.cost
    scored = [trial for trial in scored if cost in trial.metrics]
    x = np.array([trial.metrics[cost] for trial in scored])
    y = np.array([trial.score for trial in scored])
    axes.scatter(x, y, color=COLOR, alpha=0.7)
    best = front(x, [search.space.objective.better(score) for score in y])
    axes.step(x[best], y[best], where="post", color=FRONT_COLOR, label="front")
    axes.scatter(x[best], y[best], color=FRONT_COLOR)
    axes.set_xlabel(cost)
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.tick_params(labelsize="x-small")
    axes.legend(fontsize="x-small")


def front(cost, loss) -> np.ndarray:
    """Indices of the points that no other point beats in both, by cost."""
    order = np.lexsort((loss, cost))
    kept, lowest_loss = [], np.inf
    for index in order:
        if loss[index] < lowest_loss:
            kept.append(index)
            lowest_loss = loss[index]
    return np.array(kept, dtype=int)
