import keras
import numpy as np
import pytest

from keras_fusion.metrics import PixelAccuracy


def drawn(rng):
    labels = rng.choice([0, 1, 3, 255], size=(6, 5, 4))
    return labels, rng.integers(4, size=labels.shape)


def test_is_the_share_of_labeled_pixels_that_are_right(rng):
    labels, predictions = drawn(rng)
    metric = PixelAccuracy(num_classes=4, ignore_class=255)
    metric.update_state(labels, predictions)
    expected = np.mean((labels == predictions)[labels != 255])
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)


def test_without_a_class_to_ignore_it_is_the_accuracy_of_keras(rng):
    labels = rng.integers(4, size=(3, 5))
    scores = rng.normal(size=(3, 5, 4)).astype("float32")
    metric = PixelAccuracy(num_classes=4, sparse_y_pred=False)
    reference = keras.metrics.SparseCategoricalAccuracy()
    for each in (metric, reference):
        each.update_state(labels, scores)
    assert float(metric.result()) == pytest.approx(float(reference.result()))


def test_pixels_and_not_batches_weigh_the_same():
    metric = PixelAccuracy(num_classes=2)
    metric.update_state([0], [1])
    metric.update_state([0, 1, 1], [0, 1, 1])
    assert float(metric.result()) == 0.75


def test_predictions_for_ignored_pixels_do_not_matter(rng):
    labels, predictions = drawn(rng)
    results = []
    for guess in (0, 3):
        metric = PixelAccuracy(num_classes=4, ignore_class=255)
        metric.update_state(labels, np.where(labels == 255, guess, predictions))
        results.append(float(metric.result()))
    assert results[0] == results[1]


def test_fractions_are_counted_or_refused():
    fractions = np.array([0.5, 0.5, 1.0], "float32")
    exact = PixelAccuracy(num_classes=2)
    with pytest.raises(ValueError, match="integers or booleans"):
        exact.update_state([0, 1, 1], [0, 0, 1], sample_weight=fractions)
    metric = PixelAccuracy(num_classes=2, dtype="float32")
    metric.update_state([0, 1, 1], [0, 0, 1], sample_weight=fractions)
    assert float(metric.result()) == 0.75


def test_weights_count_with_one_hot_labels_too(rng):
    labels, predictions = rng.integers(4, size=(2, 6, 5))
    metric = PixelAccuracy(num_classes=4, sparse_y_true=False)
    metric.update_state(np.eye(4)[labels], predictions, np.arange(6))
    expected = np.average((labels == predictions).mean(1), weights=np.arange(6))
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)


def test_reset_forgets():
    metric = PixelAccuracy(num_classes=2)
    metric.update_state([0, 1], [1, 0])
    metric.reset_state()
    assert float(metric.result()) == 0
    metric.update_state([0, 1], [0, 1])
    assert float(metric.result()) == 1


def test_config_round_trips():
    metric = PixelAccuracy(num_classes=4, ignore_class=255, name="score")
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(metric)
    )
    assert type(copy) is PixelAccuracy
    assert copy.get_config() == metric.get_config()
