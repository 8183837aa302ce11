import dataclasses
import inspect
import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from applications import cli
from applications import files
from applications import instruction_following
from applications import settings
from applications.instruction_following import pictures
from applications.instruction_following import predictions
from applications.instruction_following import scores
from applications.instruction_following.config import PRESETS
from applications.instruction_following.config import Config
from applications.runs import Run
from keras_fusion import models

TASK = "instruction_following"
TINY = (
    *("--epochs", "1", "--batch-size", "32", "--boards", "64"),
    *("--filters", "4", "4", "--image-units", "8", "--word-units", "6"),
    *("--text-units", "6", "--joint-units", "8", "--fusion-units", "4"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    runs_dir = tmp_path_factory.mktemp("runs")
    assert cli.main([TASK, "train", "--runs-dir", str(runs_dir), *TINY]) == 0
    return runs_dir / TASK / "default"


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    """A folder in the Blocks format: a block goes beside another one."""
    root = tmp_path_factory.mktemp("blocks")
    rng = np.random.default_rng(0)
    for name, count in (("train", 24), ("dev", 4), ("test", 4)):
        content = []
        for _ in range(count):
            cells = rng.permutation(36)[:6]
            state = np.stack([cells % 6, cells // 6], axis=-1) / 3 - 5 / 6
            before = [[x, 0.1, z] for x, z in state.tolist()]
            after = [list(place) for place in before]
            after[0] = [before[1][0] + 1 / 6, 0.1, before[1][2]]
            note = {
                "type": "A0",
                "start": 0,
                "finish": 1,
                "notes": ["move block 1 right of block 2"] * 2,
            }
            content.append({"states": [before, after], "notes": [note]})
        (root / f"{name}.json").write_text(json.dumps(content))
    return root


@pytest.fixture(scope="module")
def planner(blocks, tmp_path_factory):
    runs_dir = tmp_path_factory.mktemp("runs")
    command = [TASK, "train", "--preset", "planner", "--epochs", "1"]
    flags = ["--data-dir", str(blocks), "--runs-dir", str(runs_dir)]
    sizes = ["--batch-size", "8", "--filters", "4", "--text-units", "6"]
    assert cli.main([*command, *flags, *sizes, "--name", "planner"]) == 0
    return runs_dir / TASK / "planner"


def test_a_run_holds_what_it_promises(run):
    metrics = files.read_json(run / "metrics.json")
    for measured in (metrics, *metrics["baselines"].values()):
        assert set(scores.KEYS) <= set(measured)
        ends = measured["mean_end_distance"]
        assert measured["mean_minimum_distance"] <= ends
    assert metrics["modalities"] == ["picture", "text"]
    assert metrics["baselines"]["oracle"]["mean_end_distance"] == 0
    assert metrics["baselines"]["stop"]["stop_rate"] == 1
    header = (run / "history.csv").read_text().splitlines()[0]
    assert "val_end_distance" in header and "val_success" in header
    with Image.open(run / "pictures" / "panel.png") as image:
        width = 3 * pictures.SIDE + 2 * pictures.MARGIN
        assert image.size == (width, 4 * (26 + pictures.SIDE))


@pytest.mark.parametrize("given", ["dev", "test", "validation"])
def test_evaluation_knows_the_names_of_the_data(run, given, capsys):
    command = [TASK, "evaluate", "--run", str(run), "--split", given]
    assert cli.main(command) == 0
    split = "validation" if given == "dev" else given
    written = files.read_json(run / f"evaluate-{split}.json")
    assert written["split"] == split
    trained = files.read_json(run / "metrics.json")
    same = written["mean_end_distance"] == trained["mean_end_distance"]
    assert same == (split != "test")
    shown = capsys.readouterr().out
    assert "agent (picture + text)" in shown and "oracle" in shown


def test_an_episode_becomes_an_animated_picture(run, tmp_path, capsys):
    command = [TASK, "play", "--run", str(run), "--index", "3"]
    file = tmp_path / "played.gif"
    assert cli.main([*command, "--out", str(file)]) == 0
    assert "actions: " in capsys.readouterr().out
    with Image.open(file) as image:
        assert image.format == "GIF" and image.size[0] == pictures.SIDE
        # Its text takes one line.
        assert image.size[1] - image.size[0] == 26
    said = ["--instruction", "move the red block above the blue block"]
    assert cli.main([*command, *said]) == 0
    assert (run / "pictures" / "play.gif").is_file()


def test_predictions_end_where_their_actions_lead(run, tmp_path):
    asked = [
        {"state": [[0, 0], [1, 1], [-2, 2]], "instruction": text}
        for text in ("put the red block left of the green one", "ü?", "")
    ]
    (tmp_path / "asked").mkdir()
    (tmp_path / "asked" / "some.json").write_text(json.dumps(asked))
    command = [TASK, "predict", "--run", str(run)]
    flags = ["--data-dir", str(tmp_path / "asked"), "--out"]
    assert cli.main([*command, *flags, str(tmp_path / "out")]) == 0
    answers = json.loads((tmp_path / "out" / "some.json").read_text())
    ways = {"left": (-1, 0), "right": (1, 0), "up": (0, 1), "down": (0, -1)}
    assert len(answers) == 3
    for question, answer in zip(asked, answers, strict=True):
        positions = np.array(question["state"])
        for action in answer["actions"]:
            if action == "stop":
                assert answer["stopped"]
                continue
            block, way = action.split()
            positions[int(block) - 1] += ways[way]
        np.testing.assert_array_equal(answer["positions"], positions)


def test_the_export_agrees_with_the_model(run):
    assert cli.main([TASK, "export", "--run", str(run)]) == 0
    served = tf.saved_model.load(str(run / "export" / "saved_model"))
    assert callable(served.serve)


def test_a_planner_learns_from_people_and_needs_no_training_file_later(
    planner, blocks, tmp_path
):
    metrics = files.read_json(planner / "metrics.json")
    assert metrics["modalities"] == ["picture", "text"]
    shutil.copy(blocks / "test.json", tmp_path)
    command = [TASK, "evaluate", "--run", str(planner)]
    flags = ["--data-dir", str(tmp_path), "--split", "test"]
    assert cli.main([*command, *flags]) == 0
    written = files.read_json(planner / "evaluate-test.json")
    stop = written["baselines"]["stop"]["mean_end_distance"]
    assert stop > written["baselines"]["oracle"]["mean_end_distance"]


def test_a_planner_is_given_no_places_outside_training(planner):
    model = Run(TASK, planner).model()
    assert set(model.input) == {"picture", "text"}


def test_a_planner_answers_in_the_coordinates_of_the_file(
    planner, blocks, tmp_path
):
    states = json.loads((blocks / "dev.json").read_text())[0]["states"]
    asked = [{"state": states[0], "instruction": "move block 1"}]
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    command = [TASK, "predict", "--run", str(planner), "--out"]
    out = tmp_path.parent / "answers"
    flags = ["--data-dir", str(tmp_path)]
    assert cli.main([*command, str(out), *flags]) == 0
    (answer,) = json.loads((out / "asked.json").read_text())
    apart = np.abs(np.array(answer["positions"]) - states[0]).max(axis=1)
    assert (apart > 0.05).sum() <= 1


def test_moves_are_told_in_words():
    path = np.zeros((4, 3, 2))
    path[1:, 2, 0] = -1
    path[2:, 2, 1] = 1
    words = predictions.actions_in_words(path, stopped=True)
    assert words == ["3 left", "3 up", "stop"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--data-dir", "nowhere"), "existing folder"),
        (("--world", "blocks"), "give its --data-dir"),
        (("--agent", "planner", "--learning", "bandit"), "--agent policy"),
        (("--modalities", "state", "text"), "for a planner"),
        (("--modalities", "text"), "picture and text"),
        (("--learning", "dqn", "--strategy", "mirrored"), "--strategy one"),
        (("--dropout", "1"), "dropout must be less than 1"),
        (("--resolution", "4"), "resolution must be at least 8"),
        (("--batch-size", "100000"), "--batch-size"),
        (("--fusion", "magic"), "fusion"),
        (("--learning", "bandit", "--mirror"), "drop --mirror"),
    ],
)
def test_wrong_settings_explain_themselves(tmp_path, capsys, flags, message):
    command = [TASK, "train", "--runs-dir", str(tmp_path), *TINY, *flags]
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error
    assert not list(tmp_path.rglob("model.keras"))


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        (("play", "--index", "400"), "index must be from 0 to 399"),
        (("play", "--out", "a.png"), "must end in .gif"),
        (("evaluate", "--data-dir", "."), "world is 'mini' by the settings"),
        (("predict", "--data-dir", "applications"), "no *.json"),
    ],
)
def test_wrong_uses_of_a_run_explain_themselves(run, capsys, verb, message):
    assert cli.main([TASK, verb[0], "--run", str(run), *verb[1:]]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error


def test_a_folder_without_instructions_says_what_it_lacks(planner, capsys):
    command = [TASK, "evaluate", "--run", str(planner), "--data-dir", "."]
    assert cli.main(command) == 2
    assert "has none of train.json" in capsys.readouterr().err


def test_every_setting_is_read():
    package = instruction_following.__name__
    text = "".join(
        inspect.getsource(module)
        for module in {
            inspect.getmodule(getattr(instruction_following, name))
            for name in instruction_following.__all__
            if callable(getattr(instruction_following, name))
        }
        | {
            __import__(f"{package}.{name}", fromlist=["x"])
            for name in ("learning", "players", "sources")
        }
    )
    common = {field.name for field in dataclasses.fields(settings.Settings)}
    own = {field.name for field in dataclasses.fields(Config)} - common
    read = {n for n in own if re.search(rf"(config|self)\.{n}\b", text)}
    selected = set(settings.select(Config(), models.instruction_agent))
    assert own == read | (selected & own)
    # What of the builder no setting reaches.
    arguments = set(inspect.signature(models.instruction_agent).parameters)
    computed = {"num_blocks", "num_words", "picture_shape", "goal"}
    assert arguments - selected - computed == {
        *("direction_units", "block_units", "name"),
    }


def test_the_lingunet_preset_has_the_published_sizes():
    config = dataclasses.replace(PRESETS["lingunet"], words=("move", "north"))
    model = instruction_following.build_model(config)
    layer = model.get_layer("text_convolution")
    # The picture's 64 channels, and the row and column of each cell.
    assert layer.input[0].shape[1:] == (32, 32, 66)
    assert layer.input[1].shape[1:] == (256,)
    shrink_and_widen = 25 * 32 * (66 + 13 * 32)
    text, biases = 257 * 5 * 32**2, 2 * 5 * 32
    assert layer.count_params() == shrink_and_widen + text + biases
    assert model.output["goal"].shape == (None, 32 * 32 + 1)


def test_the_published_preset_has_the_published_weights():
    # All but the table of words, which has as many rows as there are words.
    words = tuple(f"word{index}" for index in range(1104))
    config = dataclasses.replace(PRESETS["published"], words=words)
    model = instruction_following.build_model(config)
    assert model.count_params() == 846_917
    assert model.optimizer.clipnorm == 5 and config.entropy == 0.1
