"""Wrong words, values and places on the command line of searches."""

import contextlib
import io
import sys
from pathlib import Path

import pytest

from tests.tuning.conftest import SPACE
from tuning import cli
from tuning import search

HOME = Path("runs", "searches", "default", "toy")
# Which any search is given.
SEARCH = ("toy", "--space", "space.py")


@pytest.fixture
def refuse(toy, tmp_path, trainings, monkeypatch):
    """Runs a wrong command and returns the one line that refuses it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.py").write_text(SPACE)
    (tmp_path / "space.txt").write_text(SPACE)
    (tmp_path / "empty").mkdir()

    def refuse(*arguments):
        before = tree(tmp_path)
        errors = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()):
            with contextlib.redirect_stderr(errors):
                status = cli.main(list(arguments))
        said = errors.getvalue()
        assert status == 2, said
        assert said.startswith("error: ") and said.count("\n") == 1, said
        assert said.isascii() and "----" not in said, said
        assert len(said) < 600 and "not foreseen" not in said, said
        assert not trainings
        assert tree(tmp_path) == before
        return said

    return refuse


def tree(folder):
    return {
        path: path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize(
    "words",
    [
        *(["nope"], [""], ["sweep"], ["--trials", "3"], ["../toy"]),
        *(["toy", "climb"], ["toy", ""], ["toy", "train"], ["toy"]),
        *(["toy", "--space"], ["toy", "--space", ""], ["toy", "--space", "."]),
        *(["toy", "--space", "no.py"], ["toy", "--space", "space.txt"]),
        *(["toy", "--space=no.py"], [*SEARCH, "--space"]),
        *([*SEARCH, "sweep"], [*SEARCH, "word"], [*SEARCH, "-t", "3"]),
        *(["toy", "sweep"], ["toy", "sweep", "--run"]),
        *(["toy", "sweep", "--run", ""], ["toy", "sweep", "--run", "nope"]),
        *(["toy", "sweep", "--run", "empty"], ["toy", "sweep", "nope"]),
        ["toy", "sweep", "--run", "space.py"],
        ["toy", "sweep", "--run", "x", "--split", "nope"],
        ["toy", "sweep", "--run", "x", "--color", "red"],
        ["toy", "sweep", "--run", "x", "--threshold"],
        ["instruction_following", "--data-dir", "empty"],
        ["semantic_segmentation", "--data-dir", "empty"],
        ["image_classification", "--data-dir", "empty"],
        ["semantic_segmentation", "--fusion", "magic"],
        ["image_classification", "--space", "space.py"],
    ],
    ids=" ".join,
)
def test_wrong_words_are_one_line(refuse, words):
    refuse(*words)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--trials 0", "trials must be at least 1, received 0"),
        ("--trials -1", "trials must be at least 1"),
        ("--trials 99999999999", "trials must be at most"),
        ("--trials 1.5", "--trials"),
        ("--trials many", "--trials"),
        ("--trials", "--trials"),
        ("--trials 1 2", "2"),
        ("--trial 3", "--trial"),
        ("--algorithm luck", "luck"),
        ("--algorithm", "--algorithm"),
        ("--algorithm nsga2 --workers 2", "--workers 2: drop it"),
        ("--cost money", "money"),
        ("--keep 0", "keep must be at least 1"),
        ("--keep all", "--keep"),
        ("--workers 0", "workers must be at least 1"),
        ("--workers 2.5", "--workers"),
        ("--chief-timeout 0", "chief_timeout must be at least 1"),
        ("--chief-timeout inf", "--chief-timeout"),
        ("--epochs 0", "epochs must be at least 1"),
        ("--epochs nan", "--epochs"),
        ("--name .hidden", "name must be"),
        ("--name a/b", "name must be"),
        ("--runs-dir space.py", "space.py"),
        ("--runs-dir space.py/x", "space.py"),
        ("--seed -1", "seed must be at least 0"),
        ("--learning-rate 0", "learning_rate must be"),
        ("--learning-rate nan", "learning_rate must be a finite number"),
        ("--data-dir nowhere", "data_dir must be an existing folder"),
        ("--data-dir space.py", "data_dir must be an existing folder"),
        ("--config nowhere.json", "there is no config file"),
        ("--config space.py", "space.py"),
        ("--config", "--config"),
        ("--preset nope", "the presets are: default, long"),
        ("--preset", "--preset"),
        ("--preset long --config space.py", "not both"),
        ("--color red", "--color"),
        ("--modalities red red", "modalities must not hold the same value"),
        ("--strategy two", "two"),
        ("--strategy mirrored --devices 0", "devices must be at least 1"),
        # Every trial would fail for it.
        ("--devices 2", "`devices` must be 1 or None with strategy 'one'"),
        ("--strategy multi_worker", "`TF_CONFIG` must be set"),
        ("--batch-size 17", "16 examples, fewer than a batch of 17"),
        ("--batch-size 99999999", "16 examples, fewer than a batch"),
        ("--precision int8", "int8"),
        ("--dropout 1", "dropout must be less than 1"),
        ("--search.trials 3", "--search.trials"),
    ],
)
def test_a_search_that_cannot_be_is_one_line(
    refuse, flags, message, monkeypatch
):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert message in refuse(*SEARCH, *flags.split())


@pytest.mark.parametrize("name", search.FILES)
def test_a_folder_in_the_place_of_a_file_is_one_line(refuse, name):
    path = HOME / name
    path.mkdir(parents=True)
    assert f"{path} is a folder" in refuse(*SEARCH)


@pytest.mark.parametrize("path", [HOME, HOME.parent, HOME.parents[1]])
def test_a_file_in_the_place_of_a_folder_is_one_line(refuse, path):
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert str(path) in refuse(*SEARCH)


@pytest.mark.parametrize("name", search.FOLDERS)
def test_a_file_in_the_place_of_a_part_is_one_line(refuse, name):
    HOME.mkdir(parents=True)
    (HOME / name).write_text("")
    assert f"{HOME / name} is a file" in refuse(*SEARCH)


def test_two_objectives_without_optuna_are_one_line(refuse, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    said = refuse(*SEARCH, "--algorithm", "nsga2")
    assert "pip install 'keras-fusion[optuna]'" in said


@pytest.mark.parametrize("name", ["", "x" * 300, "a\0b", "../x", "\udcff"])
def test_a_search_of_an_impossible_name_is_one_line(refuse, name):
    assert "name must be" in refuse(*SEARCH, "--name", name)
