import dataclasses
import json

import numpy as np
import pytest

from applications.instruction_following import data
from applications.instruction_following import episodes
from applications.instruction_following import instructions
from applications.instruction_following import predictions
from applications.instruction_following.config import Config
from applications.instruction_following.rendering import BOARD
from applications.instruction_following.rendering import looks
from applications.instruction_following.rendering import render
from applications.instruction_following.rules import ABSENT
from applications.instruction_following.rules import BLOCKS
from applications.instruction_following.rules import MINI


def test_a_block_is_drawn_where_it_stands_in_its_own_colors():
    positions = np.full((1, 20, 2), ABSENT)
    positions[0, 3] = (0.5, -0.25)
    picture = render(positions, BLOCKS, 240)[0]
    scale = 240 / (2 * (1.25 + 0.0762))
    column, row = np.array([0.5 + 1.3262, 0.25 + 1.3262]) * scale
    body, mark = looks(20)[3]
    np.testing.assert_allclose(picture[int(row), int(column)], mark, atol=1e-6)
    beside = picture[int(row), int(column + 0.375 * 0.1524 * scale)]
    np.testing.assert_allclose(beside, body, atol=1e-6)
    np.testing.assert_allclose(picture[0, 0], BOARD, atol=1e-6)
    # All of its area, at any resolution.
    for size in (30, 77, 240):
        drawn = render(positions, BLOCKS, size)[0] - np.array(BOARD)
        area = drawn.sum(axis=(0, 1)) * (2 * 1.3262 / size) ** 2
        quarter = 0.1524**2 / 4
        expected = quarter * (3 * body + mark - 4 * np.array(BOARD))
        np.testing.assert_allclose(area, expected, atol=1e-5)


def test_no_two_blocks_look_alike():
    for count in (3, 20):
        colors = looks(count).reshape(count, 6)
        apart = np.abs(colors[:, None] - colors).max(axis=-1)
        assert apart[~np.eye(count, dtype=bool)].min() > 0.1


def test_a_mirrored_board_is_a_mirrored_picture(rng):
    positions = rng.uniform(-1, 1, (2, 20, 2))
    picture = render(positions, BLOCKS, 61)
    across = render(positions * (-1, 1), BLOCKS, 61)
    upright = render(positions * (1, -1), BLOCKS, 61)
    np.testing.assert_allclose(across, picture[:, :, ::-1], atol=1e-4)
    np.testing.assert_allclose(upright, picture[:, ::-1], atol=1e-4)


def test_words_are_turned_with_the_board():
    text = "Put it right below the top-left block, north-west (3)."
    tokens = instructions.tokenize(text)
    assert tokens == (
        "put it right below the top - left block , north - west ( 3 ) .".split()
    )
    across = instructions.mirrored(tokens, across=True, upright=False)
    upright = instructions.mirrored(tokens, across=False, upright=True)
    # "right below" is no direction.
    assert " ".join(across[:9]) == "put it right below the top - right block"
    assert " ".join(upright[:9]) == "put it right above the bottom - left block"
    assert across[10:13] == ["north", "-", "east"]
    for mirror in ((True, False), (False, True), (True, True)):
        twice = instructions.mirrored(
            instructions.mirrored(tokens, *mirror), *mirror
        )
        assert twice == tokens


def test_words_become_numbers_and_unknown_ones_one_of_them():
    words = instructions.vocabulary(["b a a", "a b c"])
    assert words == ("a", "b")
    encoded = instructions.encode([["b", "c"], [], ["a"] * 9], words, 4)
    np.testing.assert_array_equal(
        encoded, [[3, 1, 0, 0], [1, 0, 0, 0], [2, 2, 2, 2]]
    )


def one_episode(**note):
    start = [[0.5, 0.1, -0.25], [0, 0.1, 0]]
    finish = [[0.5, 0.1, -0.25], [0, 0.1, 0.5]]
    note = {
        "type": "A0",
        "start": 0,
        "finish": 1,
        "notes": ["move it up", "up"],
        "users": ["somebody"],
    } | note
    other = note | {"type": "A1", "notes": ["several moves"]}
    return [{"states": [start, finish], "notes": [note, other]}]


def on_board(state):
    """An episode that begins with such a board."""
    (episode,) = one_episode()
    return [episode | {"states": [state, episode["states"][1]]}]


def question(state, instruction="up"):
    return [{"state": state, "instruction": instruction}]


