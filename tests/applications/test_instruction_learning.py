import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from applications import training
from applications.instruction_following import data
from applications.instruction_following import learning
from applications.instruction_following import model as model_module
from applications.instruction_following import players
from applications.instruction_following import policy
from applications.instruction_following import scores
from applications.instruction_following.batched_world import BatchedWorld
from applications.instruction_following.config import PRESETS
from applications.instruction_following.config import Config
from applications.runs import Run

TASK = "instruction_following"
TINY = Config(
    boards=64,
    batch_size=16,
    filters=(4, 4),
    image_units=8,
    word_units=6,
    text_units=6,
    joint_units=8,
    fusion="concat",
)


def prepared(**changes):
    return data.load_data(dataclasses.replace(TINY, **changes)).config


def heads(rng, states=1, blocks=20):
    return (
        rng.normal(size=(states, 5)).astype("float32"),
        rng.normal(size=(states, blocks)).astype("float32"),
    )


def numbers(x):
    return ops.convert_to_numpy(x)


# Case 2
def test_probabilities_of_all_actions_sum_to_one(rng):
    likely = np.exp(numbers(policy.action_log_probabilities(*heads(rng, 50))))
    np.testing.assert_allclose(likely.sum(axis=1), 1, rtol=1e-5)
    direction, block = heads(rng)
    one = np.exp(numbers(policy.action_log_probabilities(direction, block)))[0]
    share = [np.exp(x[0]) / np.exp(x[0]).sum() for x in (direction, block)]
    np.testing.assert_allclose(one[4 * 7 + 2], share[1][7] * share[0][2], 1e-5)
    np.testing.assert_allclose(one[80], share[0][4], rtol=1e-5)


def test_uniform_heads_make_each_move_a_hundredth_and_stop_a_fifth():
    zeros = np.zeros((1, 5), "float32"), np.zeros((1, 20), "float32")
    likely = np.exp(numbers(policy.action_log_probabilities(*zeros)))[0]
    np.testing.assert_allclose(likely, [0.01] * 80 + [0.2], rtol=1e-5)


# Trap: an untrained agent looks as good as one that always stops.
def test_the_untrained_greedy_agent_is_the_stop_baseline():
    config = prepared(published_start=True)
    agent = model_module.build_model(config)
    _, dataset = data.load_data(config).split("validation")
    metrics = scores.measure(agent, dataset, config)
    stop = metrics["baselines"]["stop"]
    assert {key: metrics[key] for key in stop} == stop


def test_the_untrained_published_network_stops_at_once():
    words = tuple(f"word{index}" for index in range(1104))
    config = dataclasses.replace(PRESETS["published"], words=words)
    agent = model_module.build_model(config)
    start = np.random.default_rng(0).uniform(-1, 1, (4, 20, 2))
    world = BatchedWorld(config.rules, start, start[::-1])
    text = np.arange(1, 25).reshape(4, 6)
    play = scores.player_of(agent, config)({"text": text}, {})
    played = players.play(play, world)
    assert played.stopped.all() and len(played.path) == 2
    np.testing.assert_array_equal(world.positions, start)


# Trap: the published entropy counts the block of a stop.
def test_true_and_published_entropy_of_uniform_heads():
    zeros = np.zeros((1, 5), "float32"), np.zeros((1, 20), "float32")
    both = math.log(5) + math.log(20)
    true = math.log(5) + 0.8 * math.log(20)
    assert numbers(policy.published_entropy(*zeros)) == pytest.approx(both)
    assert numbers(policy.entropy(*zeros)) == pytest.approx(true)
    assert (round(both, 3), round(true, 3)) == (4.605, 4.006)
    # Not even evenly spread actions would have as much as the sum.
    assert math.log(81) < both


def test_entropy_is_that_of_the_actions_one_by_one(rng):
    direction, block = heads(rng, 10)
    likely = numbers(policy.action_log_probabilities(direction, block))
    expected = -(np.exp(likely) * likely).sum(axis=1)
    received = numbers(policy.entropy(direction, block))
    np.testing.assert_allclose(received, expected, rtol=1e-5)


