"""Wrong words, places and files for every verb of every task."""

import json
import shutil

import pytest

import applications
from applications import cli

TASKS = tuple(applications.TASKS)
VERBS = ("evaluate", "predict", "export")
every_task = pytest.mark.parametrize("task", TASKS)
every_verb = pytest.mark.parametrize("verb", VERBS)
DATA = {
    "semantic_segmentation": "frames",
    "image_translation": "frames",
    "image_classification": "animals",
    "multimodal_classification": "rows",
    "multilabel_recognition": "labels",
    "captioning": "captions",
    "instruction_following": "blocks",
}


@pytest.mark.parametrize(
    "words",
    [
        *(["nope"], ["nope", "train"], ["--help!"], [""], ["train"]),
        *(["semantic_segmentation", "nope"], ["toy", "train"], ["../x"]),
        ["semantic segmentation"],
        *(["image_classification", ""], ["image_classification", "--nope"]),
    ],
)
def test_wrong_words_are_one_line(refuse, words):
    refuse(*words)


@every_task
@pytest.mark.parametrize(
    "flags",
    [
        *(["--nope"], ["nope"], ["--epochs"], ["--preset", "nope"]),
        *(["--preset"], ["--config", "nowhere.json"], ["--config", "empty"]),
        *(["--preset", ""], ["--config", ""], ["--data-dir", ""]),
        *(["--config"], ["--preset", "default", "--config", "a_file"]),
        *(["--config", "a_file"], ["--epochs", "3", "4"], ["-e", "3"]),
        *(["--data-dir", "nowhere"], ["--data-dir", "empty"]),
        ["--data-dir", "a_file"],
        ["--strategy", "mirrored", "--devices", "2", "--batch-size", "3"],
        # The run is there, with other settings.
        *(["--seed", "7"], ["--learning-rate", "0.5"]),
        ["--runs-dir", "runs", "--batch-size", "3"],
    ],
)
def test_a_training_that_cannot_be_is_one_line(refuse, task, flags):
    refuse(task, "train", *flags)


@every_task
@every_verb
@pytest.mark.parametrize(
    "flags",
    [
        *([], ["--run"], ["--run", "nowhere"], ["--run", ""]),
        *(["--run", "a_file"], ["--run", "empty"], ["--run", "../x"]),
        *(["--run", "default", "--nope"], ["--run", "default", "nope"]),
        ["--run", "default", "--runs-dir", "empty"],
    ],
)
def test_a_run_that_is_not_there_is_one_line(refuse, task, verb, flags):
    data = ("--data-dir", DATA[task]) if verb == "predict" else ()
    refuse(task, verb, *data, *flags)


@every_task
@pytest.mark.parametrize(
    ("verb", "flags"),
    [
        ("evaluate", ["--split", "nope"]),
        ("evaluate", ["--split", "test"]),
        ("evaluate", ["--split"]),
        ("evaluate", ["--data-dir", "nowhere"]),
        ("evaluate", ["--data-dir", "empty"]),
        ("evaluate", ["--data-dir", "a_file"]),
        ("predict", []),
        ("predict", ["--data-dir", "nowhere"]),
        ("predict", ["--data-dir", "empty"]),
        ("predict", ["--data-dir", "a_file"]),
        ("export", ["--format", "nope"]),
        ("export", ["--format"]),
        ("export", ["--format", "onnx", "nope"]),
    ],
)
def test_what_a_verb_cannot_do_is_one_line(refuse, task, verb, flags):
    refuse(task, verb, "--run", "default", *flags)


@every_task
def test_predictions_among_their_inputs_are_refused(refuse, task):
    flags = ("--run", "default", "--data-dir", DATA[task])
    refuse(task, "predict", *flags, "--out", f"{DATA[task]}/out")
    refuse(task, "predict", *flags, "--out", "a_file")


