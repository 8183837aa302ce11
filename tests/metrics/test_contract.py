"""What every public metric promises."""

import inspect

import keras
import numpy as np
import pytest

from keras_fusion import metrics
from tests.docstrings import run_example

CANDIDATES = 5
MAKE = [
    lambda: metrics.MeanClassAccuracy(CANDIDATES, sparse_y_pred=False),
    lambda: metrics.MedianRank(CANDIDATES),
    lambda: metrics.Perplexity(from_logits=True, ignore_class=3),
    lambda: metrics.PixelAccuracy(CANDIDATES, sparse_y_pred=False),
    lambda: metrics.RecallAtK(k=2),
    lambda: metrics.RetrievalFScore(k=3),
]
every_metric = pytest.mark.parametrize(
    "make", MAKE, ids=lambda make: type(make()).__name__
)


def data(rng, samples=12):
    x = rng.normal(size=(samples, 4)).astype("float32")
    return x, rng.integers(CANDIDATES, size=samples)


def compiled(metric):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(CANDIDATES)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=[metric])
    return model


def test_every_public_metric_is_here():
    public = {getattr(metrics, name) for name in metrics.__all__}
    assert {type(make()) for make in MAKE} == public


@every_metric
def test_config_round_trips_and_holds_every_argument(make):
    metric = make()
    config = metric.get_config()
    parameters = set(inspect.signature(type(metric)).parameters)
    assert set(config) == parameters
    assert type(metric).from_config(config).get_config() == config


@every_metric
def test_compiled_model_is_saved_with_its_metric(make, rng, tmp_path):
    metric = make()
    model, (x, y) = compiled(metric), data(rng)
    before = model.evaluate(x, y, verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    after = loaded.evaluate(x, y, verbose=0, return_dict=True)
    assert after == pytest.approx(before)
    assert metric.name in after


@every_metric
def test_size_of_the_batches_does_not_matter(make, rng):
    model, (x, y) = compiled(make()), data(rng)
    results = [
        model.evaluate(x, y, batch_size=size, verbose=0) for size in (12, 5, 1)
    ]
    assert results[1] == pytest.approx(results[0], rel=1e-5)
    assert results[2] == pytest.approx(results[0], rel=1e-5)


@every_metric
def test_reset_forgets(make, rng):
    metric = make()
    fresh = float(metric.result())
    _, y = data(rng)
    metric.update_state(y, rng.normal(size=(12, CANDIDATES)))
    metric.reset_state()
    assert float(metric.result()) == pytest.approx(fresh, nan_ok=True)


@every_metric
def test_sample_of_weight_0_does_not_count(make, rng):
    _, y = data(rng)
    scores = rng.normal(size=(12, CANDIDATES)).astype("float32")
    weighted, fewer = make(), make()
    weighted.update_state(y, scores, sample_weight=np.arange(12) < 7)
    fewer.update_state(y[:7], scores[:7])
    assert float(weighted.result()) == pytest.approx(float(fewer.result()))


@pytest.mark.parametrize("name", metrics.__all__)
def test_docstring_example_runs(name):
    assert run_example(getattr(metrics, name), name)
