"""Search spaces: read, declared, and applied to the settings of a trial."""

import dataclasses
import difflib
import json
import reprlib
from pathlib import Path
from typing import Any

import keras_tuner

from applications import settings
from applications.task import load_task
from tuning import objective
from tuning import parameters
from tuning.space_file import SpaceFile


class Space:
    """What a file of a search space says."""

    def __init__(self, file: SpaceFile) -> None:
        self.file = file
        self.source = str(file.path)
        for name in ("OBJECTIVE", "space"):
            if name not in file.names:
                raise ValueError(
                    f"{self.source} must define OBJECTIVE and space(hp); it "
                    f"has no {name}"
                )
        self.objective = objective.parse(
            file.names["OBJECTIVE"], file.where("OBJECTIVE")
        )
        self.function = file.names["space"]
        if not callable(self.function):
            raise ValueError(
                f"{file.where('space')}: space must be a function of hp, "
                f"received {reprlib.repr(self.function)}"
            )

    def ask(self, hp: Any) -> Any:
        """What the file's function returns."""
        with self.file.mistakes("space"):
            return self.function(hp)

    def declare(self) -> keras_tuner.HyperParameters:
        """All parameters, those under a condition included."""
        declared = keras_tuner.HyperParameters()
        self.ask(declared)
        if not declared.space:
            raise ValueError(
                f"{self.source}: space(hp) asks for nothing; expected at "
                'least one parameter, such as hp.Float("learning_rate", ...)'
            )
        for parameter in declared.space:
            if wrong := parameters.wrong(parameter):
                raise ValueError(
                    f"{self.file.where('space')}: the parameter "
                    f"{parameter.name!r} {wrong}"
                )
        return declared

    def check(self, start: settings.Settings) -> None:
        """Asks for settings with every value, before any of them is trained.

        Whether the task takes the values is left to the trials.
        """
        declared = self.declare()
        known = {parameter.name for parameter in declared.space}
        for parameter in declared.space:
            for value in parameters.values_of(parameter):
                values = declared.values | {
                    condition.name: condition.values[0]
                    for condition in parameter.conditions
                }
                hp = parameters.with_values(values | {parameter.name: value})
                self._checked(self.ask(hp), start, "space")
                if hidden := {one.name for one in hp.space} - known:
                    raise ValueError(
                        f"{self.file.where('space')}: the parameter "
                        f"{min(hidden)!r} is not always asked for; ask for it "
                        "under hp.conditional_scope instead of an if"
                    )

    def active(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values that count beside each other."""
        hp = parameters.with_values(values)
        self.ask(hp)
        return {
            parameter.name: hp.values[parameter.name]
            for parameter in hp.space
            if hp.is_active(parameter)
        }

    def start(self, default: settings.Settings) -> settings.Settings:
        """The settings that searches start from without a preset."""
        return self._applied(self.file.names.get("START", {}), default, "START")

    def changed(
        self, values: dict[str, Any], start: settings.Settings
    ) -> settings.Settings:
        """The config of a trial with these values."""
        return self._applied(
            self.ask(parameters.with_values(values)), start, "space"
        )

    def _applied(
        self, changes: Any, start: settings.Settings, name: str
    ) -> settings.Settings:
        text = json.dumps(self._checked(changes, start, name))
        where = self.file.where(name)
        return settings.from_json(text, type(start), where, start)

    def _checked(
        self, changes: Any, start: settings.Settings, name: str
    ) -> dict[str, Any]:
        """The changes, if they are settings of the task and JSON."""
        where = self.file.where(name)
        if not isinstance(changes, dict):
            what = (
                "space(hp) must return" if name == "space" else "START must be"
            )
            raise ValueError(
                f"{where}: {what} a dict of settings, received "
                f"{reprlib.repr(changes)}"
            )
        known = [field.name for field in dataclasses.fields(start)]
        if unknown := [key for key in changes if key not in known]:
            names = ", ".join(map(str, unknown))
            near = difflib.get_close_matches(names, known)
            raise ValueError(
                f"{where}: unknown settings: {reprlib.repr(names)[1:-1]}; "
                + (f"near are: {', '.join(near)}; " if near else "")
                + "--help lists those that there are"
            )
        for key, value in changes.items():
            if not _is_json(value):
                raise ValueError(
                    f"{where}: {key} must be a number, a text, a truth value "
                    f"or a list of them, received {reprlib.repr(value)}"
                )
        return {k: v for k, v in changes.items() if v is not None}


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def load(task: str, file: Path | None) -> Space:
    """The space of a file, or the one that comes with a task."""
    if file is None:
        file = Path(str(load_task(task).__file__)).with_name("space.py")
        if not file.is_file():
            raise FileNotFoundError(
                f"no search space comes with {task}; give one as --space FILE"
            )
    if not file.is_file():
        raise FileNotFoundError(f"there is no search space {str(file)!r}")
    if file.suffix != ".py":
        raise ValueError(
            f"a search space is a Python file FILE.py, received {str(file)!r}"
        )
    return Space(SpaceFile(file))
