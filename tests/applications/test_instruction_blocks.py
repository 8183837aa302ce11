import heapq
import math
from pathlib import Path

import numpy as np
import pytest

from applications.instruction_following import episodes
from applications.instruction_following import players
from applications.instruction_following import rewards
from applications.instruction_following.batched_world import BatchedWorld
from applications.instruction_following.demonstrations import Demonstrations
from applications.instruction_following.demonstrations import demonstrate
from applications.instruction_following.rules import BLOCKS
from applications.instruction_following.rules import DIRECTIONS
from applications.instruction_following.rules import distance

# The public Blocks data, where they lie beside the checkout.
FOLDER = Path(__file__).parents[3] / "shared" / "data" / "blocks"
FILES = {"train": "train.json", "validation": "dev.json", "test": "test.json"}
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"there is no folder {FOLDER}"
)
# What is told to so many digits.
TWO, THREE = 5e-3, 5e-4


@pytest.fixture(scope="module")
def known():
    """A part of the data, or no test."""
    parts = {}

    def part_of(name):
        file = FOLDER / FILES[name]
        if not file.is_file():
            pytest.skip(f"the folder has no {FILES[name]}")
        if name not in parts:
            parts[name] = episodes.read(file)
        return parts[name]

    return part_of


def goals_of(part):
    return part.target[np.arange(len(part.start)), part.block]


def demonstrations_of(part):
    return demonstrate(part.start, part.block, goals_of(part), BLOCKS)


def played(part, player):
    world = BatchedWorld(BLOCKS, part.start, part.target)
    return players.play(player, world)


@pytest.mark.parametrize(
    ("name", "moves", "texts", "mean", "median"),
    [
        ("train", 1319, 11_871, 6.388, 6.231),
        ("validation", 191, 1719, 5.931, 5.692),
        ("test", 353, 3177, 6.229, 6.117),
    ],
)
def test_the_data_has_as_many_moves_and_texts_as_were_counted(
    known, name, moves, texts, mean, median
):
    part = known(name)
    assert (len(part.start), len(part.texts)) == (moves, texts)
    # Three people wrote three texts each.
    assert (np.bincount(part.board) == 9).all()
    stays = distance(part.start, part.target, BLOCKS)
    assert stays.mean() == pytest.approx(mean, abs=THREE)
    assert np.median(stays) == pytest.approx(median, abs=THREE)


# Case 7
@pytest.mark.parametrize(
    ("name", "stop", "oracle"),
    [
        ("validation", (5.931, 5.692), (0.349, 0.302)),
        ("test", (6.229, 6.117), (0.369, 0.307)),
    ],
)
def test_stop_and_oracle_end_where_they_were_recomputed_to(
    known, name, stop, oracle
):
    part = known(name)
    for player, (mean, median) in (
        (players.stopping, stop),
        (players.oracle(demonstrations_of(part)), oracle),
    ):
        ends = played(part, player).distance
        assert ends.mean() == pytest.approx(mean, abs=THREE)
        assert np.median(ends) == pytest.approx(median, abs=THREE)


@pytest.mark.parametrize(
    ("name", "end", "least"),
    [("validation", 15.1, 5.92), ("test", 14.95, 6.22)],
)
def test_random_actions_end_far_away(known, name, end, least, rng):
    several = [
        played(known(name), players.random_player(rng)) for _ in range(5)
    ]
    ends = np.mean([x.distance.mean() for x in several])
    assert ends == pytest.approx(end, abs=0.3)
    leasts = np.mean([x.least.mean() for x in several])
    assert leasts == pytest.approx(least, abs=0.02)


F1 = rewards.Shaping(distance=True, demonstration=False)
F2 = rewards.Shaping(distance=False, demonstration=True)
BOTH = rewards.Shaping(distance=True, demonstration=True)