def loss_of(agent, heads, actions, reward, explores=0.0):
    """The loss, and its gradient for each state's logits."""
    direction, block = (tf.Variable(head) for head in heads)
    moves = actions < 80
    count = len(actions)
    targets = {
        "direction": np.where(moves, actions % 4, 4),
        "block": np.where(moves, actions // 4, 0),
        "block_counts": (moves | agent.published_gradient).astype("float32"),
        "reward": reward.astype("float32"),
        "explores": np.full(count, explores, "float32"),
    }
    with tf.GradientTape() as tape:
        loss = agent.compute_loss(
            y=targets, y_pred={"direction": direction, "block": block}
        )
    gradient = tape.gradient(loss, [direction, block])
    return float(loss), [count * g.numpy() for g in gradient]


def bare_agent(**attributes):
    nothing = keras.Input((1,))
    agent = learning.PolicyAgent(nothing, nothing)
    for name, value in attributes.items():
        setattr(agent, name, value)
    return agent


# Case 5
def test_sampled_gradient_converges_to_the_exact_one(rng):
    direction, block = heads(rng)
    rewards = rng.normal(size=81)
    with tf.GradientTape() as tape:
        logits = [tf.Variable(direction), tf.Variable(block)]
        likely = policy.action_log_probabilities(*logits)
        # The gradient of the expected reward is the sum of p grad(log p) r.
        expected = -ops.sum(ops.exp(likely) * rewards.astype("float32"))
    exact = [g.numpy()[0] for g in tape.gradient(expected, logits)]

    likely = numbers(policy.action_log_probabilities(direction, block))
    count = 20_000
    actions = policy.sampled(np.repeat(likely, count, axis=0), rng)
    repeated = [np.repeat(head, count, axis=0) for head in (direction, block)]
    _, samples = loss_of(bare_agent(), repeated, actions, rewards[actions])
    for sample, wanted in zip(samples, exact, strict=True):
        error = sample.std(axis=0) / math.sqrt(count)
        assert (np.abs(sample.mean(axis=0) - wanted) <= 5 * error + 1e-6).all()


# Trap: the likelihood of a block at a stop, which has none.
def test_a_stop_teaches_the_block_head_nothing_unless_as_published(rng):
    stop = np.array([80])
    for published in (False, True):
        agent = bare_agent(published_gradient=published)
        _, gradient = loss_of(agent, heads(rng), stop, np.ones(1))
        assert bool(np.abs(gradient[1]).max() > 0) == published
        assert np.abs(gradient[0]).max() > 0


@pytest.mark.parametrize("published", [False, True])
def test_entropy_gradient_equals_finite_differences(published, rng):
    agent = bare_agent(entropy_weight=0.1, published_gradient=published)
    given = heads(rng, blocks=4)
    action, nothing = np.array([2]), np.zeros(1)
    _, gradient = loss_of(agent, given, action, nothing, explores=1.0)
    for head in (0, 1):
        for index in range(given[head].shape[1]):
            ends = []
            for shift in (0.02, -0.02):
                moved = [x.copy() for x in given]
                moved[head][0, index] += shift
                ends.append(
                    loss_of(agent, moved, action, nothing, explores=1.0)[0]
                )
            slope = (ends[0] - ends[1]) / 0.04
            assert gradient[head][0, index] == pytest.approx(slope, abs=2e-5)


def test_returns_are_sums_of_the_later_rewards_of_the_episode():
    rewards = np.array([1.0, 2, 3, 10, 20])
    ends = np.array([False, False, True, False, True])
    np.testing.assert_array_equal(
        learning.returns(rewards, ends, 1.0), [6, 5, 3, 30, 20]
    )
    np.testing.assert_array_equal(
        learning.returns(rewards, ends, 0.5), [2.75, 3.5, 3, 20, 20]
    )


# Trap: the released training compares with the oracle's error, which nothing
# beats, and so never knows a best epoch.
@pytest.mark.parametrize("kind", ["supervised", "bandit", "reinforce", "dqn"])
def test_training_runs_for_all_its_epochs_and_moves_every_weight(
    kind, tmp_path
):
    config = prepared(
        learning=kind, epochs=2, warm_start=1, runs_dir=str(tmp_path)
    )
    metrics = training.train(TASK, config)
    assert metrics["epochs"] == metrics["epochs_asked"] == 2
    assert set(scores.KEYS) < set(metrics)
    assert set(metrics["baselines"]) == {"stop", "random", "oracle"}
    keras.utils.set_random_seed(config.seed)
    first = model_module.build_model(config)
    last = Run(TASK, tmp_path / TASK / "default").model()
    for before, after in zip(
        first.trainable_weights, last.trainable_weights, strict=True
    ):
        assert np.abs(numbers(before) - numbers(after)).max() > 0, before.path


def test_after_the_demonstrations_the_direction_head_starts_anew():
    config = prepared(learning="bandit", warm_start=2)
    agent = model_module.build_model(config)
    schedule = model_module.RolloutSchedule(config)
    schedule.set_model(agent)
    head = agent.get_layer("direction")
    head.bias.assign(np.ones(5))
    schedule.on_epoch_begin(1)
    assert numbers(head.bias).max() == 1
    schedule.on_epoch_begin(2)
    assert numbers(head.bias).max() == 0
    assert agent.rollout.epoch == 2


def test_the_published_warm_start_has_its_rate_and_its_replay():
    config = PRESETS["published"]
    rates = [model_module.learning_rate_at(e, config) for e in (0, 1, 2, 31)]
    assert rates == [1e-3, 1e-3, 2.5e-4, 2.5e-4]
    assert (config.warm_start_replay, config.memory) == (32, 2000)


@pytest.mark.parametrize("rate", [None, 0.01])
def test_a_warm_start_of_its_own_rate_has_its_own_optimizer(rate):
    config = prepared(learning="bandit", warm_start=2, warm_start_rate=rate)
    agent = model_module.build_model(config)
    optimizer = agent.optimizer
    optimizer.build(agent.trainable_variables)
    for variable in optimizer.variables:
        variable.assign(ops.ones_like(variable))
    schedule = model_module.RolloutSchedule(config)
    schedule.set_model(agent)
    schedule.on_epoch_begin(1)
    schedule.on_epoch_begin(2)
    left = {v.name for v in optimizer.variables if numbers(v).any()}
    assert "learning_rate" in left
    assert (len(left) == 1) == (rate is not None)


def test_a_warm_start_replays_states_of_earlier_episodes(monkeypatch):
    config = prepared(
        learning="bandit", batch_size=1, memory=20, warm_start_replay=8
    )
    agent = model_module.build_model(config)
    batches = iter(data.load_data(config).train()[0])
    episodes = agent.rollout.episodes
    played = []

    def watched(*args):
        played.append(episodes(*args))
        return played[-1]

    monkeypatch.setattr(agent.rollout, "episodes", watched)
    drawn = []
    for _ in range(12):
        x, y = map(scores.arrays, next(batches))
        lesson = agent._rolled_out(x | y, list(x))
        drawn.append(dict(zip(learning.TYPES, lesson, strict=True)))
        agent.optimizer.iterations.assign_add(1)
    states = np.cumsum([len(p["action"]) for p in played])
    assert [len(d["block"]) for d in drawn] == np.minimum(8, states).tolist()
    assert all((d["reward"] == 1).all() for d in drawn)
    # Of the last 20 states, and not of the last episode alone.
    pictures = np.concatenate([p["picture"] for p in played])[-20:]
    rows = [
        np.flatnonzero((pictures == seen).all(axis=(1, 2, 3)))
        for seen in drawn[-1]["picture"]
    ]
    assert all(len(row) for row in rows)
    assert min(map(min, rows)) < 20 - len(played[-1]["action"])
    # From then on, its own episodes alone.
    agent.rollout.epoch = config.warm_start
    lesson = agent._rolled_out(x | y, list(x))
    assert len(lesson[-1]) == len(played[-1]["action"])


def test_demonstrated_episodes_are_played_as_demonstrated():
    config = prepared(learning="bandit")
    agent = model_module.build_model(config)
    x, y = next(iter(data.load_data(config).train()[0]))
    x, y = scores.arrays(x), scores.arrays(y)
    transitions = agent.rollout.episodes(x, y, imitate=True)
    counts = np.bincount(transitions["episode"], minlength=len(y["length"]))
    np.testing.assert_array_equal(counts, y["length"])
    for row in range(len(counts)):
        done = transitions["action"][transitions["episode"] == row]
        np.testing.assert_array_equal(done, y["actions"][row, : counts[row]])
        assert transitions["ends"][transitions["episode"] == row].sum() == 1


def test_a_planner_that_knows_the_goal_does_as_well_as_the_oracle():
    config = prepared(agent="planner", modalities=("state", "text"))
    dataset = data.load_data(config).split("validation")[1]
    inputs, targets = map(scores.arrays, next(iter(dataset)))

    def knowing(given):
        return {
            "source": keras.ops.one_hot(targets["source"], 3).numpy(),
            "goal": 50 * keras.ops.one_hot(targets["goal"], 25).numpy(),
            "positions": given["positions"] / config.rules.side,
            "present": np.ones((len(targets["source"]), 3)),
        }

    player = players.PlannerPlayer(knowing, config, inputs["text"])
    played = players.play(player, scores.world_of(targets, config))
    assert played.distance.max() == 0 and played.stopped.all()


# Case 8; minutes, so `slow`. The numbers are the note's.
@pytest.fixture(scope="module")
def supervised(tmp_path_factory):
    """Two passes over 32,000 boards are 64,000 episodes."""
    config = dataclasses.replace(
        PRESETS["default"], epochs=2, runs_dir=str(tmp_path_factory.mktemp("s"))
    )
    return training.train(TASK, config)


@pytest.mark.slow
def test_demonstrations_teach_the_mini_world(supervised):
    assert supervised["success"] >= 0.70
    assert supervised["mean_end_distance"] < 0.5


@pytest.mark.slow
def test_rewards_go_on_from_demonstrations(tmp_path):
    # 32,000 episodes are demonstrated and 32,000 are its own.
    config = dataclasses.replace(
        PRESETS["default"],
        learning="bandit",
        boards=16_000,
        epochs=4,
        warm_start=2,
        reset_direction=False,
        learning_rate=1e-3,
        entropy=0.01,
        runs_dir=str(tmp_path),
    )
    metrics = training.train(TASK, config)
    assert metrics["success"] >= 0.75
    assert metrics["mean_end_distance"] < 0.5
