"""A planner that looks at a board from four sides."""

import dataclasses

import numpy as np
import pytest

from applications.instruction_following import data
from applications.instruction_following import instructions
from applications.instruction_following import views
from applications.instruction_following.config import PRESETS
from applications.instruction_following.goal_network import goal_places
from applications.instruction_following.rendering import render
from applications.instruction_following.rules import ABSENT
from applications.instruction_following.rules import BLOCKS

CONFIG = dataclasses.replace(
    PRESETS["planner"],
    words=("left", "right", "above", "below", "block", "1"),
)
GOALS = goal_places("blocks")


@pytest.fixture
def boards(rng):
    boards = rng.uniform(-0.9, 0.9, (5, BLOCKS.num_blocks, 2))
    boards[:, 7:] = ABSENT
    return boards.astype("float32")


def text(said):
    tokens = [instructions.tokenize(said)] * 5
    return instructions.encode(tokens, CONFIG.words, 8)


def knowing(given):
    """Knows the places of blocks; the goal is where the first block is."""
    place = given["positions"]
    present = place[..., 0] != ABSENT
    apart = np.abs(GOALS - place[:, :1]).max(axis=-1)
    return {
        "source": np.eye(BLOCKS.num_blocks)[: len(place)],
        "goal": -3.0 * apart,
        "positions": np.where(present[..., None], place, 0) / BLOCKS.side,
        "present": present.astype("float32"),
    }


def test_views_of_one_who_is_right_from_all_sides_agree(boards):
    given = {"positions": boards, "text": text("block left")}
    alone = knowing(given)
    together = views.with_test_time_augmentation(knowing, CONFIG)(given)
    share = np.exp(alone["goal"])
    share /= share.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.exp(together.pop("goal")), share, atol=1e-6)
    for name, value in together.items():
        np.testing.assert_allclose(value, alone[name], atol=1e-6)


def test_an_error_of_one_view_is_outvoted(boards):
    wrong = text("block right below")[0]

    def wrong_once(given):
        answer = knowing(given)
        if (given["text"][0] == wrong).all():
            answer["positions"] = answer["positions"] + 9
        return answer

    given = {"positions": boards, "text": text("block left above")}
    together = views.with_test_time_augmentation(wrong_once, CONFIG)(given)
    np.testing.assert_allclose(
        together["positions"], knowing(given)["positions"], atol=1e-6
    )


@pytest.mark.parametrize("mirror", data.MIRRORED)
def test_the_picture_and_the_words_are_those_of_the_mirrored_board(
    boards, mirror
):
    picture = render(boards, BLOCKS, 24)
    given = {"picture": picture, "text": text("block left above right 1 ?")}
    inputs = views.mirrored(given, mirror, CONFIG)
    turned = render(data.mirrored_board(boards, mirror), BLOCKS, 24)
    np.testing.assert_allclose(inputs["picture"], turned, atol=1e-5)
    words = instructions.mirrored(
        instructions.tokenize("block left above right 1 ?"), *mirror
    )
    expected = instructions.encode([words] * 5, CONFIG.words, 8)
    np.testing.assert_array_equal(inputs["text"], expected)