def test_single_moves_are_read_and_nobody_who_wrote_them(tmp_path):
    (tmp_path / "dev.json").write_text(json.dumps(one_episode()))
    read = episodes.read(tmp_path / "dev.json")
    assert read.texts == ("move it up", "up")
    np.testing.assert_array_equal(read.board, [0, 0])
    np.testing.assert_array_equal(read.block, [1])
    np.testing.assert_allclose(read.start[0, 0], (0.5, -0.25))
    np.testing.assert_allclose(read.target[0, 1], (0, 0.5))
    assert (read.start[0, 2:] == ABSENT).all()
    assert "somebody" not in str(read)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "dev.json is not readable JSON"),
        ("[", "dev.json is not readable JSON"),
        ("[" * 100_000, "dev.json is not readable JSON"),
        (
            "[]",
            "must hold a list of episodes with states and n.*received \\[\\]",
        ),
        ("{}", "must hold a list of episodes"),
        ("3", "must hold a list of episodes.*received 3"),
        ("[3]", "dev.json, entry 1: expected an object, received 3"),
        ("[{}]", "dev.json, entry 1: expected 'states', received only \\[\\]"),
        ([{"states": [[]], "nots": []}], "expected 'notes', received only"),
        ([{"states": [], "notes": []}], "states must be a list of one or more"),
        ([{"states": {}, "notes": []}], "states must be a list of one or more"),
        ([{"states": [[]], "notes": []}], "notes must be a list of one or mo"),
        ([{"states": [[]], "notes": "A0"}], "notes must be a list of one or"),
        ([{"states": [[]], "notes": [1]}], "entry 1: note 1: expected an obj"),
        (one_episode() + [{}], "entry 2: expected 'states'"),
        (one_episode(finish=0), "note 1: .*moves one block.*0 moving"),
        (one_episode(type="A1"), "type A0.*received none"),
        (one_episode(type=0), "note 1: type must be a text, received 0"),
        (one_episode(start=2), "start must be .* from 0 to 1, received 2"),
        # It would be the last one.
        (one_episode(finish=-1), "finish must be .* from 0 to 1, received -1"),
        (one_episode(start="0"), "start must be a number, received '0'"),
        (one_episode(start=True), "start must be a number, received True"),
        (one_episode(start=None), "start must be a number, received None"),
        # It would be taken letter by letter.
        (one_episode(notes="up"), "notes must be a list of one or more, rec"),
        (one_episode(notes=[]), "notes must be a list of one or more"),
        (one_episode(notes=["up", 3]), "notes must be texts, received"),
        (one_episode(notes=[None]), "notes must be texts, received"),
        # Half of a character.
        (one_episode(notes=["\ud800"]), "notes must be texts, received"),
        (on_board([[0, 0, 0]] * 21), "up to 20 positions \\[x, y, z\\]"),
        (on_board([]), "up to 20 positions"),
        (on_board({}), "up to 20 positions"),
        (on_board([[0, 0]]), "position 1 must be \\[x, y, z\\]"),
        (on_board([[0, 0, 0, 0]]), "position 1 must be"),
        (on_board([[0, 0, 0], 3]), "position 2 must be .*, received 3"),
        (on_board([[0, 0, "0"]]), "position 1 must be"),
        (on_board([[0, 0, True]]), "position 1 must be"),
        (on_board([[0, 0, None]]), "position 1 must be"),
        (on_board([[0, 0, float("nan")]]), "position 1 must be .*nan"),
        (on_board([[float("-inf"), 0, 0]]), "position 1 must be .*inf"),
        (on_board([[10**400, 0, 0]]), "position 1 must be"),
        # Centimeters, or where a block stands that a board lacks.
        (on_board([[9.0, 0, 0]]), "numbers from -1.25 to 1.25, received"),
        (on_board([[0.5, 0.1, -0.25]]), "as many blocks .* received 2 and 1"),
    ],
)
def test_unreadable_files_explain_themselves(tmp_path, content, message):
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "dev.json").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        episodes.read(tmp_path / "dev.json")
    assert str(error.value).startswith(str(tmp_path / "dev.json"))
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "a list of objects with a state and an instruction"),
        ([{"state": [], "instruction": "up"}], "entry 1: state must be a list"),
        ([{"state": [[0, 0]] * 3}], "entry 1: expected 'instruction'"),
        (question([[0, 0]] * 3, None), "instruction must be a text"),
        (question([[0, 0]] * 3, 3), "instruction must be a text"),
        (question([[0, 0]] * 3, "\ud800"), "instruction must be a text"),
        (question([[0, 0]] * 2), "expected 3 positions"),
        (question([[0, 0]] * 4), "up to 3 positions"),
        (question([[0, 0], [1, 1], [2, 3]]), "numbers from -2 to 2"),
        (question([[0, 0], [1, 1], [2, float("nan")]]), "position 3 must be"),
        (question([[0, 0], [1, 1], [2, "1"]]), "position 3 must be"),
    ],
)
def test_unreadable_questions_explain_themselves(tmp_path, content, message):
    text = content if isinstance(content, str) else json.dumps(content)
    file = tmp_path / "a.json"
    file.write_text(text)
    problems = []
    predictions.predict(None, small(), tmp_path, tmp_path / "out", problems)
    (problem,) = problems
    assert problem.startswith(str(file)) and message in problem
    assert not (tmp_path / "out").exists()


