import math

import numpy as np
import pytest

from benchmarks import goal_pixels

NAMES = ("here", "above", "below", "left", "right")


def candidates(inputs, relations):
    """The goals that some text could mean, board by board."""
    found = []
    for picture in inputs["picture"]:
        places = [np.argwhere(picture[..., c])[0] for c in range(3)]
        shifts = goal_pixels.RELATIONS[:relations]
        found.append({tuple(place + s) for place in places for s in shifts})
    return found


# Case 10. The floor is the entropy of the goal for who sees but does not read.
@pytest.mark.parametrize(("relations", "choices"), [(1, 3), (5, 15)])
def test_the_choice_without_the_text_is_the_documented_one(
    relations, choices, rng
):
    inputs, goals = goal_pixels.draw(3000, rng, relations)
    possible = candidates(inputs, relations)
    assert {len(cells) for cells in possible} == {choices}
    for cells, goal in zip(possible, goals, strict=True):
        assert divmod(int(goal), 8) in cells
    words = np.unique(inputs["text"], axis=0, return_counts=True)[1]
    assert len(words) == choices
    # Every text is as likely: within five standard errors.
    share = words / 3000
    error = math.sqrt((1 - 1 / choices) / choices / 3000)
    assert np.abs(share - 1 / choices).max() < 5 * error
    floor = {3: 1.585, 15: 3.907}[choices]
    assert round(math.log2(choices), 3) == floor
    assert str(floor) in goal_pixels.__doc__


def test_a_goal_is_the_pixel_that_the_words_say(rng):
    inputs, goals = goal_pixels.draw(200, rng)
    for picture, text, goal in zip(
        inputs["picture"], inputs["text"], goals, strict=True
    ):
        relation, color = text - (2, 7)
        row, column = np.argwhere(picture[..., color])[0]
        named = {
            "here": (row, column),
            "above": (row - 1, column),
            "below": (row + 1, column),
            "left": (row, column - 1),
            "right": (row, column + 1),
        }
        assert divmod(int(goal), 8) == named[NAMES[relation]]


def test_a_guess_of_nothing_scores_as_it_should(rng):
    model = goal_pixels.network("text_gate", True, 4)
    head = model.get_layer("goal_cells")
    head.set_weights([np.zeros_like(w) for w in head.get_weights()])
    scored = goal_pixels.scores(model, *goal_pixels.draw(50, rng))
    # 64 pixels and "out of sight" are alike.
    assert scored["bits"] == pytest.approx(math.log2(65), rel=1e-5)


# Case 10 by the agent's own goal head. Zeroed, the text must not let it beat
# the floor; four standard errors of a loss that no guess can lower.
@pytest.mark.slow
@pytest.mark.parametrize(("relations", "floor"), [(1, 1.585), (5, 3.907)])
def test_text_convolution_finds_goals_by_the_text_alone(relations, floor):
    model = goal_pixels.network("text_convolution", True, 16)
    found = goal_pixels.learn(model, seed=0, relations=relations)
    assert found["accuracy"] > 0.97
    assert found["bits"] < 0.1
    assert found["silent_bits"] > floor - 0.1
    chance = 2**-floor
    error = math.sqrt(chance * (1 - chance) / 2000)
    assert found["silent_accuracy"] < chance + 4 * error
