import ast
import dataclasses
import inspect
import textwrap
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


def undocumented(config_class):
    """The fields of a class without a text behind them, or in their type."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(config_class)))
    (body,) = (node.body for node in tree.body)
    lacking = []
    for node, following in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign):
            continue
        is_text = isinstance(following, ast.Expr) and isinstance(
            following.value, ast.Constant
        )
        # `settings.one_of` makes a text of its records.
        if not is_text and not isinstance(node.annotation, ast.Call):
            lacking.append(node.target.id)
    return set(lacking)


@pytest.mark.parametrize("name", [*applications.TASKS, *TEMPLATES])
def test_every_setting_has_a_help_text(name):
    task = TEMPLATES.get(name) or load_task(name)
    assert not undocumented(settings.Settings)
    # Only defaults of theirs are what tasks give to the fields of all.
    shared = {field.name for field in dataclasses.fields(settings.Settings)}
    assert undocumented(task.Config) <= shared


def test_a_setting_without_a_help_text_is_found_out():
    class Config(settings.Settings):
        told: int = 1
        """A text."""
        silent: int = 2
        last: int = 3

    assert undocumented(Config) == {"silent", "last"}


def test_a_task_without_a_function_or_with_another_one_is_found_out():
    whole = vars(fruit_ripeness)
    names = fruit_ripeness.__all__
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
