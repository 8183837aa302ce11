import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from applications.instruction_following import mini_world
from applications.instruction_following import players
from applications.instruction_following import rewards
from applications.instruction_following.batched_world import BatchedWorld
from applications.instruction_following.demonstrations import demonstrate
from applications.instruction_following.episodes import Episodes
from applications.instruction_following.rules import ABSENT
from applications.instruction_following.rules import BLOCKS
from applications.instruction_following.rules import DIRECTIONS
from applications.instruction_following.rules import MINI
from applications.instruction_following.rules import distance
from applications.instruction_following.world import WORLD
from applications.instruction_following.world import BlocksWorld

OPPOSITE = [1, 0, 3, 2]


def crowded(rng, count, blocks=20):
    """Boards with blocks in cells of 0.18, often next to each other."""
    cells = rng.random((count, 100)).argsort(axis=1)[:, :20]
    place = np.stack([cells % 10, cells // 10], -1) * 0.18 - 0.81
    start = place + rng.uniform(-0.012, 0.012, place.shape)
    start[:, blocks:] = ABSENT
    block = rng.integers(blocks, size=count)
    target = start.copy()
    target[np.arange(count), block] = rng.uniform(-1, 1, (count, 2))
    return Episodes(start, target, block, ("move",) * count, np.arange(count))


def one_block(start, goal, count=1):
    boards = np.full((count, 20, 2), ABSENT)
    boards[:, 0] = start
    targets = boards.copy()
    targets[:, 0] = goal
    return boards, targets


# Case 6
def test_a_way_there_and_back_restores_the_state_to_the_last_bit(rng):
    start = crowded(rng, 200).start
    world = BatchedWorld(BLOCKS, start, start)
    actions = rng.integers(BLOCKS.stop, size=200)
    moved = world.step(actions).moved
    assert 0.2 < moved.mean() < 0.95
    back = 4 * (actions // 4) + np.array(OPPOSITE)[actions % 4]
    world.step(np.where(moved, back, BLOCKS.stop))
    np.testing.assert_array_equal(world.positions, start)


def test_failed_moves_and_absent_blocks_change_nothing(rng):
    start = crowded(rng, 300, blocks=12).start
    world = BatchedWorld(BLOCKS, start, start)
    outcome = world.step(rng.integers(BLOCKS.stop, size=300))
    failed = outcome.failed
    np.testing.assert_array_equal(world.positions[failed], start[failed])
    absent = BatchedWorld(BLOCKS, start, start)
    assert absent.step(np.full(300, 4 * 15 + 2)).failed.all()


def test_blocks_do_not_leave_the_ground():
    world = BatchedWorld(BLOCKS, *one_block((1.2, -1.2), (0, 0), count=4))
    outcome = world.step(np.arange(4))
    np.testing.assert_array_equal(outcome.moved, [True, False, True, False])


def test_corners_within_the_widened_square_collide(rng):
    # By the published test itself, corner by corner.
    half, wide = BLOCKS.side / 2, BLOCKS.side / 2 + BLOCKS.margin
    corners = half * np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])
    gaps = rng.uniform(-0.3, 0.3, (2000, 2))
    start = np.full((2000, 20, 2), ABSENT)
    start[:, 0] = 0
    start[:, 1] = gaps - (BLOCKS.step, 0)
    world = BatchedWorld(BLOCKS, start, start)
    right = world.step(np.full(2000, 4 * 1 + 1)).moved
    inside = np.abs(gaps[:, None] + corners).max(axis=-1) < wide
    np.testing.assert_array_equal(right, ~inside.any(axis=1))


def test_directions_keep_the_published_order():
    # North is -x of the file, south +x, east +z, west -z.
    np.testing.assert_array_equal(
        DIRECTIONS, [(-1, 0), (1, 0), (0, 1), (0, -1)]
    )


def test_an_isolated_block_reaches_the_nearest_point_of_its_grid(rng):
    goals = rng.uniform(-0.5, 0.5, (4000, 2))
    boards, targets = one_block((0.0, 0.0), goals, count=4000)
    ways = demonstrate(boards, np.zeros(4000, int), goals, BLOCKS)
    world = BatchedWorld(BLOCKS, boards, targets)
    played = players.play(players.oracle(ways), world)
    nearest = np.round(goals / 0.1) * 0.1
    expected = np.linalg.norm(nearest - goals, axis=1) / BLOCKS.side
    np.testing.assert_allclose(played.distance, expected, atol=1e-6)
    assert played.distance.max() <= 0.464
    # Mean and median of a uniform offset; four standard errors.
    assert played.distance.mean() == pytest.approx(0.2511, abs=0.006)
    assert np.median(played.distance) == pytest.approx(0.2618, abs=0.009)
    assert played.stopped.all()


def test_demonstrations_are_as_short_as_a_search_one_by_one(rng):
    episodes = crowded(rng, 6)
    rows = np.arange(6)
    goals = episodes.target[rows, episodes.block]
    ways = demonstrate(episodes.start, episodes.block, goals, BLOCKS)
    world = BatchedWorld(BLOCKS, episodes.start, episodes.target)
    played = players.play(players.oracle(ways), world)
    for row in rows:
        apart, length = breadth_first(episodes, row, goals[row])
        assert played.distance[row] == pytest.approx(apart, abs=1e-9)
        assert ways.length[row] == length


def breadth_first(episodes, row, goal):
    """Least distance that one block reaches, and actions with the stop."""
    block = episodes.block[row]
    others = np.delete(episodes.start[row], block, axis=0)
    start = episodes.start[row, block]
    seen, front = {(0, 0): 0}, [(0, 0)]
    for count in range(1, BLOCKS.horizon):
        grown = []
        for here in front:
            for shift in DIRECTIONS:
                there = here[0] + int(shift[0]), here[1] + int(shift[1])
                place = start + 0.1 * np.array(there)
                gap = np.abs(others - place).max(axis=1).min()
                free = gap >= 0.1544 and np.abs(place).max() <= 1.25
                if free and there not in seen:
                    seen[there] = count
                    grown.append(there)
        front = grown
    ends = {
        there: np.linalg.norm(start + 0.1 * np.array(there) - goal) / 0.1524
        for there in seen
    }
    least = min(ends.values())
    steps = min(seen[k] for k, v in ends.items() if v < least + 1e-9)
    return least, steps + 1


@pytest.mark.parametrize("rules", [BLOCKS, MINI])
def test_both_worlds_agree_move_by_move(rules, rng):
    if rules is MINI:
        episodes = mini_world.generate(40, seed=3)
    else:
        episodes = crowded(rng, 40)
    actions = rng.integers(rules.num_actions, size=(rules.horizon, 40))
    # A stop in the middle of some, and nothing behind it counts.
    actions[:7, :20] %= rules.stop
    many = BatchedWorld(rules, episodes.start, episodes.target)
    ones = [BlocksWorld(episodes, rules, resolution=0) for _ in range(40)]
    for index, world in enumerate(ones):
        world.reset(options={"instruction": index})
    for now in actions:
        live = ~many.done
        outcome = many.step(now)
        paid = rewards.problem_reward(outcome)
        paid = paid + outcome.before - outcome.after
        for row in np.flatnonzero(live):
            _, reward, stopped, cut, info = ones[row].step(now[row])
            np.testing.assert_array_equal(
                info["positions"], many.positions[row]
            )
            assert info["moved"] == outcome.moved[row]
            assert reward == pytest.approx(paid[row], abs=1e-9)
            assert (stopped or cut) == many.done[row]
    assert many.done.all()


def test_the_environment_passes_gymnasiums_check():
    world = gymnasium.make(WORLD, render_mode="rgb_array")
    check_env(world.unwrapped)
    seen, _ = world.reset(seed=4)
    again, _ = world.reset(seed=4)
    assert seen["text"] == again["text"]
    np.testing.assert_array_equal(seen["picture"], world.render())


# Case 4
def shaped_by_distance(outcome):
    """What F1 adds to the problem's reward."""
    nothing = np.zeros(len(outcome.moved))
    shaping = rewards.Shaping(demonstration=False)
    paid, _ = rewards.reward(outcome, nothing, nothing, shaping)
    return paid - rewards.problem_reward(outcome)


def test_distance_shaping_telescopes(rng):
    episodes = crowded(rng, 50)
    world = BatchedWorld(BLOCKS, episodes.start, episodes.target)
    start = distance(episodes.start, episodes.target, BLOCKS)
    total, failed = np.zeros(50), 0
    for _ in range(BLOCKS.horizon):
        outcome = world.step(rng.integers(BLOCKS.num_actions, size=50))
        total += shaped_by_distance(outcome)
        failed += outcome.failed.sum()
    end = distance(world.positions, episodes.target, BLOCKS)
    np.testing.assert_allclose(total, start - end, atol=1e-9)
    assert failed


def test_distance_shaping_of_a_closed_loop_is_nothing(rng):
    episodes = crowded(rng, 200, blocks=4)
    world = BatchedWorld(BLOCKS, episodes.start, episodes.target)
    block = 4 * episodes.block
    total, whole = np.zeros(200), np.ones(200, bool)
    # Up, left, down, right; loops in which a move fails do not close.
    for direction in (2, 0, 3, 1):
        outcome = world.step(block + direction)
        total += shaped_by_distance(outcome)
        whole &= outcome.moved
    assert whole.sum() > 100
    np.testing.assert_allclose(total[whole], 0, atol=1e-9)


def test_demonstration_shaping_telescopes_over_moves_that_do_not_fail(rng):
    episodes = crowded(rng, 50)
    rows = np.arange(50)
    goals = episodes.target[rows, episodes.block]
    ways = demonstrate(episodes.start, episodes.block, goals, BLOCKS)
    world = BatchedWorld(BLOCKS, episodes.start, episodes.target)
    potential = np.full(50, rewards.LOW_POTENTIAL)
    total, last, failed = np.zeros(50), potential, 0
    shaping = rewards.Shaping(distance=False)
    for time in range(12):
        # Half of the worlds follow the demonstration.
        follow = ways.actions[:, time]
        random = rng.integers(BLOCKS.stop, size=50)
        actions = np.where(rows % 2, follow, random)
        place = world.positions[rows, episodes.block]
        now = rewards.demonstration_potential(place, actions, ways, BLOCKS)
        live = ~world.done
        outcome = world.step(actions)
        paid, potential = rewards.reward(outcome, now, potential, shaping)
        extra = paid - rewards.problem_reward(outcome)
        total += np.where(live, extra, 0)
        last = np.where(live & ~outcome.failed, now, last)
        failed += outcome.failed.sum()
    np.testing.assert_allclose(total, last + 0.02, atol=1e-9)
    assert failed
    assert (last == 1).any() and (last == rewards.LOW_POTENTIAL).any()


def test_rewards_on_a_demonstration_are_the_published_ones():
    boards, targets = one_block((0.0, 0.0), (0.3, 0.0))
    goal = targets[:, 0]
    ways = demonstrate(boards, np.zeros(1, int), goal, BLOCKS)
    world = BatchedWorld(BLOCKS, boards, targets)
    potential, paid = np.full(1, rewards.LOW_POTENTIAL), []
    for time in range(4):
        place, actions = world.positions[:, 0], ways.actions[:, time]
        now = rewards.demonstration_potential(place, actions, ways, BLOCKS)
        reward, potential = rewards.reward(
            world.step(actions), now, potential, rewards.Shaping()
        )
        paid.append(reward.item())
    np.testing.assert_allclose(paid[0], 1.65617, atol=5e-6)
    np.testing.assert_allclose(paid[1:3], 0.63617, atol=5e-6)
    assert paid[3] == 1


def test_the_problem_pays_for_stopping_near_and_punishes_failure():
    boards, targets = one_block((1.25, 0.0), (1.25, 0.1), count=4)
    targets[1, 0] = (0, 0)
    world = BatchedWorld(BLOCKS, boards, targets)
    outcome = world.step(np.array([BLOCKS.stop, BLOCKS.stop, 1, 0]))
    np.testing.assert_array_equal(
        rewards.problem_reward(outcome), [1, -1, -1, -0.02]
    )


def test_a_failed_move_pays_for_nothing_but_its_failure():
    boards, targets = one_block((1.25, 0.0), (0, 0))
    outcome = BatchedWorld(BLOCKS, boards, targets).step(np.array([1]))
    paid, kept = rewards.reward(
        outcome, np.ones(1), np.full(1, 0.5), rewards.Shaping()
    )
    assert paid == -1 and kept == 0.5


# Trap of section 2.2: "Bisk metric" of the released simulator is the least
# distance on the way, not the one at the end.
def test_end_distance_and_minimum_distance_are_told_apart(rng):
    boards, targets = one_block((0.0, 0.0), (0.1, 0.0))
    world = BatchedWorld(BLOCKS, boards, targets)
    played = players.play(lambda world: np.array([1]), world)
    assert played.least[0] == pytest.approx(0, abs=1e-9)
    # It went right until the ground ended.
    assert played.distance[0] == pytest.approx(1.1 / 0.1524)
    assert not played.stopped[0]


def test_generated_boards_can_be_solved_and_say_where(rng):
    episodes = mini_world.generate(300, seed=1)
    rows = np.arange(300)
    goals = episodes.target[rows, episodes.block]
    ways = demonstrate(episodes.start, episodes.block, goals, MINI)
    world = BatchedWorld(MINI, episodes.start, episodes.target)
    played = players.play(players.oracle(ways), world)
    assert played.distance.max() == 0 and played.stopped.all()
    for row in rows:
        words = episodes.texts[row].split()
        named = [
            mini_world.COLORS.index(w) for w in words if w in "red green blue"
        ]
        assert named[0] == episodes.block[row]
        beside = goals[row] - episodes.start[row, named[1]]
        side = [s for s in mini_world.SIDES if s in episodes.texts[row]]
        way = DIRECTIONS[mini_world.SIDES.index(side[0])]
        np.testing.assert_array_equal(beside, way)
    stays = distance(episodes.start, episodes.target, MINI)
    assert stays.min() >= 1


# Case 8. Four standard errors of each of two sets of 400 boards.
def test_generated_boards_are_as_far_from_their_targets_as_the_notes():
    episodes = mini_world.generate(400, seed=1)
    stays = distance(episodes.start, episodes.target, MINI)
    error = stays.std() * np.sqrt(2 / 400)
    assert stays.mean() == pytest.approx(2.626, abs=4 * error)


def test_wrong_boards_explain_themselves():
    with pytest.raises(ValueError, match="absent ones at rules.ABSENT"):
        BatchedWorld(BLOCKS, np.zeros((2, 3, 2)), np.zeros((2, 20, 2)))
    world = BlocksWorld()
    with pytest.raises(ValueError, match="from 0 to 255, received 256"):
        world.reset(options={"instruction": 256})
    with pytest.raises(ValueError, match="render_mode must be"):
        BlocksWorld(render_mode="human")
