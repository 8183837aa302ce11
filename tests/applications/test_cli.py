import json
import os
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from applications import cli
from applications import files
from applications import settings
from applications.runs import Run
from tests.applications.conftest import ROOT


@pytest.fixture
def fail(capsys):
    """Runs a command that must fail and returns its one line."""

    def run(*arguments):
        assert cli.main([*map(str, arguments)]) == 2
        output = capsys.readouterr()
        assert output.err.startswith("error: ")
        assert output.err.count("\n") == 1
        return output.err

    return run


@pytest.fixture
def data_dir(tmp_path, rng):
    folder = tmp_path / "data"
    folder.mkdir()
    np.save(folder / "examples.npy", rng.normal(size=(6, 4)))
    return folder


def test_without_arguments_the_tasks_are_listed():
    process = subprocess.run(
        [sys.executable, "-m", "applications"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "semantic_segmentation" in process.stdout
    assert process.stderr == ""


def test_a_task_lists_its_verbs(capsys):
    assert cli.main(["toy"]) == 0
    output = capsys.readouterr().out
    for word in ("train", "evaluate", "predict", "export", "describe", "long"):
        assert word in output


def test_help_comes_from_the_config(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["toy", "train", "--preset", "long", "--help"])
    assert stop.value.code == 0
    output = capsys.readouterr().out
    assert "Share of hidden units left out in training." in output
    assert "Step size of the optimizer at its start." in output
    assert "(1 or more; default: 9)" in output


def test_a_task_adds_verbs(trained, capsys):
    assert cli.main(["toy", "describe", "--run", str(trained)]) == 0
    assert capsys.readouterr().out == "width 2\n"


def test_evaluate_writes_the_keys_of_the_metrics(trained, capsys):
    for split in ("test", "validation"):
        flags = ["--run", str(trained), "--split", split]
        assert cli.main(["toy", "evaluate", *flags]) == 0
    assert "accuracy" in capsys.readouterr().out
    metrics = files.read_json(trained / "metrics.json")
    again = files.read_json(trained / "evaluate-validation.json")
    for name in ("accuracy", "split", "parameters", "versions"):
        assert again[name] == metrics[name]
    assert files.read_json(trained / "evaluate-test.json")["split"] == "test"


def test_a_run_is_found_by_its_name(trained, capsys):
    flags = ["--run", "default", "--runs-dir", str(trained.parents[1])]
    assert cli.main(["toy", "describe", *flags]) == 0
    assert capsys.readouterr().out == "width 2\n"


def test_predict_writes_where_it_is_told(trained, data_dir, tmp_path):
    flags = ["--run", str(trained), "--data-dir", str(data_dir)]
    out = tmp_path / "out"
    assert cli.main(["toy", "predict", *flags, "--out", str(out)]) == 0
    assert np.load(out / "label.npy").shape == (6, 1)


def test_exports_give_the_numbers_of_the_model(
    toy, trained, tmp_path, rng, capsys
):
    flags = ["--run", str(trained), "--format", "saved_model", "onnx"]
    assert cli.main(["toy", "export", *flags]) == 0
    assert capsys.readouterr().out.count("max abs difference") == 2
    inputs = {
        name: rng.normal(size=(3, 2)).astype("float32")
        for name in ("left", "right")
    }
    served = tf.saved_model.load(str(trained / "export" / "saved_model"))
    session = onnxruntime.InferenceSession(
        trained / "export" / "onnx" / "model.onnx"
    )
    np.testing.assert_allclose(
        served.serve(inputs)["label"],
        session.run(["label"], inputs)[0],
        atol=1e-5,
    )


def test_a_config_file_gives_the_values_that_flags_change(
    toy, trained, tmp_path, monkeypatch
):
    received = []
    monkeypatch.setattr(
        "applications.training.train",
        lambda task, config: received.append(config),
    )
    file = tmp_path / "mine.json"
    file.write_text('{"modalities": ["one"], "epochs": 8, "seed": 3}')
    flags = ["--config", str(file), "--seed", "5", "--modalities", "a", "b"]
    assert cli.main(["toy", "train", *flags]) == 0
    assert (
        cli.main(["toy", "train", f"--config={trained / 'config.json'}"]) == 0
    )
    assert received == [
        toy.Config(modalities=("a", "b"), epochs=8, seed=5),
        Run("toy", trained).config,
    ]


def test_unknown_words_are_named(fail):
    assert "semantic_segmentation" in fail("nonsense")
    assert "evaluate" in fail("toy", "retrain")
    assert "options: --epoch" in fail("toy", "train", "--epoch", "3")
    assert "stray" in fail("toy", "train", "stray")
    assert "default, long" in fail("toy", "train", "--preset", "short")
    assert "mirrored" in fail("toy", "train", "--strategy", "two")
    assert "--run" in fail("toy", "evaluate")
    assert "onnx" in fail("toy", "export", "--run", "x", "--format", "h5")


@pytest.mark.parametrize(
    "flag, value, message",
    [
        ("--epochs", "0", "epochs must be at least 1"),
        ("--epochs", "many", "--epochs"),
        ("--batch-size", "0", "batch_size must be at least 1"),
        ("--devices", "0", "devices must be at least 1"),
        ("--learning-rate", "nan", "learning_rate must be a finite number"),
        ("--seed", "-1", "seed must be at least 0"),
        ("--name", "a/b", "name must be"),
        ("--name", "", "name must be"),
        ("--data-dir", "absent", "data_dir must be an existing folder"),
        ("--devices", "2", "one device"),
        ("--config", "absent.json", "no config file"),
    ],
)
def test_a_wrong_value_is_one_line(fail, tmp_path, flag, value, message):
    runs_dir = ("--runs-dir", tmp_path)
    assert message in fail("toy", "train", *runs_dir, flag, value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"epoch": 3}', "unknown settings: epoch;"),
        (
            '{"epochs": "many"}',
            "epochs must be a valid integer, received 'many'",
        ),
        ('{"epochs": true}', "epochs must be a valid integer"),
        ('{"modalities": "rgb"}', "modalities must be a valid array"),
        ('{"strategy": "two"}', "strategy must be"),
        ("[1]", "must hold a JSON object"),
        ("{", "is not JSON"),
    ],
)
def test_a_wrong_config_file_is_one_line(fail, tmp_path, text, message):
    file = tmp_path / "wrong.json"
    file.write_text(text)
    assert message in fail("toy", "train", "--config", file)


