"""One blocks world as a gymnasium environment: `gymnasium.make(WORLD)`.

An observation is what an agent may use: the picture from above, the
instruction and the action before. Where the blocks stand is in `info`. The
rules stand here in plain numbers, block by block, and in `batched_world` in
arrays; both agree move by move.
"""

import math
import string
from typing import Any

import gymnasium
import numpy as np

from applications.instruction_following import mini_world
from applications.instruction_following import rewards
from applications.instruction_following.episodes import Episodes
from applications.instruction_following.rendering import render
from applications.instruction_following.rules import DIRECTIONS
from applications.instruction_following.rules import MINI
from applications.instruction_following.rules import Rules

WORLD = "keras_fusion/BlocksWorld-v0"
LONGEST_TEXT = 1000


class BlocksWorld(gymnasium.Env):
    """Instructions to move one block, drawn from episodes at random.

    Args:
        episodes: Boards and texts. None: generated ones of the mini world.
        rules: Of the world that the episodes are from.
        resolution: Height and width of the pictures; 0: no pictures, for
            agents that are given the state, and for speed.
        render_mode: `"rgb_array"` or None.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}

    def __init__(
        self,
        episodes: Episodes | None = None,
        rules: Rules = MINI,
        resolution: int = 40,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(
                "render_mode must be None or 'rgb_array', received "
                f"{render_mode!r}"
            )
        self.episodes = episodes or mini_world.generate(256, seed=0)
        self.rules = rules
        self.resolution = resolution
        self.render_mode = render_mode
        self.action_space = gymnasium.spaces.Discrete(rules.num_actions)
        spaces: dict[str, gymnasium.Space] = {
            # No action before the first: one number behind all actions.
            "previous_action": gymnasium.spaces.Discrete(rules.num_actions + 1),
            "text": gymnasium.spaces.Text(
                LONGEST_TEXT, min_length=0, charset=string.printable
            ),
        }
        if resolution:
            shape = (resolution, resolution, 3)
            spaces["picture"] = gymnasium.spaces.Box(0, 255, shape, np.uint8)
        self.observation_space = gymnasium.spaces.Dict(spaces)

    def reset(
        self, *, seed: int | None = None, options: dict | None = None
    ) -> tuple[dict, dict]:
        """Starts an episode: `options["instruction"]` chooses its index."""
        super().reset(seed=seed)
        count = len(self.episodes.texts)
        index = (options or {}).get("instruction")
        if index is None:
            index = int(self.np_random.integers(count))
        if not 0 <= index < count:
            raise ValueError(
                f"instruction must be from 0 to {count - 1}, received {index}"
            )
        board = self.episodes.board[index]
        printable = filter(
            string.printable.__contains__, self.episodes.texts[index]
        )
        self.text = "".join(printable)[:LONGEST_TEXT]
        self.start = [tuple(map(float, p)) for p in self.episodes.start[board]]
        target = self.episodes.target[board]
        self.targets = [tuple(map(float, p)) for p in target]
        self.places = list(self.start)
        self.steps = [(0, 0)] * len(self.start)
        self.distances = [
            math.dist(*ends) / self.rules.side
            for ends in zip(self.places, self.targets, strict=True)
        ]
        self.time = 0
        self.previous_action = self.rules.num_actions
        return self._observation(), self._info(moved=False)

    def step(self, action: int) -> tuple[dict, float, bool, bool, dict]:
        action = int(action)
        before = sum(self.distances)
        stops = action == self.rules.stop
        moved = not stops and self._move(*divmod(action, 4))
        self.time += 1
        self.previous_action = action
        after = sum(self.distances)
        if stops:
            reward = rewards.GOAL if after < 1 else rewards.WRONG
        elif moved:
            reward = rewards.STEP + before - after
        else:
            reward = rewards.WRONG
        truncated = not stops and self.time >= self.rules.horizon
        return self._observation(), reward, stops, truncated, self._info(moved)

    def _move(self, block: int, direction: int) -> bool:
        """Moves the block by a step unless it collides or falls."""
        rules = self.rules
        shift = DIRECTIONS_LIST[direction]
        right, up = self.steps[block]
        steps = right + shift[0], up + shift[1]
        start = self.start[block]
        x = start[0] + rules.step * steps[0]
        y = start[1] + rules.step * steps[1]
        if abs(x) > rules.ground or abs(y) > rules.ground:
            return False
        clearance = rules.clearance
        for other, (right, up) in enumerate(self.places):
            if (
                other != block
                and abs(right - x) < clearance
                and abs(up - y) < clearance
            ):
                return False
        self.steps[block] = steps
        self.places[block] = x, y
        self.distances[block] = (
            math.dist((x, y), self.targets[block]) / rules.side
        )
        return True

    def _observation(self) -> dict[str, Any]:
        seen: dict[str, Any] = {
            "previous_action": np.int64(self.previous_action),
            "text": self.text,
        }
        if self.resolution:
            seen["picture"] = self.render()
        return seen

    def _info(self, moved: bool) -> dict[str, Any]:
        return {
            "positions": np.array(self.places),
            "distance": sum(self.distances),
            "moved": moved,
        }

    def render(self) -> np.ndarray:
        picture = render(
            np.array(self.places)[None], self.rules, self.resolution
        )
        return np.rint(255 * picture[0]).astype("uint8")


DIRECTIONS_LIST = [tuple(map(int, shift)) for shift in DIRECTIONS]

gymnasium.register(id=WORLD, entry_point=f"{__name__}:BlocksWorld")
