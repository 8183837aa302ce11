"""keras-tuner's algorithms, with trials that are runs of a task.

A search survives being killed at any moment: its state is written whole or
not at all, a trial that was cut off is the first to go on, and a trial that
has ended is never trained again, because its run is there.
"""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import keras_tuner
from keras_tuner.oracles import BayesianOptimizationOracle
from keras_tuner.oracles import GridSearchOracle
from keras_tuner.oracles import HyperbandOracle
from keras_tuner.oracles import RandomSearchOracle

from applications import files
from tuning import damage
from tuning import oracle_files
from tuning import results
from tuning.search import Search
from tuning.trial import run

# Between two requests of a worker for a trial.
POLL_SECONDS = 0.2
ENDED = ("COMPLETED", "FAILED")


def lock_folder(search: Search, name: str) -> Path:
    """A folder that is locked while somebody runs the trial."""
    return search.folder / "oracle" / f"trial_{name}"


class Durable:
    """Makes an oracle's files whole, and its state right after a kill."""

    search: Search
    interrupted: dict[str, keras_tuner.engine.trial.Trial]

    def save(self) -> None:
        files.write(
            Path(self._get_oracle_fname()), json.dumps(self.get_state())
        )

    def _save_trial(self, trial: keras_tuner.engine.trial.Trial) -> None:
        file = Path(self._get_trial_dir(trial.trial_id)) / "trial.json"
        files.write(file, json.dumps(trial.get_state()))

    def end_trial(self, trial: keras_tuner.engine.trial.Trial) -> None:
        super().end_trial(trial)
        # It saves itself before the trial is off its list.
        self.save()

    def set_state(self, state: dict) -> None:
        super().set_state(state)
        self.interrupted = dict(self.ongoing_trials)

    def reload(self) -> None:
        super().reload()
        # Written, but the state does not know of it: it will be made again.
        for name in set(self.trials) - set(self.start_order):
            del self.trials[name]
        for worker, trial in self.interrupted.items():
            name = trial.trial_id
            if trial.status in ENDED:
                self._retry_queue.remove(name)
                if name not in self.end_order:
                    self.end_order.append(name)
            elif files.is_locked(lock_folder(self.search, name)):
                # Its worker is alive and will report it.
                self._retry_queue.remove(name)
                self.ongoing_trials[worker] = trial
                self.tuner_ids.add(worker)


def make_oracle(search: Search) -> keras_tuner.Oracle:
    base, options = {
        "random": (RandomSearchOracle, {"max_trials": search.trials}),
        "grid": (GridSearchOracle, {"max_trials": search.trials}),
        "bayesian": (
            BayesianOptimizationOracle,
            {"max_trials": search.trials},
        ),
        "hyperband": (HyperbandOracle, {"max_epochs": search.start.epochs}),
    }[search.flags.algorithm]
    durable = type(
        f"Durable{base.__name__}", (Durable, base), {"search": search}
    )
    oracle = durable(
        objective=keras_tuner.Objective(
            "score", search.space.objective.direction
        ),
        hyperparameters=search.space.declare(),
        # Zero would be taken for "no seed".
        seed=search.start.seed + 1,
        # Failed trials are results like others.
        max_consecutive_failed_trials=10**9,
        **options,
    )
    oracle.max_trials = search.trials
    oracle.verbose = 0
    return oracle


class Tuner(keras_tuner.Tuner):
    """Runs the trials that an oracle asks for.

    Args:
        search: The search.
        before_request: Called before something is asked of the oracle, which
            may be the chief's.
    """

    def __init__(
        self, search: Search, before_request: Callable[[], None] = lambda: None
    ) -> None:
        self.search_settings = search
        self.before_request = before_request
        self.locks = contextlib.ExitStack()
        oracle = make_oracle(search)
        super().__init__(
            oracle=oracle,
            directory=str(search.folder),
            project_name="oracle",
        )
        state = search.folder / "oracle" / "oracle.json"
        if oracle is self.oracle and state.is_file():
            oracle_files.check(state.parent, oracle.get_state())
            with damage.told(state):
                oracle.reload()

    def save(self) -> None:
        """Its state is the oracle's; a worker has none."""
        if not self._is_worker():
            self.oracle.save()

    def pre_create_trial(self) -> None:
        time.sleep(POLL_SECONDS)
        self.before_request()

    def on_trial_begin(self, trial: keras_tuner.engine.trial.Trial) -> None:
        folder = lock_folder(self.search_settings, trial.trial_id)
        self.locks.enter_context(files.lock(folder))

    def on_trial_end(self, trial: keras_tuner.engine.trial.Trial) -> None:
        super().on_trial_end(trial)
        self.locks.close()

    def _try_run_and_update_trial(
        self, trial: keras_tuner.engine.trial.Trial
    ) -> None:
        """Keras-tuner's own swallows every error, and prints where it was."""
        search = self.search_settings
        values = dict(trial.hyperparameters.values)
        try:
            result = run(search, trial.trial_id, values)
        finally:
            results.update(search)
        self.before_request()
        if result.status == "completed":
            self.oracle.update_trial(trial.trial_id, {"score": result.score})
        trial.status, trial.message = result.status.upper(), result.message

    def run_trial(self, trial: keras_tuner.engine.trial.Trial) -> None:
        """Never called: the method above takes its place."""
        raise NotImplementedError
