import contextlib

import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.optimizers import MultiRateAdamW
from keras_fusion.optimizers import MultiRateSGD

# The first pattern that matches rules: the head's bias is no "bias".
MULTIPLIERS = {"head/": 6.0, "bias$": 0.5}
FACTORS = {
    "body/kernel": 1.0,
    "body/bias": 0.5,
    "head/kernel": 6.0,
    "head/bias": 6.0,
}

OPTIMIZERS = [
    (MultiRateSGD, keras.optimizers.SGD, {}),
    (
        MultiRateSGD,
        keras.optimizers.SGD,
        {"momentum": 0.9, "nesterov": True},
    ),
    (
        MultiRateAdamW,
        keras.optimizers.AdamW,
        {"weight_decay": 0.0, "clipnorm": 0.5},
    ),
]
every_optimizer = pytest.mark.parametrize(
    ("ours", "plain", "arguments"), OPTIMIZERS
)


def network():
    rng = np.random.default_rng(2)
    x = keras.Input((3,))
    hidden = keras.layers.Dense(4, activation="tanh", name="body")(x)
    model = keras.Model(x, keras.layers.Dense(2, name="head")(hidden))
    model.set_weights([rng.normal(size=w.shape) for w in model.weights])
    return model


def values(model):
    return {w.path: ops.convert_to_numpy(w) for w in model.weights}


def random_gradients(model, step):
    rng = np.random.default_rng(step)
    return tensors(rng.normal(size=w.shape) for w in model.weights)


def tensors(arrays):
    return [ops.convert_to_tensor(x, dtype="float32") for x in arrays]


def assert_close(first, second, **kwargs):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_allclose(
            first[name], second[name], err_msg=name, **kwargs
        )


@every_optimizer
def test_acts_like_an_optimizer_for_each_group(ours, plain, arguments):
    model, reference = network(), network()
    optimizer = ours(0.1, multipliers=MULTIPLIERS, **arguments)
    apart = {
        w.path: plain(0.1 * FACTORS[w.path], **arguments)
        for w in reference.weights
    }
    for step in range(5):
        gradients = random_gradients(model, step)
        optimizer.apply(gradients, model.trainable_variables)
        for gradient, weight in zip(
            gradients, reference.trainable_variables, strict=True
        ):
            apart[weight.path].apply([gradient], [weight])
    assert_close(values(model), values(reference), rtol=1e-5, atol=1e-6)


@every_optimizer
def test_without_multipliers_it_is_the_plain_one(ours, plain, arguments):
    model, reference = network(), network()
    for optimizer, each in (
        (ours(0.1, **arguments), model),
        (plain(0.1, **arguments), reference),
    ):
        for step in range(3):
            optimizer.apply(random_gradients(each, step), each.weights)
    assert_close(values(model), values(reference), rtol=1e-5, atol=1e-6)


def test_schedule_is_multiplied_too():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [1], [0.1, 1.0]
    )
    model = network()
    optimizer = MultiRateSGD(schedule, multipliers=MULTIPLIERS)
    before = values(model)
    ones = tensors(np.ones(w.shape) for w in model.weights)
    for _ in range(3):
        optimizer.apply(ones, model.weights)
    expected = {
        name: before[name] - FACTORS[name] * (0.1 + 0.1 + 1.0)
        for name in before
    }
    assert_close(values(model), expected, rtol=1e-5, atol=1e-5)


def halving():
    return keras.optimizers.schedules.ExponentialDecay(8.0, 1, 0.5)


def test_a_multiplier_may_be_a_schedule_of_the_step():
    model = network()
    optimizer = MultiRateSGD(0.1, multipliers={"head/": halving()})
    before = values(model)
    ones = tensors(np.ones(w.shape) for w in model.weights)
    for _ in range(3):
        optimizer.apply(ones, model.weights)
    expected = {
        name: w - 0.1 * (8 + 4 + 2 if name.startswith("head/") else 3)
        for name, w in before.items()
    }
    assert_close(values(model), expected, rtol=1e-5, atol=1e-5)
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert copy.get_config() == optimizer.get_config()
    assert float(copy.multipliers["head/"](1)) == 4


def test_multipliers_may_change_between_steps():
    model = network()
    optimizer = MultiRateSGD(0.1, multipliers=MULTIPLIERS)
    before = values(model)
    ones = tensors(np.ones(w.shape) for w in model.weights)
    optimizer.apply(ones, model.weights)
    optimizer.change_multipliers({"head/": 2.0})
    optimizer.apply(ones, model.weights)
    expected = {
        name: w - 0.1 * (FACTORS[name] + (2 if name[:4] == "head" else 1))
        for name, w in before.items()
    }
    assert_close(values(model), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="'tail/'"):
        optimizer.change_multipliers({"tail/": 2.0})
    assert optimizer.multipliers == {"head/": 2.0}


def test_l2_is_a_gradient_before_momentum():
    model = network()
    expected = values(model)
    velocity = {name: np.zeros_like(w) for name, w in expected.items()}
    optimizer = MultiRateSGD(
        0.1, momentum=0.9, l2=0.05, multipliers=MULTIPLIERS
    )
    for step in range(4):
        gradients = random_gradients(model, step)
        optimizer.apply(gradients, model.weights)
        for name, gradient in zip(expected, gradients, strict=True):
            decayed = ops.convert_to_numpy(gradient) + 0.05 * expected[name]
            velocity[name] = 0.9 * velocity[name] + decayed
            rate = 0.1 * FACTORS[name]
            expected[name] = expected[name] - rate * velocity[name]
    assert_close(values(model), expected, rtol=1e-5, atol=1e-6)


def test_decay_of_adamw_keeps_the_common_rate():
    model = network()
    before = values(model)
    optimizer = MultiRateAdamW(0.1, weight_decay=0.5, multipliers=MULTIPLIERS)
    zeros = tensors(np.zeros(w.shape) for w in model.weights)
    optimizer.apply(zeros, model.weights)
    expected = {name: w * (1 - 0.1 * 0.5) for name, w in before.items()}
    assert_close(values(model), expected, rtol=1e-5)


@pytest.mark.parametrize("ours", [MultiRateSGD, MultiRateAdamW])
def test_a_pattern_without_weights_is_an_error_that_lists_them(ours):
    optimizer = ours(0.1, multipliers={"head/": 2.0, "decoder/": 6.0})
    with pytest.raises(ValueError, match="'decoder/'.*body/kernel.*head/bias"):
        optimizer.build(network().trainable_variables)


@every_optimizer
def test_config_round_trips(ours, plain, arguments):
    optimizer = ours(0.1, multipliers=MULTIPLIERS, **arguments)
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(copy) is ours
    assert copy.get_config() == optimizer.get_config()
    assert copy.multipliers == MULTIPLIERS


@every_optimizer
def test_saved_model_goes_on_as_if_never_saved(
    ours, plain, arguments, tmp_path
):
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    model = network()
    model.compile(ours(0.1, multipliers=MULTIPLIERS, **arguments), "mse")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.multipliers == MULTIPLIERS
    for each in (model, loaded):
        each.fit(x, y, verbose=0)
    assert_close(values(loaded), values(model), rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs TensorFlow"
)
def test_two_replicas_train_like_one(two_replicas):
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    trained = []
    for scope in (contextlib.nullcontext, two_replicas.scope):
        with scope():
            model = network()
            model.compile(
                MultiRateSGD(
                    0.1, momentum=0.9, l2=0.01, multipliers=MULTIPLIERS
                ),
                "mse",
            )
        model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0)
        trained.append(values(model))
    assert_close(trained[1], trained[0], rtol=1e-5, atol=1e-6)
