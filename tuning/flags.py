"""The flags of a search."""

from pathlib import Path
from typing import Literal

from applications import settings

ALGORITHMS = Literal["random", "grid", "bayesian", "hyperband", "nsga2"]


@settings.settings
class Flags:
    """How to search; the settings of the trials are the task's own flags."""

    algorithm: ALGORITHMS = "random"
    """At random, through a grid, by a Gaussian process, by successive
    halving, or for score and cost at once (needs Optuna)."""
    trials: settings.Count | None = None
    """Trials in all; may grow to continue a search. None: 10, or as many as
    hyperband takes."""
    space: Path | None = None
    """File with a search space of your own; None: the task's."""
    cost: Literal["parameters", "seconds_per_step"] = "parameters"
    """What the score is set against."""
    keep: settings.Count = 1
    """Best trials that keep their weights."""
    workers: settings.Count = 1
    """Processes on this machine that run trials."""
    chief_timeout: settings.Count = 600
    """Seconds that a worker waits for a chief that is away."""


# A search that goes on may have others.
MAY_DIFFER = ("trials", "keep", "workers", "cost", "chief_timeout")
