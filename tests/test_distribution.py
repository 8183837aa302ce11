import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fusion import distribution
from keras_fusion import tf_config
from keras_fusion.replicas import replicas
from keras_fusion.tf_config import EXAMPLE


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


def a_cluster(index=0, job="worker", **jobs):
    jobs = {"worker": ["a:1", "b:1"]} | jobs
    return {"cluster": jobs, "task": {"type": job, "index": index}}


@pytest.mark.parametrize(
    "config, message",
    [
        ("", "it is not set"),
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("NaN", "it is no object"),
        ("[]", "it is no object"),
        ("null", "it is no object"),
        ({}, "its cluster must be an object with a list of workers"),
        ({"cluster": ["a:1"]}, "its cluster must be an object"),
        ({"cluster": {"chief": ["a:1"]}}, "with a list of workers"),
        ({"cluster": {"worker": ["a:1"]}}, "its task must be an object"),
        ({"cluster": {"worker": ["a:1"]}, "task": 0}, "its task must be an"),
        (a_cluster(worker="a:1"), "the worker of its cluster must be a list"),
        (a_cluster(worker=[]), "the worker of its cluster must be a list"),
        (a_cluster(worker={"0": "a:1"}), "must be a list of addresses"),
        (a_cluster(worker=[1]), "the worker 1 is no address"),
        (a_cluster(worker=[None]), "the worker None is no address"),
        (a_cluster(worker=["a"]), "the worker 'a' is no address HOST:PORT"),
        (a_cluster(worker=["a:b"]), "the worker 'a:b' is no address"),
        (a_cluster(worker=["a:0"]), "the worker 'a:0' is no address"),
        (a_cluster(worker=["a:65536"]), "is no address"),
        (a_cluster(worker=["http://a:1"]), "is no address"),
        (a_cluster(worker=["a:1", "a:1"]), "the address a:1 is there twice"),
        (a_cluster(ps=["a:1"]), "the address a:1 is there twice"),
        (a_cluster(chief=["c:1", "d:1"]), "one chief at most"),
        (a_cluster(chief="c:1"), "the chief of its cluster must be a list"),
        (a_cluster(job="ps", ps=["c:1"]), "must be a chief or worker of its"),
        (a_cluster(job="chief"), "must be a chief or worker of its cluster"),
        (a_cluster(job=None), "must be a chief or worker of its cluster"),
        (a_cluster(job=["worker"]), "must be a chief or worker of its cluster"),
        (a_cluster(index=2), "must be below 2, the number of its workers"),
        # The chief is not one of the workers.
        (a_cluster(index=2, chief=["c:1"]), "must be below 2"),
        (a_cluster(index=1, job="chief", chief=["c:1"]), "must be below 1"),
        (a_cluster(index=-1), "must be a number from 0"),
        (a_cluster(index=0.5), "must be a number from 0"),
        (a_cluster(index=None), "must be a number from 0"),
        (a_cluster(index=True), "must be a number from 0"),
        (a_cluster(index=[0]), "must be a number from 0"),
        (a_cluster(index="first"), "must be a number from 0"),
    ],
)
def test_a_wrong_tf_config_is_refused(monkeypatch, config, message):
    text = config if isinstance(config, str) else json.dumps(config)
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match="needs the environment var") as error:
        distribution.get_strategy("multi_worker")
    assert message in str(error.value) and EXAMPLE in str(error.value)
    assert len(str(error.value)) < 600 and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "config",
    [
        a_cluster(),
        a_cluster(index=1),
        a_cluster(index="1"),
        a_cluster(job="chief", chief=["c:1"]),
        a_cluster(worker=["10.0.0.1:65535"], ps=["c:1"]),
        a_cluster(worker=["[::1]:80"]),
    ],
)
def test_what_a_cluster_can_be_is_taken(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    tf_config.check()


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
