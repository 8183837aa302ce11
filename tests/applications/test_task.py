import dataclasses
import inspect
import types

import pytest

import applications
from applications import settings
from applications.task import Task
from applications.task import load_task
from tests.applications import fruit_ripeness
from tests.applications import toy_task

TEMPLATES = {"fruit_ripeness": fruit_ripeness, "toy": toy_task}
FUNCTIONS = {
    name: inspect.signature(function)
    for name, function in vars(Task).items()
    if inspect.isfunction(function) and not name.startswith("_")
}


def missing(task):
    """What a module lacks of a task, by names and signatures."""
    problems = []
    for name, signature in FUNCTIONS.items():
        function = getattr(task, name, None)
        if not callable(function):
            problems.append(name)
            continue
        wanted = list(signature.parameters)[1:]
        received = list(inspect.signature(function).parameters)
        if received != wanted:
            problems.append(f"{name}({', '.join(received)})")
    config, presets = (getattr(task, n, None) for n in ("Config", "PRESETS"))
    if not (isinstance(config, type) and issubclass(config, settings.Settings)):
        problems.append("Config")
    elif not presets or next(iter(presets)) != "default":
        problems.append("PRESETS")
    elif not all(isinstance(preset, config) for preset in presets.values()):
        problems.append("PRESETS")
    return problems


@pytest.mark.parametrize("name", [*applications.TASKS, *TEMPLATES])
def test_a_task_has_what_the_skeleton_asks_of_it(name):
    assert not missing(TEMPLATES.get(name) or load_task(name))


@pytest.mark.parametrize("name", [*applications.TASKS, *TEMPLATES])
def test_every_setting_has_a_help_text(name):
    task = TEMPLATES.get(name) or load_task(name)
    for kind in task.Config.__mro__[:-1]:
        source = inspect.getsource(kind)
        base = {f.name for f in dataclasses.fields(settings.Settings)}
        for field in dataclasses.fields(kind):
            if field.name in kind.__annotations__:
                after = source.split(f"    {field.name}:", 1)[1]
                documented = '"""' in after.split("\n    \n")[0]
                assert documented or field.name in base, field.name


def test_a_task_without_a_function_or_with_another_one_is_found_out():
    whole = vars(fruit_ripeness)
    names = [name for name in fruit_ripeness.__all__]
    for lost in names:
        task = types.SimpleNamespace(
            **{name: whole[name] for name in names if name != lost}
        )
        assert missing(task) == [lost]
    task = types.SimpleNamespace(
        **{name: whole[name] for name in names} | {"predict": lambda model: []}
    )
    assert missing(task) == ["predict(model)"]


def test_an_unknown_task_lists_those_that_there_are():
    with pytest.raises(ValueError, match="the tasks are: semantic_segment"):
        load_task("rgbd")
