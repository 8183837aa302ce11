import dataclasses
import os

import pytest

from applications import files
from applications import runs
from applications import settings
from applications.runs import Run


@pytest.fixture
def config(toy):
    return toy.Config(width=2, modalities=("a", "b"))


def test_a_config_comes_back_as_it_went(toy, config, tmp_path):
    files.write(tmp_path / "config.json", settings.to_json(config))
    assert Run("toy", tmp_path).config == config


def test_a_setting_that_is_newer_than_the_run_has_its_default(toy, tmp_path):
    files.write(tmp_path / "config.json", '{"epochs": 5}')
    assert Run("toy", tmp_path).config == toy.Config(epochs=5)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    files.write(path, "first")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("sec")
        raise RuntimeError
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_is_replaced_with_all_that_was_in_it(tmp_path):
    path = tmp_path / "folder"
    for name in ("old", "new"):
        with files.replacing(path) as temporary:
            temporary.mkdir()
            (temporary / "model").touch()
            (temporary / name).touch()
    assert {inner.name for inner in path.iterdir()} == {"model", "new"}
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / "checkpoints" / ".tmp-abc" / "epoch-00001").mkdir(parents=True)
    (tmp_path / "checkpoints" / "epoch-00000").mkdir()
    files.remove_leftovers(tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [
        "epoch-00000"
    ]


def test_a_run_is_found_by_folder_and_by_name(config, tmp_path):
    config = dataclasses.replace(config, runs_dir=str(tmp_path), name="mine")
    run = runs.create("toy", config)
    run.write("config.json", settings.to_json(config))
    assert runs.find("toy", str(run.folder)).folder == run.folder
    assert runs.find("toy", "mine", str(tmp_path)).folder == run.folder
    with pytest.raises(FileNotFoundError, match="the runs there are: mine"):
        runs.find("toy", "yours", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="none yet"):
        runs.find("other", "mine", str(tmp_path))


def test_only_one_process_trains_a_run(tmp_path):
    with files.lock(tmp_path):
        with pytest.raises(FileExistsError, match="another process"):
            with files.lock(tmp_path):
                pass
    with files.lock(tmp_path):
        pass


def stored(folder, config):
    run = Run("toy", folder)
    run.write("config.json", settings.to_json(config))
    return run


def test_epochs_may_grow_and_places_may_change(config, tmp_path):
    (tmp_path / "data").mkdir()
    old = dataclasses.replace(config, data_dir=str(tmp_path / "data"))
    new = dataclasses.replace(
        old,
        epochs=old.epochs + 1,
        devices=2,
        strategy="mirrored",
        runs_dir="elsewhere",
        data_dir=os.path.relpath(tmp_path / "data"),
    )
    runs.check_continues(stored(tmp_path, old), new)


@pytest.mark.parametrize(
    "name, value",
    [("epochs", 2), ("seed", 1), ("modalities", ("b",)), ("data_dir", "x")],
)
def test_what_changes_the_result_is_named(config, tmp_path, name, value):
    new = dataclasses.replace(config, **{name: value})
    with pytest.raises(ValueError, match=f"other settings: {name} .* -> "):
        runs.check_continues(stored(tmp_path, config), new)


def test_the_history_holds_all_columns(tmp_path):
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "val_loss": 0.25}]
    files.write_csv(tmp_path / "history.csv", rows)
    assert (tmp_path / "history.csv").read_text() == (
        "epoch,loss,val_loss\n1,0.5,\n2,,0.25\n"
    )