def small(**changes):
    settings = {"boards": 40, "batch_size": 8, "epochs": 1} | changes
    return data.load_data(Config(**settings)).config


def batches(config, first_epoch, count):
    dataset = data.load_data(config).train(first_epoch)[0].take(count)
    return [
        {name: value.numpy() for part in batch for name, value in part.items()}
        for batch in dataset
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"mirror": True, "word_dropout": 0.2},
        {"agent": "planner", "mirror": True},
        {"learning": "bandit"},
    ],
)
def test_training_data_is_a_function_of_seed_and_epoch(changes):
    config = small(**changes)
    steps = data.load_data(config).train()[1]
    twice = batches(config, 0, 2 * steps)
    later = batches(config, 1, steps)
    for expected, received in zip(twice[steps:], later, strict=True):
        for name, value in expected.items():
            np.testing.assert_array_equal(received[name], value)
    firsts = [
        np.sort(b["text"], axis=0).tobytes() for b in (twice[0], later[0])
    ]
    assert firsts[0] != firsts[1]


def test_an_epoch_shows_every_state_of_every_demonstration_once():
    config = small(boards=16, batch_size=1)
    part = data.Part(data.sources.find(config).splits["train"](), config)
    shown = batches(config, 0, part.demonstrations.length.sum())
    stops = sum(int((b["direction"] == 4).sum()) for b in shown)
    assert stops == 16
    first = sum(int((b["previous_direction"] == 5).sum()) for b in shown)
    assert first == 16


def test_mirrored_states_ask_for_mirrored_moves():
    config = small()
    part = data.Part(data.sources.find(config).splits["train"](), config)
    rows = np.arange(20)
    plain, wanted = data.policy_batch(part, rows, rows % 2, (False, False))
    turned, asked = data.policy_batch(part, rows, rows % 2, (True, False))
    np.testing.assert_allclose(
        turned["picture"], plain["picture"][:, :, ::-1], atol=1e-5
    )
    swapped = np.array([1, 0, 2, 3, 4])[wanted["direction"]]
    np.testing.assert_array_equal(asked["direction"], swapped)
    np.testing.assert_array_equal(asked["block"], wanted["block"])


def test_older_frames_are_black_at_first_and_then_the_past():
    config = small(frames=3)
    part = data.Part(data.sources.find(config).splits["train"](), config)
    row, times = np.zeros(2, int), np.arange(2)
    inputs, _ = data.policy_batch(part, row, times, (False, False))
    first, second = inputs["picture"]
    assert first[..., 3:].max() == 0 and second[..., 6:].max() == 0
    np.testing.assert_array_equal(second[..., 3:6], first[..., :3])
    assert np.abs(second[..., :3] - first[..., :3]).max() > 0.1


def test_a_goal_pixel_is_the_cell_in_which_the_goal_is():
    config = small(goal_weight=1.0)
    goals = np.array([(-2.0, 2.0), (2.0, 2.0), (0.0, 0.0), (-2.0, -2.0)])
    np.testing.assert_array_equal(
        data.goal_pixel(goals, config), [0, 4, 12, 20]
    )


def test_what_a_planner_is_to_see_is_in_the_picture():
    config = small(agent="planner", resolution=40)
    part = data.Part(data.sources.find(config).splits["train"](), config)
    inputs, targets = data.planner_batch(
        part, np.arange(10), np.zeros(10, int), (False, False)
    )
    side = config.resolution // 4
    for picture, cells in zip(inputs["picture"], targets["cells"], strict=True):
        for block, cell in enumerate(cells):
            row, column = np.array(divmod(cell, side)) * 4 + 2
            colors = looks(3)[block]
            apart = np.abs(picture[row, column] - colors).max(axis=1).min()
            assert apart < 0.05


def test_the_mini_world_is_five_by_five():
    assert dataclasses.asdict(MINI)["ground"] == 2
