"""What a planner makes of a board when it sees the mirror images too.

A planner that has learned from mirrored boards is as good at each of them,
and wrong in other places: the four views together are an ensemble that costs
no training.
"""

from collections.abc import Callable

import numpy as np

from applications.instruction_following import instructions
from applications.instruction_following.config import Config
from applications.instruction_following.data import MIRRORED
from applications.instruction_following.data import mirrored_board
from applications.instruction_following.data import signs

Outputs = Callable[[dict], dict]


def with_test_time_augmentation(outputs: Outputs, config: Config) -> Outputs:
    """The outputs for a board, from the outputs for its four views.

    Scores and shares are means, places medians.
    """

    def averaged(inputs: dict) -> dict[str, np.ndarray]:
        views = [
            unmirrored(outputs(mirrored(inputs, mirror, config)), mirror)
            for mirror in MIRRORED
        ]
        stacked = {
            name: np.stack([v[name] for v in views]) for name in views[0]
        }
        return {
            "source": stacked["source"].mean(axis=0),
            "goal": np.log(stacked["goal"].mean(axis=0) + 1e-12),
            "positions": np.median(stacked["positions"], axis=0),
            "present": stacked["present"].mean(axis=0),
        }

    return averaged


def mirrored(inputs: dict, mirror: tuple[bool, bool], config: Config) -> dict:
    """The inputs of the mirrored board."""
    across, upright = mirror
    text = instructions.mirrored_codes(inputs["text"], config.words, *mirror)
    if "positions" in inputs:
        board = mirrored_board(inputs["positions"], mirror)
        return {"positions": board.astype("float32"), "text": text}
    picture = inputs["picture"]
    picture = picture[:, :, ::-1] if across else picture
    picture = picture[:, ::-1] if upright else picture
    return {"picture": np.ascontiguousarray(picture), "text": text}


def unmirrored(outputs: dict, mirror: tuple[bool, bool]) -> dict:
    """Outputs for a mirrored board as they are on the board; shares of goals.

    Goals are a square grid, ordered by right and then by up.
    """
    across, upright = mirror
    goal = outputs["goal"]
    share = np.exp(goal - goal.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    side = round(goal.shape[1] ** 0.5)
    grid = share.reshape(-1, side, side)
    grid = grid[:, ::-1] if across else grid
    grid = grid[:, :, ::-1] if upright else grid
    return {
        "source": outputs["source"],
        "goal": grid.reshape(goal.shape),
        "positions": outputs["positions"] * signs(mirror),
        "present": outputs["present"],
    }