def test_preset_and_config_exclude_each_other(fail):
    flags = ("--preset", "long", "--config", "x.json")
    assert "not both" in fail("toy", "train", *flags)


def test_a_batch_that_replicas_cannot_share_is_refused(fail, tmp_path):
    flags = ("--runs-dir", tmp_path, "--strategy", "mirrored")
    message = fail("toy", "train", *flags, "--devices", 2, "--batch-size", 3)
    assert "multiple of the number of replicas" in message


def test_a_run_that_is_not_there_lists_those_that_are(fail, trained):
    flags = ("--run", "other", "--runs-dir", trained.parents[1])
    assert "default" in fail("toy", "evaluate", *flags)


def test_an_unfinished_run_says_how_to_finish_it(fail, toy, tmp_path):
    run = tmp_path / "toy" / "half"
    files.write(run / "config.json", settings.to_json(toy.Config(width=2)))
    assert "train --name half" in fail("toy", "export", "--run", run)


def test_damaged_files_of_a_run_are_named(fail, trained, tmp_path):
    run = tmp_path / "damaged"
    text = (trained / "config.json").read_text()
    files.write(run / "config.json", text)
    (run / "model.keras").write_bytes(b"PK cut short")
    assert "model.keras could not be read" in fail(
        "toy", "evaluate", "--run", run
    )
    files.write(run / "config.json", text[:20])
    assert "config.json is not JSON" in fail("toy", "evaluate", "--run", run)


def test_evaluation_data_must_be_there_and_fit(fail, trained, data_dir, rng):
    flags = ("toy", "evaluate", "--run", trained, "--data-dir")
    assert "existing folder" in fail(*flags, "absent")
    assert "has no test split; it has: train, validation" in fail(
        *flags, data_dir, "--split", "test"
    )
    np.save(data_dir / "examples.npy", rng.normal(size=(6, 10)))
    assert "width 2 -> 5" in fail(*flags, data_dir)


def test_predictions_never_land_among_their_inputs(fail, trained, data_dir):
    flags = ("--run", trained, "--data-dir", data_dir, "--out", data_dir)
    assert "outside of data_dir" in fail("toy", "predict", *flags)


def test_a_model_that_an_export_changes_is_not_kept(
    fail, trained, tmp_path, monkeypatch
):
    run = tmp_path / "copy"
    for name in ("config.json", "model.keras"):
        run.mkdir(exist_ok=True)
        (run / name).write_bytes((trained / name).read_bytes())
    wrong = {"label": np.zeros((4, 1), "float32")}
    monkeypatch.setitem(
        sys.modules["applications.export"].EXPORTERS,
        "saved_model",
        lambda model, inputs, folder: folder.mkdir() or wrong,
    )
    assert "differs from the model" in fail("toy", "export", "--run", run)
    assert not list((run / "export").iterdir())


def test_metrics_are_json(trained):
    assert json.loads((trained / "metrics.json").read_text())
