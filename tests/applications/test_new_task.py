import csv
import sys
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

import applications
from applications import cli
from applications import files
from tests.applications import fruit_ripeness
from tests.applications.fruit_ripeness import data
from tests.in_process import InProcess
from tuning import child
from tuning import cli as tuning_cli

TASK = "fruit_ripeness"


@pytest.fixture(scope="module", autouse=True)
def registered():
    """The one change elsewhere that a new task needs: its line in TASKS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(applications.TASKS, TASK, "tell ripe fruit from other")
        patch.setitem(sys.modules, f"applications.{TASK}", fruit_ripeness)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    runs_dir = tmp_path_factory.mktemp("runs")
    assert cli.main([TASK, "train", "--runs-dir", str(runs_dir)]) == 0
    return runs_dir / TASK / "default"


@pytest.fixture
def folder(tmp_path):
    """Fruit of a user: red and soft, red and firm."""
    Image.new("RGB", (20, 30), (210, 50, 60)).save(tmp_path / "red.png")
    with open(tmp_path / "test.csv", "w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["picture", "weight", "firmness", "ripe"])
        writer.writerows([["red.png", 150, 20, 0], ["red.png", 150, 60, 1]])
    return tmp_path


def test_it_learns_what_neither_input_tells_alone(run):
    metrics = files.read_json(run / "metrics.json")
    assert metrics["balanced_accuracy"] > 0.9
    with Image.open(run / "pictures" / "panel.png") as panel:
        assert panel.width == 3 * (data.SIDE + 2) - 2


def test_tensorboard_gets_its_curves_and_pictures(run):
    events = EventAccumulator(str(run / "logs" / "train")).Reload()
    assert "epoch_loss" in events.Tags()["tensors"]
    assert list((run / "logs" / "pictures").glob("events.*"))


def test_it_resumes(run, capsys):
    command = [TASK, "train", "--runs-dir", str(run.parents[1])]
    assert cli.main(command) == 0
    assert "already trained" in capsys.readouterr().out
    assert cli.main([*command, "--epochs", "13"]) == 0
    assert "resumed after epoch 12 of 13" in capsys.readouterr().out


def test_it_evaluates_data_of_a_user(run, folder):
    command = [TASK, "evaluate", "--run", str(run), "--data-dir", str(folder)]
    assert cli.main(command) == 0
    metrics = files.read_json(run / "evaluate-test.json")
    assert metrics["data_dir"] == str(folder)
    assert metrics["balanced_accuracy"] == 1


def test_it_predicts(run, folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    command = [TASK, "predict", "--run", str(run), "--data-dir", str(folder)]
    assert cli.main([*command, "--out", str(out)]) == 0
    with open(out / "test.csv", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["row"] for row in rows] == ["0", "1"]
    unripe, ripe = (float(row["ripe"]) for row in rows)
    assert 0 <= unripe < 0.5 < ripe <= 1


def test_it_is_exported(run):
    assert cli.main([TASK, "export", "--run", str(run)]) == 0
    assert (run / "export" / "saved_model" / "saved_model.pb").is_file()


def test_its_settings_are_searched(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(child, "start", InProcess)
    flags = ["--runs-dir", str(tmp_path), "--trials", "2"]
    assert tuning_cli.main([TASK, *flags]) == 0
    assert "2 trials, 0 of them failed" in capsys.readouterr().out


def test_the_template_is_short():
    package = Path(fruit_ripeness.__file__).parent
    sources = list(package.glob("*.py"))
    assert len(sources) <= 4
    for source in sources:
        assert len(source.read_text().splitlines()) <= 150
