"""Searches in which nothing can be found."""

import pytest

from applications import files
from tuning import cli

HEAD = "OBJECTIVE = 'max accuracy'\ndef space(hp):\n"


@pytest.fixture
def command(tmp_path, file):
    return [
        *("toy", "--space", str(file), "--epochs", "1"),
        *("--runs-dir", str(tmp_path / "runs")),
    ]


@pytest.mark.parametrize("algorithm", ["grid", "nsga2"])
def test_a_search_whose_trials_all_failed_says_so_and_why(
    command, file, trainings, capsys, algorithm
):
    if algorithm == "nsga2":
        pytest.importorskip("optuna")
    file.write_text(
        HEAD + "    return {'kernel': hp.Choice('kernel', [1e300, 1e301])}\n"
    )
    flags = ["--algorithm", algorithm, "--trials", "2"]
    # Again too, with nothing left to do.
    for _ in range(2):
        assert cli.main([*command, *flags]) == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("error: all 2 trials of ")
        assert "trial 0 ended with status 1: " in last
        assert "a smaller --learning-rate" in last
        assert len(trainings) == 2


def test_one_trial_with_a_score_is_a_success(command, file, trainings):
    file.write_text(
        HEAD + "    return {'kernel': hp.Choice('kernel', [1.0, 1e300])}\n"
    )
    flags = ["--algorithm", "grid", "--trials", "2"]
    assert cli.main([*command, *flags]) == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_a_failed_trial(
    command, trainings, toy, monkeypatch, capsys, value
):
    measure = toy.measure
    monkeypatch.setattr(
        toy, "measure", lambda *args: measure(*args) | {"accuracy": value}
    )
    assert cli.main([*command, "--trials", "1"]) == 1
    assert f"its accuracy is {value}, not a score" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("max beauty", "the objective beauty is not in the metrics, which ha"),
        ("max versions.keras", "versions.keras must be a number"),
        ("max versions", "versions must be a number, its value is {"),
    ],
)
def test_an_objective_that_is_not_measured_ends_the_search_at_once(
    command, tmp_path, file, trainings, capsys, objective, message
):
    file.write_text(file.read_text().replace("max accuracy", objective))
    for _ in range(2):
        assert cli.main(command) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert message in last and "mend OBJECTIVE" in last
        assert len(trainings) == 1
    home = tmp_path / "runs" / "searches" / "default" / "toy"
    (record,) = home.glob("*/trial.json")
    assert files.read_json(record)["status"] == "running"
