"""A search: what it is about, and where its files are."""

import dataclasses
import importlib.util
import json
from pathlib import Path

from applications import epochs
from applications import files
from applications import runs
from applications import settings
from applications.task import load_data
from applications.task import load_task
from keras_fusion import distribution
from keras_fusion import tf_config
from tuning import chief
from tuning import damage
from tuning.flags import MAY_DIFFER
from tuning.flags import Flags
from tuning.space import Space
from tuning.space import load

# What a search writes beside its trials.
FILES = ("search.json", "trials.csv", "best.json", "scores.png")
FOLDERS = ("oracle", "hparams")


@dataclasses.dataclass(frozen=True)
class Search:
    task: str
    flags: Flags
    start: settings.Settings
    """What every trial has but for the values of its parameters."""
    space: Space

    @property
    def folder(self) -> Path:
        return _folder_of_tasks(self.start) / self.task

    @property
    def trials(self) -> int | None:
        if self.flags.trials is None and self.flags.algorithm != "hyperband":
            return 10
        return self.flags.trials

    def config(self, trial: str, values: dict, epochs: int | None = None):
        """The config of a trial: its run is a folder of the search."""
        changed = self.space.changed(values, self.start)
        return dataclasses.replace(
            changed,
            name=trial,
            runs_dir=str(_folder_of_tasks(self.start)),
            epochs=epochs or changed.epochs,
        )


def _folder_of_tasks(start: settings.Settings) -> Path:
    return Path(start.runs_dir) / "searches" / start.name


def begin(task: str, flags: Flags, start: settings.Settings) -> Search:
    """Checks everything and writes, or compares with, `search.json`."""
    if flags.algorithm == "nsga2":
        _check_two_objectives(flags)
    search = Search(task, flags, start, load(task, flags.space))
    search.space.check(start)
    declared = search.space.declare()
    _check_trains(task, search.space.changed(declared.values, start))
    files.check_places(search.folder, FOLDERS, FILES)
    file = search.folder / "search.json"
    content = _content(search, declared.get_config()["space"])
    if file.is_file():
        _check_continues(file, content)
    else:
        files.write_json(file, content)
    return search


def _check_two_objectives(flags: Flags) -> None:
    """Raises ValueError unless a search for score and cost can run here."""
    if importlib.util.find_spec("optuna") is None:
        raise ValueError(
            "--algorithm nsga2 needs Optuna: pip install 'keras-fusion[optuna]'"
        )
    if flags.workers > 1:
        raise ValueError(
            "--algorithm nsga2 runs one trial at a time, received "
            f"--workers {flags.workers}: drop it"
        )
    if chief.role():
        raise ValueError(
            "--algorithm nsga2 runs one trial at a time, without a chief: "
            f"unset {chief.ROLE}, {chief.HOST} and {chief.PORT}"
        )


def _check_trains(task: str, config: settings.Settings) -> None:
    """Raises ValueError for what would make every trial a failed one."""
    data = load_data(load_task(task), config)
    count = data.sizes[data.first("train")]
    data.first("validation", "test")
    if count is not None:
        epochs.check_batch(count, config.batch_size)
    # Trials start theirs themselves.
    if config.strategy == "one":
        distribution.get_strategy(config.strategy, config.devices)
    if config.strategy == "multi_worker":
        tf_config.check()


def _content(search: Search, declared: list[dict]) -> dict:
    flags = dataclasses.asdict(search.flags)
    content = {
        "objective": " ".join(search.space.objective),
        "flags": {k: v for k, v in flags.items() if k not in MAY_DIFFER},
        "space": declared,
        "start": json.loads(settings.to_json(search.start)),
    }
    content["flags"]["space"] = search.space.source
    return json.loads(json.dumps(content, default=str))


def _check_continues(file: Path, content: dict) -> None:
    with damage.told(file):
        before = files.read_json(file)
        for part in ("flags", "start"):
            if not isinstance(before[part], dict):
                raise ValueError(f"its {part} are no settings")
    # The file may have moved; what it says is compared.
    for compared in (before, content):
        compared["flags"].pop("space", None)
        for name in runs.MAY_DIFFER:
            compared["start"].pop(name, None)
    different = [
        f"{part}.{name} {old.get(name)!r} -> {new.get(name)!r}"
        for part in ("flags", "start")
        for old, new in [(before[part], content[part])]
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]
    different += [
        part
        for part in ("objective", "space")
        if before.get(part) != content[part]
    ]
    if different:
        raise ValueError(
            f"the search {file.parent} exists with other settings: "
            f"{', '.join(different)}; give another --name, or the same "
            "settings (trials may grow)"
        )
