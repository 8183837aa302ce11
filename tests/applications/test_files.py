import shutil
from pathlib import Path

import pytest

from applications import checkpoints
from applications import cli
from applications import files


@pytest.mark.parametrize("name", ["config.json", "history.csv", "metrics.json"])
def test_a_folder_is_never_replaced_by_a_file(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is a folder, in whose place"):
        files.write(tmp_path / name, "{}")
    assert (tmp_path / name / "mine.txt").read_text() == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_file_or_folder_of_others_is_never_replaced_by_a_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    for name, message in (("file", "is a file"), ("folder", "other content")):
        with pytest.raises(FileExistsError, match=message):
            with files.replacing(tmp_path / name) as temporary:
                temporary.mkdir()
                (temporary / "model.onnx").touch()
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "folder" / "mine.txt").read_text() == "mine"


def test_an_evaluation_leaves_a_folder_of_its_name_alone(
    trained, tmp_path, capsys
):
    for name in ("config.json", "model.keras"):
        shutil.copy(trained / name, tmp_path)
    (tmp_path / "evaluate-test.json").mkdir()
    (tmp_path / "evaluate-test.json" / "mine.txt").touch()
    assert cli.main(["toy", "evaluate", "--run", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "left as it is" in error and error.count("\n") == 1
    assert (tmp_path / "evaluate-test.json" / "mine.txt").is_file()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_text_is_read_with_a_byte_order_mark_and_without(tmp_path, encoding):
    (tmp_path / "classes.txt").write_text("Straße\nBäume\n", encoding=encoding)
    text = files.read_text(tmp_path / "classes.txt")
    assert text.splitlines() == ["Straße", "Bäume"]


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_text_of_another_encoding_is_named(tmp_path, encoding):
    (tmp_path / "classes.txt").write_text("Straße", encoding=encoding)
    with pytest.raises(ValueError, match="classes.txt is not text in UTF-8"):
        files.read_text(tmp_path / "classes.txt")


def test_json_that_is_nested_too_deep_is_an_error_like_others(tmp_path):
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="a.json is not readable JSON"):
        files.read_json(tmp_path / "a.json")


def test_a_lock_leaves_nothing_behind_that_was_not_there(tmp_path):
    with pytest.raises(RuntimeError), files.lock(tmp_path / "task" / "name"):
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with files.lock(tmp_path / "task" / "name"):
        (tmp_path / "task" / "name" / "config.json").touch()
    assert (tmp_path / "task" / "name" / "config.json").is_file()


def test_a_lock_whose_file_was_removed_is_not_held(tmp_path, monkeypatch):
    """Another process held it, and removed it, between opening and locking."""
    flock = files.fcntl.flock

    def removed_then_locked(opened, how):
        Path(opened.name).unlink()
        Path(opened.name).touch()
        flock(opened, how)

    monkeypatch.setattr(files.fcntl, "flock", removed_then_locked)
    with pytest.raises(FileExistsError, match="by another process"):
        with files.lock(tmp_path):
            pass


def test_a_refused_training_leaves_nothing_behind(tmp_path, capsys):
    command = ["toy", "train", "--batch-size", "100"]
    assert cli.main([*command, "--runs-dir", str(tmp_path / "runs")]) == 2
    assert "fewer than a batch" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_export_without_a_format_is_refused(trained, capsys):
    command = ["toy", "export", "--run", str(trained), "--format"]
    assert cli.main(command) == 2
    assert "one or more of saved_model, onnx" in capsys.readouterr().err


def test_flipped_bytes_of_a_checkpoint_give_way_to_the_one_before(
    toy, tmp_path
):
    config = toy.load_data(toy.Config()).config
    model = toy.build_model(config)
    model.optimizer.build(model.trainable_variables)
    for epoch in (1, 2):
        checkpoints.save(tmp_path, model, checkpoints.State(epoch, [], {}))
    file = tmp_path / "epoch-00002" / "model.weights.h5"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    assert checkpoints.restore(tmp_path, toy.build_model(config)).epoch == 1


def test_what_nobody_foresaw_is_one_line_and_a_report(
    trained, monkeypatch, capsys
):
    def fail(*arguments):
        raise AttributeError("no such\nthing")

    monkeypatch.setattr("applications.evaluation.evaluate", fail)
    assert cli.main(["toy", "evaluate", "--run", str(trained)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: AttributeError: no such thing (")
    assert error.count("\n") == 1
    report = Path(error.rsplit(": ", 1)[1].removesuffix(")\n"))
    assert "Traceback" in report.read_text()
    report.unlink()
