import csv
import dataclasses
import json
import shutil
import signal

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

from applications import callbacks
from applications import checkpoints
from applications import cli
from applications import files
from applications import runs
from applications import training


def contents(path):
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


def weights(path):
    return keras.models.load_model(path / "model.keras").get_weights()


def epochs(path):
    with open(path / "history.csv", newline="") as file:
        return [row["epoch"] for row in csv.DictReader(file)]


def assert_same_weights(path, other):
    for one, two in zip(weights(path), weights(other), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-6)


def train(runs_dir, *flags):
    return cli.main(["toy", "train", "--runs-dir", str(runs_dir), *flags])


def test_a_run_holds_every_file_and_nothing_half_written(trained):
    names = set(contents(trained))
    assert {
        "config.json",
        "model.keras",
        "metrics.json",
        "history.csv",
        "pictures/panel.png",
        "checkpoints/epoch-00002/state.json",
        "checkpoints/epoch-00003/model.weights.h5",
    } <= names
    assert not [name for name in names if ".tmp-" in name]
    assert len(list((trained / "checkpoints").iterdir())) == 2


def test_metrics_describe_the_run(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    model = keras.models.load_model(trained / "model.keras")
    assert 0 <= metrics["accuracy"] <= 1
    assert metrics["split"] == "validation"
    assert metrics["parameters"] == model.count_params()
    assert metrics["epochs"] == 3
    assert 0 < metrics["seconds_per_step"] < metrics["wall_seconds"]
    assert metrics["versions"]["keras"] == keras.__version__


def test_the_history_has_a_row_an_epoch(trained):
    with open(trained / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(np.isfinite(float(row["val_loss"])) for row in rows)


def test_tensorboard_gets_scalars_and_the_panel(trained):
    scalars = EventAccumulator(str(trained / "logs" / "train")).Reload()
    assert "epoch_loss" in scalars.Tags()["tensors"]
    pictures = EventAccumulator(str(trained / "logs" / "pictures")).Reload()
    assert len(pictures.Tensors("panel")) == 3


@pytest.mark.parametrize(
    "trap",
    [{"TOY_KILL_AT_STEP": "6"}, {"TOY_KILL_BEFORE": "epoch-00002"}],
    ids=["in a step", "while a checkpoint is written"],
)
def test_a_killed_run_ends_as_if_it_had_not_been(
    trap, trained, start_toy, tmp_path, capsys
):
    process = start_toy("train", "--runs-dir", tmp_path, **trap)
    process.communicate(timeout=300)
    path = tmp_path / "toy" / "default"
    assert process.returncode == -signal.SIGKILL
    assert [p.name for p in checkpoints.complete(path / "checkpoints")] == [
        "epoch-00001"
    ]
    assert train(tmp_path) == 0
    assert "resumed after epoch 1 of 3" in capsys.readouterr().out
    assert_same_weights(path, trained)
    assert not [name for name in contents(path) if ".tmp-" in name]
    assert epochs(path) == epochs(trained)


def test_a_finished_run_is_left_alone(trained, capsys):
    before = contents(trained)
    assert train(trained.parents[1]) == 0
    assert contents(trained) == before
    output = capsys.readouterr().out
    assert "already trained for 3 epochs" in output
    assert "accuracy" in output


def test_a_refused_continuation_leaves_the_settings(
    trained, tmp_path, monkeypatch, capsys
):
    assert train(tmp_path, "--epochs", "2") == 0
    before = contents(tmp_path)
    for file in (tmp_path / "toy/default/checkpoints").rglob("state.json"):
        file.write_text("{")
    damaged = contents(tmp_path)
    assert train(tmp_path, "--epochs", "3") == 2
    assert "no checkpoint in" in capsys.readouterr().err
    assert contents(tmp_path) == damaged != before


@pytest.mark.parametrize("name", ["model.keras", "metrics.json"])
def test_what_was_removed_is_written_again(trained, tmp_path, name):
    """As the message about a damaged one advises."""
    path = tmp_path / "toy" / "default"
    shutil.copytree(trained, path)
    (path / name).unlink()
    assert train(tmp_path) == 0
    assert_same_weights(path, trained)
    assert (path / name).is_file()
    assert epochs(path) == epochs(trained)


def test_more_epochs_continue_a_finished_run(trained, tmp_path):
    assert train(tmp_path, "--epochs", "2") == 0
    assert train(tmp_path, "--epochs", "3") == 0
    path = tmp_path / "toy" / "default"
    assert_same_weights(path, trained)
    assert files.read_json(path / "metrics.json")["epochs"] == 3


def test_another_config_under_the_same_name_is_refused(trained, capsys):
    before = contents(trained)
    flags = ("--seed", "4", "--learning-rate", "0.5", "--devices", "1")
    assert train(trained.parents[1], *flags) == 2
    message = capsys.readouterr().err
    assert "learning_rate 0.01 -> 0.5" in message
    assert "seed 0 -> 4" in message
    assert "devices" not in message
    assert train(trained.parents[1], "--epochs", "1") == 2
    assert "epochs 3 -> 1" in capsys.readouterr().err
    assert contents(trained) == before


def test_a_loss_that_is_no_number_ends_the_run(tmp_path, capsys):
    assert train(tmp_path, "--kernel", "1e76") == 1
    message = capsys.readouterr().err
    assert message.startswith("error: the loss is nan at step 1 of epoch 1")
    assert message.count("\n") == 1
    assert not list(tmp_path.rglob("epoch-*"))


def test_an_unreadable_checkpoint_gives_way_to_the_one_before(
    toy, trained, tmp_path
):
    model = toy.build_model(toy.Config(width=2))
    model.optimizer.build(model.trainable_variables)
    for epoch in (1, 2):
        state = checkpoints.State(epoch, [{"epoch": epoch}], {})
        checkpoints.save(tmp_path, model, state)
    (tmp_path / "epoch-00002" / "model.weights.h5").write_bytes(b"cut short")
    assert checkpoints.restore(tmp_path, model).epoch == 1
    (tmp_path / "epoch-00001" / "state.json").write_text("{")
    with pytest.raises(ValueError, match="no checkpoint .* is readable"):
        checkpoints.restore(tmp_path, model)


def test_checkpoints_keep_optimizer_and_random_states(toy, tmp_path):
    data = toy.load_data(toy.Config())
    config = data.config
    model, other = toy.build_model(config), toy.build_model(config)
    model.fit(data.train()[0], steps_per_epoch=3, shuffle=False, verbose=0)
    checkpoints.save(tmp_path, model, checkpoints.State(1, [], {}))
    checkpoints.restore(tmp_path, other)
    pairs = [
        *zip(model.variables, other.variables, strict=True),
        *zip(model.optimizer.variables, other.optimizer.variables, strict=True),
    ]
    for one, two in pairs:
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    assert int(other.optimizer.iterations) == 3


def test_mixed_precision_holds_for_the_build_alone(toy, tmp_path):
    config = toy.Config(runs_dir=str(tmp_path), epochs=1)
    mixed = dataclasses.replace(config, precision="mixed_bfloat16")
    training.train("toy", mixed)
    model = runs.create("toy", mixed).model()
    assert model.layers[3].compute_dtype == "bfloat16"
    assert model.layers[3].variable_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_two_replicas_train_and_resume_as_one(tmp_path):
    flags = ("--dropout", "0", "--name")
    assert train(tmp_path, *flags, "one") == 0
    mirrored = ("--strategy", "mirrored", "--devices", "2")
    for epochs_asked in ("2", "3"):
        resumed = ("--epochs", epochs_asked)
        assert train(tmp_path, *flags, "two", *mirrored, *resumed) == 0
    assert_same_weights(tmp_path / "toy" / "one", tmp_path / "toy" / "two")


def test_two_workers_train_as_one(two_workers, tmp_path, monkeypatch):
    folder, _ = two_workers
    monkeypatch.setenv("TOY_WITNESS", str(tmp_path / "alone.npz"))
    assert train(tmp_path, "--dropout", "0") == 0
    alone = np.load(tmp_path / "alone.npz")
    first, second = (np.load(folder / f"worker-{i}.npz") for i in range(2))
    for name in alone.files:
        np.testing.assert_array_equal(first[name], second[name])
        np.testing.assert_allclose(first[name], alone[name], atol=1e-5)
    assert len(first["score"]) == 7


def test_only_the_chief_writes_and_speaks(two_workers):
    folder, outputs = two_workers
    run = folder / "runs" / "toy" / "default"
    assert (run / "metrics.json").is_file()
    assert [len(list(part.iterdir())) for part in (run / "logs").iterdir()] == [
        1,
        1,
        1,
    ]
    (chief_output, chief_errors), (other_output, other_errors) = outputs
    assert "accuracy" in chief_output
    assert other_output.strip() == ""
    assert chief_errors.strip() == other_errors.strip() == ""


@pytest.mark.parametrize("name", [*runs.FILES, *runs.FOLDERS])
def test_what_stands_in_the_way_is_said_before_anything_is_written(
    tmp_path, capsys, name
):
    run = tmp_path / "toy" / "default"
    if name in runs.FOLDERS:
        run.mkdir(parents=True)
        (run / name).write_text("mine")
    else:
        (run / name).mkdir(parents=True)
    before = contents(tmp_path)
    assert train(tmp_path) == 2
    assert f"{name} is a f" in capsys.readouterr().err
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        # As h5py says it.
        OSError("Unable to write (error message = 'No space left on device')"),
        RuntimeError("Unable to flush (No space left on device)"),
    ],
)
def test_a_full_disk_is_said_and_the_same_command_goes_on(
    toy, tmp_path, capsys, monkeypatch, trained, error
):
    save = keras.Model.save_weights

    def fill(model, path):
        if "epoch-00002" in str(path):
            raise error
        save(model, path)

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "save_weights", fill)
        assert train(tmp_path) == 2
    said = capsys.readouterr().err
    assert "epoch-00002: No space left on device; free some space" in said
    assert train(tmp_path) == 0
    assert "resumed after epoch 1" in capsys.readouterr().out
    assert_same_weights(tmp_path / "toy" / "default", trained)


def test_weights_that_do_not_learn_are_checked_too(toy, tmp_path, capsys):
    """Moving statistics are ruined by NaN inputs that no loss has seen."""
    model = toy.build_model(toy.Config(width=2))
    checkpoint = callbacks.Checkpoint(
        tmp_path, training.START, callbacks.StepTimer()
    )
    checkpoint.set_model(model)
    with pytest.raises(FloatingPointError, match="validation loss is not fi"):
        checkpoint.on_epoch_end(0, {"val_loss": float("nan")})
    moving = model.non_trainable_weights[0]
    moving.assign(np.full(moving.shape, np.nan))
    with pytest.raises(FloatingPointError, match="moving_mean is not finite"):
        checkpoint.on_epoch_end(0, {"loss": 1.0})
    assert not list(tmp_path.iterdir())
