"""Searches that go on after somebody, or a disk, has changed their files."""

import json
import shutil

import pytest

from tuning import cli
from tuning import damage
from tuning import trial as trials


def command(folder, *flags):
    return [
        *("toy", "--space", str(folder / "space.py"), "--epochs", "1"),
        *("--runs-dir", str(folder / "runs"), "--trials", "2", *flags),
    ]


@pytest.fixture(scope="module")
def searched(finish_search, tmp_path_factory):
    """The folder above a search of two trials, by algorithm."""

    def make(algorithm):
        search = finish_search(trials=2, algorithm=algorithm)
        return search.folder.parents[3]

    known = {}

    def searched(algorithm):
        if algorithm not in known:
            known[algorithm] = make(algorithm)
        return known[algorithm]

    return searched


@pytest.fixture
def damaged(searched, tmp_path, trainings, capsys):
    """Tries to go on with a search of which a file has another content."""

    def damaged(name, change, algorithm="random", status=2):
        folder = tmp_path / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(searched(algorithm), folder)
        file = folder / "runs" / "searches" / "default" / "toy" / name
        text = change(file.read_text())
        file.unlink() if text is None else file.write_text(text)
        before = content(folder)
        capsys.readouterr()
        given = command(folder, "--algorithm", algorithm, "--trials", "3")
        assert cli.main(given) == status
        error = capsys.readouterr().err
        if status:
            assert error.count("\n") == 1, error
            assert f"{file} is damaged (" in error
            assert content(folder) == before
        return error

    return damaged


def content(folder):
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def changed(**values):
    return lambda text: json.dumps(json.loads(text) | values)


FILES = (
    "search.json",
    "0/trial.json",
    "0/metrics.json",
    "oracle/trial_0/trial.json",
    "oracle/oracle.json",
)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"', "'", 1),
        lambda text: "[]",
        lambda text: "{}",
        lambda text: '{"color": "red"}',
        lambda text: "[" * 100_000,
    ],
    ids=["empty", "cut", "flipped", "list", "object", "other", "deep"],
)
def test_a_damaged_file_is_named_and_nothing_changes(damaged, name, change):
    error = damaged(name, change)
    assert "put back what it was, or begin another search" in error
    assert len(error) < 700


def test_what_is_wrong_is_told_in_short(damaged):
    words = {"x" * 999: "y" * 999}
    assert len(damaged("0/trial.json", changed(**words))) < 700


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("search.json", changed(flags=[])),
        ("search.json", changed(start="x")),
        ("0/trial.json", changed(status="lost")),
        ("0/trial.json", changed(status="running")),
        ("0/trial.json", changed(score="high")),
        ("0/trial.json", changed(score=None)),
        ("0/trial.json", changed(values=[1])),
        ("0/trial.json", changed(color="red")),
        ("0/metrics.json", changed(accuracy="high")),
        ("0/metrics.json", changed(accuracy=2.0)),
        ("oracle/trial_0/trial.json", changed(trial_id="7")),
        ("oracle/trial_0/trial.json", changed(status=3)),
        ("oracle/trial_0/trial.json", changed(score=None)),
        ("oracle/trial_0/trial.json", changed(hyperparameters=[])),
        ("oracle/trial_0/trial.json", changed(metrics=3)),
        ("oracle/oracle.json", changed(start_order=["0", "7"])),
        ("oracle/oracle.json", changed(start_order=[["0"]])),
        ("oracle/oracle.json", changed(end_order=3)),
        ("oracle/oracle.json", changed(ongoing_trials={"tuner0": "7"})),
        ("oracle/oracle.json", changed(ongoing_trials=["0"])),
        ("oracle/oracle.json", changed(tried_so_far=[{}])),
        ("oracle/oracle.json", changed(seed_state="1")),
        ("oracle/oracle.json", changed(display={"search_start": None})),
        ("oracle/oracle.json", changed(hyperparameters={"space": []})),
    ],
)
def test_content_that_was_never_written_is_damage(damaged, name, change):
    assert "put back what it was" in damaged(name, change)


@pytest.mark.parametrize("text", ["", "[]", '{"color": 1}', '{"epochs": 0}'])
def test_the_config_of_the_best_trial_is_looked_at(damaged, searched, text):
    home = searched("random") / "runs" / "searches" / "default" / "toy"
    scores = {
        name: json.loads((home / name / "trial.json").read_text())["score"]
        for name in "01"
    }
    best = max(scores, key=scores.get)
    damaged(f"{best}/config.json", lambda before: text)


def test_a_file_that_is_gone_is_named(damaged):
    assert "it is not there" in damaged("0/metrics.json", lambda text: None)


VALUES = {"kernel": 1.0, "kind": "dry"}


def test_metrics_of_a_trial_that_was_cut_off_may_be_removed(
    make_search, trainings
):
    search = make_search()
    file = search.folder / "0" / "metrics.json"
    file.parent.mkdir()
    file.write_text('{"accuracy": ')
    with pytest.raises(ValueError, match="metrics.json is .*; remove it, and"):
        trials.run(search, "0", VALUES)
    assert not trainings
    file.unlink()
    assert trials.run(search, "0", VALUES).status == "completed"


@pytest.mark.parametrize("text", ["", '{"epoch": ', "[]", '{"epoch": 1}'])
def test_a_trial_without_a_readable_checkpoint_is_no_failed_one(
    make_search, trainings, text
):
    search = make_search()
    folder = search.folder / "0" / "checkpoints"
    file = folder / "epoch-00001" / "state.json"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    told = f"{file} is damaged .*; remove {folder}, and the same command"
    with pytest.raises(ValueError, match=told):
        trials.run(search, "0", VALUES)
    assert not trainings
    # A training takes the newest one that it can read.
    older = folder / "epoch-00000" / "state.json"
    older.parent.mkdir()
    older.write_text('{"epoch": 0, "history": [], "clock": {}}')
    damage.check_checkpoints(folder)


@pytest.mark.parametrize("algorithm", ["grid", "bayesian", "hyperband"])
def test_the_state_of_every_algorithm_goes_on_and_is_looked_at(
    damaged, algorithm
):
    damaged("oracle/oracle.json", lambda text: text, algorithm, status=0)


def test_the_log_of_optuna_is_looked_at(damaged):
    pytest.importorskip("optuna")
    damaged("oracle/optuna.log", lambda text: "{}\n" + text, "nsga2")
    damaged("oracle/optuna.log", lambda text: text[9:], "nsga2")
