"""Steps a second of many blocks worlds at once, against one environment.

    python -m benchmarks.blocks_world

Both play the same random actions by the same rules, with the published 20
blocks, rewards and distances, without pictures. One environment is the
gymnasium one, started anew when its episode ends; its wrappers are left out.
"""

import argparse
import statistics
import time

import numpy as np

from applications.instruction_following import batched_world
from applications.instruction_following import rewards
from applications.instruction_following.episodes import Episodes
from applications.instruction_following.rules import BLOCKS
from applications.instruction_following.world import BlocksWorld
from benchmarks.tables import write_table
from benchmarks.timing import alternate

TARGET = 50


def scattered(count: int, rng: np.random.Generator) -> Episodes:
    """Boards with all blocks on them, a cell each of eight by eight."""
    cells = rng.random((count, 64)).argsort(axis=1)[:, : BLOCKS.num_blocks]
    positions = np.stack([cells % 8, cells // 8], axis=-1) * 0.25 - 0.875
    start = positions + rng.uniform(-0.04, 0.04, positions.shape)
    target = start.copy()
    block = rng.integers(BLOCKS.num_blocks, size=count)
    target[np.arange(count), block] += rng.uniform(-0.5, 0.5, (count, 2))
    return Episodes(start, target, block, ("move",) * count, np.arange(count))


def batched(episodes: Episodes, actions: np.ndarray) -> None:
    world = batched_world.BatchedWorld(BLOCKS, episodes.start, episodes.target)
    for now in actions:
        outcome = world.step(now)
        rewards.problem_reward(outcome) + outcome.before - outcome.after


def one(world: BlocksWorld, actions: np.ndarray) -> None:
    for index, episode in enumerate(actions):
        world.reset(options={"instruction": index})
        for action in episode:
            world.step(action)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=2048)
    parser.add_argument("--single", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    # Moves only: episodes that stop at once would be cheap for the one.
    shape = (BLOCKS.horizon, arguments.worlds)
    actions = rng.integers(BLOCKS.stop, size=shape)
    episodes = scattered(arguments.worlds, rng)
    world = BlocksWorld(episodes, BLOCKS, resolution=0)
    some = actions.T[: arguments.single].tolist()
    seconds = alternate(
        {
            "batched": lambda: batched(episodes, actions),
            "one": lambda: one(world, some),
        },
        arguments.repeats,
        warm_up=1,
        clock=time.process_time,
    )
    batched_rate, one_rate = (
        BLOCKS.horizon * count / statistics.median(seconds[name])
        for name, count in (
            ("batched", arguments.worlds),
            ("one", arguments.single),
        )
    )
    write_table(
        "blocks_world",
        "Steps a second in the blocks world",
        [
            (
                f"`python -m benchmarks.blocks_world`: {arguments.worlds} "
                "worlds in array operations against one gymnasium environment "
                "by the same rules, 20 blocks, no pictures; processor time, "
                f"medians of {arguments.repeats} turns."
            )
        ],
        ["one, steps/s", "batched, steps/s", "ratio", "bar"],
        [
            [
                f"{one_rate:,.0f}",
                f"{batched_rate:,.0f}",
                f"{batched_rate / one_rate:.0f}",
                TARGET,
            ]
        ],
    )


if __name__ == "__main__":
    main()
