import dataclasses
import re

import keras_tuner
import pytest

import applications
from applications import cli
from applications.task import load_task
from keras_fusion import layers
from tests import pages

every_page = pytest.mark.parametrize(
    "page", pages.PAGES, ids=lambda page: page.name
)


def test_the_first_snippet_of_the_readme_prints_its_result(capsys):
    snippet, *_ = pages.snippets(pages.README, "python")
    assert len(snippet.splitlines()) <= 12
    exec(snippet, {})
    accuracy = re.search(r"0\.\d+", capsys.readouterr().out).group()
    assert float(accuracy) > 0.95


def test_the_readme_stays_short():
    assert len(pages.README.read_text().splitlines()) <= 130


@every_page
def test_snippets_run(page):
    for snippet in pages.snippets(page, "python"):
        exec(snippet, {})


def test_the_space_of_the_guide_returns_settings():
    [snippet] = pages.snippets(pages.ROOT / "docs/tuning.md", "python")
    names = {}
    exec(snippet, names)
    found = names["space"](keras_tuner.HyperParameters())
    task = load_task("semantic_segmentation")
    assert found.keys() <= {x.name for x in dataclasses.fields(task.Config)}


@every_page
def test_links_lead_to_files(page):
    for link in pages.links(page):
        assert (page.parent / link).is_file(), link


@every_page
def test_commands_of_make_exist(page):
    targets = re.findall(
        r"^([a-z -]+):", (pages.ROOT / "Makefile").read_text(), re.M
    )
    known = " ".join(targets).split()
    for target in re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.M):
        assert target in known


@every_page
def test_commands_name_tasks_and_verbs(page):
    text = page.read_text().replace("\\\n", " ")
    for words in re.findall(r"python -m applications (\w[\w ]*)", text):
        task, *verb = words.split()[:2]
        assert task in applications.TASKS
        verbs = getattr(load_task(task), "VERBS", {})
        assert {*verb} <= {"train", *cli.VERBS, *verbs}
    for task in re.findall(r"python -m tuning (\w+)", text):
        assert task in applications.TASKS


def test_the_readme_recommends_layers_that_exist():
    rows = pages.table(pages.README, "Which layer?")
    recommended = [name for *_, cell in rows for name in pages.names(cell)]
    assert recommended and set(recommended) <= set(layers.__all__)
