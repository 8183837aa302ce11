import keras
import numpy as np
import pytest

from keras_fusion.metrics import MeanClassAccuracy


def recalls(labels, predictions, classes):
    return [
        np.mean(predictions[labels == c] == c)
        for c in range(classes)
        if np.any(labels == c)
    ]


def drawn(rng):
    labels = rng.choice([0, 1, 3, 255], size=(6, 5, 4))
    return labels, rng.integers(4, size=labels.shape)


def test_is_the_mean_recall_of_the_classes_that_are_there(rng):
    labels, predictions = drawn(rng)
    metric = MeanClassAccuracy(num_classes=4, ignore_class=255)
    metric.update_state(labels, predictions)
    expected = np.mean(recalls(labels, predictions, 4))
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)


def test_size_of_the_batches_does_not_matter(rng):
    labels, predictions = drawn(rng)
    whole = MeanClassAccuracy(num_classes=4, ignore_class=255)
    whole.update_state(labels, predictions)
    parts = MeanClassAccuracy(num_classes=4, ignore_class=255)
    for start, stop in ((0, 1), (1, 5), (5, 6)):
        parts.update_state(labels[start:stop], predictions[start:stop])
    assert float(parts.result()) == float(whole.result())


def test_scores_of_all_classes_count_as_their_largest(rng):
    labels, _ = drawn(rng)
    scores = rng.normal(size=(*labels.shape, 4)).astype("float32")
    metric = MeanClassAccuracy(
        num_classes=4, ignore_class=255, sparse_y_pred=False
    )
    metric.update_state(labels, scores)
    expected = np.mean(recalls(labels, scores.argmax(axis=-1), 4))
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)


def test_small_classes_weigh_as_much_as_large_ones():
    metric = MeanClassAccuracy(num_classes=2)
    metric.update_state([0] * 99 + [1], [0] * 100)
    assert float(metric.result()) == 0.5


def test_nothing_labeled_scores_zero():
    metric = MeanClassAccuracy(num_classes=2, ignore_class=255)
    metric.update_state([255, 255], [0, 1])
    assert float(metric.result()) == 0


def test_config_round_trips():
    metric = MeanClassAccuracy(num_classes=4, ignore_class=255, name="score")
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(metric)
    )
    assert type(copy) is MeanClassAccuracy
    assert copy.get_config() == metric.get_config()