# Case 7, the greedy table. The table's demonstrations come from A*, so these
# do too. F1 does not look at demonstrations and F2 obeys them; with both, a
# detour's shape decides whether it pays to obey, and A* with the heuristic of
# city blocks ends 0.011 lower on dev than with the straight one.
@pytest.mark.parametrize(
    ("name", "shaping", "mean", "median", "stops", "slack"),
    [
        ("validation", F1, 2.01, 0.88, 0.68, TWO),
        ("validation", F2, 0.349, 0.302, 0.97, THREE),
        ("validation", BOTH, 0.72, 0.32, 0.90, 0.011),
        # The table has no stops for these.
        ("test", F1, 2.03, 0.85, None, TWO),
        ("test", F2, 0.369, 0.307, None, THREE),
        ("test", BOTH, 0.47, 0.31, None, 0.011),
    ],
)
def test_greedy_play_with_known_rewards(
    known, name, shaping, mean, median, stops, slack
):
    part = known(name)
    ways = searched(part) if shaping.demonstration else demonstrations_of(part)
    world = greedy(part, ways, shaping)
    assert world.distance.mean() == pytest.approx(mean, abs=slack)
    within = min(slack, TWO)
    assert np.median(world.distance) == pytest.approx(median, abs=within)
    if stops is not None:
        assert world.stopped.mean() == pytest.approx(stops, abs=TWO)


# Trap: what pays most at once, with both shapings, is not what the
# demonstrations do: past a detour it is cheaper to disobey. Our ways are as
# short as those of A* and shaped otherwise; over twenty orders of equally short
# ways the mean was 0.59 to 0.73.
def test_greed_for_both_shapings_ends_further_away_than_demonstrations(known):
    part = known("validation")
    ways = demonstrations_of(part)
    greed = greedy(part, ways, BOTH).distance.mean()
    oracle = played(part, players.oracle(ways)).distance.mean()
    assert greed == pytest.approx(0.66, abs=0.08)
    assert greed > oracle + 0.2


def greedy(part, ways, shaping):
    """The worlds after doing what pays most at once, with all known.

    Where F2 alone pays, stopping within a block's length of the goal pays as
    much as going on; going on comes first in the order of actions.
    """
    count = len(part.start)
    rows, every = np.arange(count), np.arange(BLOCKS.num_actions)
    world = BatchedWorld(BLOCKS, part.start, part.target)
    each, tried = np.repeat(rows, len(every)), np.tile(every, count)
    all_ways = Demonstrations(*(x[each] for x in ways))
    before = np.full(count, rewards.LOW_POTENTIAL)
    for _ in range(BLOCKS.horizon):
        place = world.positions[rows, part.block]
        now = rewards.demonstration_potential(
            place[each], tried, all_ways, BLOCKS
        )
        outcome = world.select(each).step(tried)
        paid, _ = rewards.reward(outcome, now, before[each], shaping)
        best = np.round(paid.reshape(count, -1), 9).argmax(axis=1)
        now = now.reshape(count, -1)[rows, best]
        _, before = rewards.reward(world.step(best), now, before, shaping)
    return world


def searched(part):
    """Demonstrations by A*, world by world."""
    count, horizon = len(part.start), BLOCKS.horizon
    points = np.zeros((count, horizon, 2))
    actions = np.full((count, horizon), BLOCKS.stop)
    length = np.zeros(count, "int64")
    for row, goal in enumerate(goals_of(part)):
        block = part.block[row]
        others = np.delete(part.start[row], block, axis=0)
        place = part.start[row, block]
        way = a_star(place, others, goal)
        for time, direction in enumerate(way):
            points[row, time] = place
            actions[row, time] = 4 * block + direction
            place = place + BLOCKS.step * DIRECTIONS[direction]
        points[row, len(way) :] = place
        length[row] = len(way) + 1
    return Demonstrations(points, actions, length)


def a_star(start, others, goal):
    """Directions to the reachable point nearest to the goal."""

    def left(here):
        apart = start + BLOCKS.step * np.array(here) - goal
        return round(math.hypot(*apart), 9)

    steps, come_from, closed = {(0, 0): 0}, {}, set()
    front = [(left((0, 0)), (0, 0))]
    while front:
        _, here = heapq.heappop(front)
        if here in closed or steps[here] == BLOCKS.horizon - 1:
            continue
        closed.add(here)
        for direction, (right, up) in enumerate(DIRECTIONS.tolist()):
            there = here[0] + right, here[1] + up
            count = steps[here] + 1
            if count >= steps.get(there, math.inf):
                continue
            place = start + BLOCKS.step * np.array(there)
            gap = np.abs(others - place).max(axis=1).min()
            if gap < BLOCKS.clearance or np.abs(place).max() > BLOCKS.ground:
                continue
            steps[there], come_from[there] = count, (here, direction)
            cost = BLOCKS.step * count + left(there)
            heapq.heappush(front, (round(cost, 9), there))
    here, way = min(steps, key=lambda there: (left(there), steps[there])), []
    while here in come_from:
        here, direction = come_from[here]
        way.append(direction)
    return way[::-1]
