"""The toy task, for the tests of everything that runs tasks."""

import sys

import pytest

import applications
from tests.applications import toy_task


@pytest.fixture(scope="session", autouse=True)
def toy():
    """Registers the task; a conftest takes this fixture by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(applications.TASKS, "toy", "tell the sign of a sum")
        patch.setitem(sys.modules, "applications.toy", toy_task)
        yield toy_task