@pytest.mark.parametrize(
    ("task", "verb", "flags"),
    [
        ("image_classification", "explain", ["--split", "test"]),
        ("image_classification", "explain", ["--split", "nope"]),
        ("image_classification", "explain", ["--data-dir", "empty"]),
        ("multimodal_classification", "graph", ["--split", "test"]),
        ("multimodal_classification", "graph", ["--split", "nope"]),
        ("multimodal_classification", "graph", ["--data-dir", "frames"]),
        ("multimodal_classification", "evaluate", ["--data-dir", "animals"]),
        ("multilabel_recognition", "evaluate", ["--data-dir", "rows"]),
        ("multilabel_recognition", "evaluate", ["--data-dir", "frames"]),
        ("captioning", "generate", ["--image", "nowhere.png"]),
        ("captioning", "generate", ["--image", "a_file"]),
        ("captioning", "retrieve", ["--text", "unicorn"]),
        ("captioning", "retrieve", ["--text", "a", "--split", "test"]),
        ("captioning", "retrieve", ["--text", "a", "--data-dir", "frames"]),
        ("captioning", "evaluate", ["--data-dir", "animals"]),
        ("instruction_following", "play", ["--index", "-1"]),
        ("instruction_following", "play", ["--index", "1000000"]),
        ("instruction_following", "play", ["--index", "x"]),
        ("instruction_following", "play", ["--out", "picture.png"]),
        ("instruction_following", "play", ["--split", "test"]),
        ("instruction_following", "play", ["--data-dir", "frames"]),
        ("instruction_following", "evaluate", ["--data-dir", "frames"]),
        ("semantic_segmentation", "evaluate", ["--data-dir", "animals"]),
        ("image_translation", "evaluate", ["--data-dir", "animals"]),
        ("image_translation", "evaluate", ["--data-dir", "labels"]),
        ("image_classification", "evaluate", ["--data-dir", "blocks"]),
    ],
)
def test_the_tasks_own_verbs(refuse, task, verb, flags):
    refuse(task, verb, "--run", "default", *flags)


DAMAGED = {
    "config.json": ("", "{", "[]", '{"epochs": "x"}', "\x00\x01", "null"),
    "metrics.json": ("", "{", "[]", "\x00"),
    "model.keras": ("", "PK no model", "\x00" * 100),
}


def flip(file):
    """Other bytes in the middle of a file."""
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    for index in range(middle, middle + 64):
        content[index] ^= 0xFF
    file.write_bytes(bytes(content))


@pytest.fixture
def damaged(home, monkeypatch):
    """A copy of a run in a folder of its own, for one test to ruin."""
    monkeypatch.chdir(home)
    made = []

    def copy(task):
        made.append(home.parent / f"damaged-{task}")
        shutil.rmtree(made[-1], ignore_errors=True)
        shutil.copytree(home / "runs" / task / "default", made[-1])
        return made[-1]

    yield copy
    for folder in made:
        shutil.rmtree(folder)


@every_task
@every_verb
@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_of_a_run_is_named(refuse, damaged, task, verb, name):
    run = damaged(task)
    data = ("--data-dir", DATA[task]) if verb == "predict" else ()
    for content in DAMAGED[name]:
        (run / name).write_text(content)
        assert name in refuse(task, verb, "--run", run, *data)


@every_task
def test_flipped_bytes_of_a_model_are_named(refuse, damaged, task):
    run = damaged(task)
    flip(run / "model.keras")
    assert "model.keras" in refuse(task, "evaluate", "--run", run)


@every_task
def test_a_config_that_is_not_the_models_is_refused(refuse, damaged, task):
    run = damaged(task)
    config = json.loads((run / "config.json").read_text())
    config["learning_rate"] *= 2
    (run / "config.json").write_text(json.dumps(config))
    said = refuse(task, "evaluate", "--run", run)
    assert "was changed after the training: learning_rate" in said


@every_task
def test_a_run_that_has_moved_is_still_whole(damaged, task, home):
    """The rules above refuse nothing that is right."""
    run = damaged(task)
    config = json.loads((run / "config.json").read_text())
    config["data_dir"] = str(home / config["data_dir"])
    (run / "config.json").write_text(json.dumps(config))
    assert cli.main([task, "evaluate", "--run", str(run)]) == 0
