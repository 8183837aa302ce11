"""Score and cost as two objectives, by Optuna's NSGA-II.

Optuna is an extra: `pip install "keras-fusion[optuna]"`. It reads the same
search spaces, through an object with the methods of keras-tuner's
`HyperParameters`.
"""

import contextlib
import functools
import math
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from tuning import damage
from tuning import results
from tuning import trial as trials
from tuning.search import Search


class Suggestions:
    """Parameters as a space asks for them, from an Optuna trial."""

    def __init__(self, trial: Any) -> None:
        self.trial = trial
        self.values: dict[str, Any] = {}
        self.conditions: list[bool] = []

    @contextlib.contextmanager
    def conditional_scope(
        self, parent_name: str, parent_values: Sequence
    ) -> Iterator[None]:
        active = self.values.get(parent_name) in list(parent_values)
        self.conditions.append(active)
        try:
            yield
        finally:
            self.conditions.pop()

    def Choice(self, name: str, values: Sequence, **_: Any) -> Any:
        return self._if_active(
            name, lambda: self.trial.suggest_categorical(name, list(values))
        )

    def Boolean(self, name: str, **_: Any) -> bool | None:
        return self.Choice(name, [False, True])

    def Fixed(self, name: str, value: Any, **_: Any) -> Any:
        return self._if_active(name, lambda: value)

    def _number(
        self,
        suggest: str,
        name: str,
        min_value: float,
        max_value: float,
        step: float | None = None,
        sampling: str = "linear",
        **_: Any,
    ) -> Any:
        options: dict[str, Any] = {"log": sampling == "log"}
        if step and options["log"]:
            return self.Choice(name, powers(min_value, max_value, step))
        if step:
            options["step"] = step
        method = getattr(self.trial, suggest)
        return self._if_active(
            name, lambda: method(name, min_value, max_value, **options)
        )

    Int = functools.partialmethod(_number, "suggest_int")
    Float = functools.partialmethod(_number, "suggest_float")

    def _if_active(self, name: str, suggest: Callable[[], Any]) -> Any:
        """None where an open condition does not hold."""
        if not all(self.conditions):
            return None
        self.values[name] = suggest()
        return self.values[name]


def powers(low: float, high: float, factor: float) -> list:
    """What keras-tuner's logarithmic sampling takes with a step: a factor."""
    count = math.floor(math.log(high / low, factor) + 1e-9)
    return [low * factor**power for power in range(count + 1)]


def run(search: Search) -> None:
    """Runs what is missing of the search's trials."""
    optuna = _optuna()
    study = _study(optuna, search)
    state = optuna.trial.TrialState
    for trial in study.get_trials(states=(state.RUNNING,)):
        # One process at a time runs the search: these were cut off.
        values = trial.user_attrs.get("values")
        if values is None:
            study.tell(trial.number, state=state.FAIL)
        else:
            _run_trial(search, study, state, trial.number, values)
    while len(study.get_trials(deepcopy=False)) < search.trials:
        trial = study.ask()
        suggestions = Suggestions(trial)
        search.space.ask(suggestions)
        trial.set_user_attr("values", suggestions.values)
        _run_trial(search, study, state, trial.number, suggestions.values)


def _run_trial(
    search: Search, study: Any, state: Any, number: int, values: dict
) -> None:
    try:
        trial = trials.run(search, str(number), values)
    finally:
        results.update(search)
    if trial.status == "failed":
        study.tell(number, state=state.FAIL)
    else:
        study.tell(number, [trial.score, trial.metrics[search.flags.cost]])


def _optuna() -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _study(optuna: Any, search: Search) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    file = search.folder / "oracle" / "optuna.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    direction = {"max": "maximize", "min": "minimize"}
    with damage.told(file):
        return optuna.create_study(
            study_name=search.task,
            storage=JournalStorage(JournalFileBackend(str(file))),
            sampler=optuna.samplers.NSGAIISampler(
                seed=search.start.seed,
                population_size=max(4, search.trials // 4),
            ),
            directions=[
                direction[search.space.objective.direction],
                "minimize",
            ],
            load_if_exists=True,
        )
