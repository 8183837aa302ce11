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
WITH_POSITIONS = (
    metrics.MeanClassAccuracy,
    metrics.Perplexity,
    metrics.PixelAccuracy,
)
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
    model.compile("sgd", loss, metrics=metric and [metric])
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


def repeated(make, y, scores, weight):
    """What a weight of n says: this one counts as n of its kind."""
    metric, times = make(), weight.ravel()
    metric.update_state(
        np.repeat(y.ravel(), times),
        np.repeat(scores.reshape(-1, CANDIDATES), times, axis=0),
    )
    return float(metric.result())


@every_metric
@pytest.mark.parametrize("shape", [(12,), (12, 1)])
@pytest.mark.parametrize("labels", [(12,), (12, 1)])
def test_weight_of_a_sample_says_how_often_it_counts(make, rng, shape, labels):
    _, y = data(rng)
    scores = rng.normal(size=(12, CANDIDATES)).astype("float32")
    weight = rng.integers(4, size=shape)
    metric = make()
    # Parts of different sizes and weights.
    for part in (slice(5), slice(5, None)):
        metric.update_state(
            y[part].reshape(-1, *labels[1:]),
            scores[part],
            sample_weight=weight[part],
        )
    expected = repeated(make, y, scores, weight)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


@every_metric
def test_one_weight_for_all_changes_nothing_among_equals(make, rng):
    _, y = data(rng)
    scores = rng.normal(size=(12, CANDIDATES)).astype("float32")
    metric, plain = make(), make()
    for part in (slice(2), slice(2, None)):
        metric.update_state(y[part], scores[part], sample_weight=3)
        plain.update_state(y[part], scores[part])
    assert float(metric.result()) == pytest.approx(float(plain.result()))


@every_metric
@pytest.mark.parametrize(
    "shape", [(), (4,), (4, 1), (4, 3), (4, 1, 1), (4, 3, 2), (4, 3, 2, 1)]
)
def test_weights_of_positions_say_how_often_they_count(make, rng, shape):
    if not isinstance(make(), WITH_POSITIONS):
        pytest.skip("has no positions")
    y = rng.integers(CANDIDATES, size=(4, 3, 2))
    scores = rng.normal(size=(4, 3, 2, CANDIDATES)).astype("float32")
    weight = rng.integers(1, 4, size=shape)
    metric = make()
    metric.update_state(y, scores, sample_weight=weight)
    each = np.reshape(weight, (shape + (1, 1, 1))[:3])
    expected = repeated(make, y, scores, np.broadcast_to(each, y.shape))
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


@every_metric
@pytest.mark.parametrize("shape", [(11,), (12, 12), (12, CANDIDATES), (3, 4)])
def test_weights_of_another_shape_are_refused(make, rng, shape):
    _, y = data(rng)
    scores = rng.normal(size=(12, CANDIDATES)).astype("float32")
    with pytest.raises(ValueError, match="`sample_weight` must be one number"):
        make().update_state(y, scores, sample_weight=np.ones(shape, "int32"))


@every_metric
def test_weighs_in_a_compiled_model_as_it_does_eagerly(make, rng):
    x, y = data(rng)
    weight = rng.integers(3, size=12)
    model = compiled(None)
    model.compile("sgd", model.loss, weighted_metrics=[make()])
    received = model.evaluate(x, y, 5, sample_weight=weight, verbose=0)[1]
    expected = repeated(make, y, model.predict(x, verbose=0), weight)
    assert received == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", metrics.__all__)
def test_docstring_example_runs(name):
    assert run_example(getattr(metrics, name), name)
