import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fusion import distribution
from keras_fusion.replicas import replicas


@pytest.fixture(scope="module")
def mirrored():
    return distribution.get_strategy("mirrored", devices=2)


def small_model(**compile_options):
    keras.utils.set_random_seed(7)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, use_bias=False),
            keras.layers.BatchNormalization(synchronized=True),
            keras.layers.Dense(1),
        ]
    )
    optimizer = keras.optimizers.Adam(
        0.01,
        gradient_accumulation_steps=compile_options.pop("accumulate", None),
    )
    model.compile(optimizer, "mse", **compile_options)
    return model


def trained(model):
    inputs = np.random.default_rng(3).normal(size=(16, 3))
    target = inputs.sum(1, keepdims=True)
    data = tf.data.Dataset.from_tensor_slices((inputs, target))
    model.fit(data.batch(4), epochs=4, shuffle=False, verbose=0)
    # The last batch, of one example, leaves the second replica without any.
    rest = data.take(13).batch(4)
    loss = model.evaluate(rest, verbose=0)
    return [*model.get_weights(), model.predict(rest, verbose=0), loss]


def test_two_replicas_equal_one(mirrored):
    alone = trained(small_model())
    with mirrored.scope():
        model = small_model()
    together = trained(model)
    for one, two in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-5)


def test_the_same_request_gives_the_same_strategy(mirrored):
    assert distribution.get_strategy("mirrored", devices=2) is mirrored


def test_replicas_are_counted_where_they_run(mirrored):
    assert replicas() == 1
    with mirrored.scope():
        assert replicas() == 2
    counts = mirrored.run(lambda: tf.constant(replicas()))
    assert [int(n) for n in mirrored.experimental_local_results(counts)] == [
        2,
        2,
    ]


def test_one_device_is_the_default_strategy():
    strategy = distribution.get_strategy("one")
    with strategy.scope():
        assert not tf.distribute.has_strategy()
    assert strategy.num_replicas_in_sync == 1


def test_a_single_process_is_the_chief(mirrored, tmp_path):
    for strategy in (distribution.get_strategy("one"), mirrored):
        assert distribution.is_chief(strategy)
        path = distribution.worker_path(tmp_path, strategy)
        assert path == str(tmp_path)


@pytest.mark.parametrize(
    "name, devices, message",
    [
        ("two", None, "one of one, mirrored, multi_worker"),
        ("one", 2, "which uses one device"),
        ("mirrored", 0, "at least 1"),
        ("mirrored", 3, "before anything else uses TensorFlow"),
        ("multi_worker", None, 'TF_CONFIG=\'{"cluster"'),
    ],
)
def test_wrong_requests_say_what_to_do(monkeypatch, name, devices, message):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    tf.constant(0)
    with pytest.raises(ValueError, match=message):
        distribution.get_strategy(name, devices)


@pytest.mark.parametrize(
    "config, message",
    [
        ([], "needs the environment variable"),
        ({"cluster": {"worker": ["a:1"]}}, "needs the environment variable"),
        (
            {
                "cluster": {"worker": ["a:1"]},
                "task": {"type": "worker", "index": 1},
            },
            "must be a chief or worker",
        ),
        (
            {
                "cluster": {"worker": ["a:1"], "ps": ["a:2"]},
                "task": {"type": "ps", "index": 0},
            },
            "must be a chief or worker",
        ),
    ],
)
def test_a_wrong_tf_config_is_refused(monkeypatch, config, message):
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(ValueError, match=message):
        distribution.get_strategy("multi_worker")


def test_more_gpus_than_there_are_is_refused(monkeypatch):
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind: ["gpu"] * 2
    )
    with pytest.raises(ValueError, match="number of GPUs here, 2"):
        distribution.get_strategy("mirrored", devices=3)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps_per_execution": 2}, "`steps_per_execution` must be 1"),
        ({"jit_compile": True}, "`jit_compile` must be 'auto' or False"),
        ({"accumulate": 2}, "`gradient_accumulation_steps` must be None"),
    ],
)
def test_what_fails_with_several_replicas_is_refused(
    mirrored, options, message
):
    with mirrored.scope():
        model = small_model(**options)
    with pytest.raises(ValueError, match=message):
        distribution.check_compiled(model, mirrored)
    distribution.check_compiled(model, distribution.get_strategy("one"))


def test_an_ordinary_model_passes(mirrored):
    with mirrored.scope():
        model = small_model()
    distribution.check_compiled(model, mirrored)


@pytest.mark.parametrize("batch_size", [1, 3, 5])
def test_replicas_need_equal_shares(mirrored, batch_size):
    with pytest.raises(
        ValueError, match=f"2. Received: batch_size={batch_size}"
    ):
        distribution.check_batch_size(batch_size, mirrored)
    distribution.check_batch_size(2 * batch_size, mirrored)
