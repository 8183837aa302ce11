import dataclasses

import pytest

from tests import toy as toy_fixture
from tests.applications import toy_task
from tests.in_process import InProcess
from tuning import child
from tuning import search as searches
from tuning import workers
from tuning.flags import Flags

SPACE = """
OBJECTIVE = "max accuracy"

def space(hp):
    settings = {
        "kernel": hp.Float("kernel", 0.1, 10.0, sampling="log", default=1.0),
        "modalities": ("right", "left"),
    }
    kind = hp.Choice("kind", ["wet", "dry"])
    with hp.conditional_scope("kind", ["wet"]):
        settings["dropout"] = hp.Float("dropout", 0.0, 0.5, step=0.1)
    return settings
"""

toy = toy_fixture.toy


def searches_in(folder):
    """A function that begins a search of the toy task in a folder."""
    file = folder / "space.py"
    file.write_text(SPACE)

    def begin(start=None, **flags):
        config = toy_task.Config(epochs=1, runs_dir=str(folder / "runs"))
        config = dataclasses.replace(config, **(start or {}))
        flags = {"space": file, "trials": 3} | flags
        return searches.begin("toy", Flags(**flags), config)

    return begin


@pytest.fixture
def trainings(monkeypatch):
    """Trials are trained in this process; the commands that were given."""
    monkeypatch.setattr(child, "start", InProcess)
    monkeypatch.setattr(InProcess, "commands", [])
    return InProcess.commands


@pytest.fixture
def make_search(toy, tmp_path):
    return searches_in(tmp_path)


@pytest.fixture
def file(tmp_path, make_search):
    """The search space, for tests that change it."""
    return tmp_path / "space.py"


@pytest.fixture
def run_search(make_search, trainings):
    def run(start=None, **flags):
        search = make_search(start, **flags)
        workers.run(search, [])
        return search

    return run


@pytest.fixture(scope="module")
def finish_search(toy, tmp_path_factory):
    """Runs a search that several tests look at."""

    def finish(**flags):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(child, "start", InProcess)
            search = searches_in(tmp_path_factory.mktemp("search"))(**flags)
            workers.run(search, [])
        return search

    return finish
