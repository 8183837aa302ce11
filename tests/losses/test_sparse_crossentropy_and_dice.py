import contextlib

import keras
import numpy as np
import pytest

from keras_fusion.losses import SparseCrossentropyAndDice


def by_hand(labels, logits, dice_weight, ignored=None):
    values = []
    for sample, scores in zip(labels, logits, strict=True):
        pixels = [
            (label, np.exp(s - s.max()) / np.exp(s - s.max()).sum())
            for label, s in zip(
                sample.ravel(),
                scores.reshape(-1, scores.shape[-1]),
                strict=True,
            )
            if label != ignored
        ]
        entropy = np.mean([-np.log(p[label]) for label, p in pixels])
        dices = []
        for c in range(logits.shape[-1]):
            shared = sum(p[c] for label, p in pixels if label == c)
            area = sum(label == c for label, _ in pixels)
            guess = sum(p[c] for _, p in pixels)
            dices.append((2 * shared + 1) / (area + guess + 1))
        values.append(entropy + dice_weight * (1 - np.mean(dices)))
    return values


@pytest.mark.parametrize("ignored", [None, 255])
def test_every_sample_has_its_own_value(rng, ignored):
    labels = rng.integers(0, 3, (4, 5, 6))
    if ignored:
        labels[:, 1:3] = ignored
    logits = rng.normal(size=(4, 5, 6, 3)).astype("float32")
    loss = SparseCrossentropyAndDice(0.7, ignore_class=ignored, reduction=None)
    expected = by_hand(labels, logits, 0.7, ignored)
    np.testing.assert_allclose(loss(labels, logits), expected, rtol=1e-5)


def test_without_dice_it_is_the_crossentropy(rng):
    labels = rng.integers(0, 3, (2, 4, 4))
    logits = rng.normal(size=(2, 4, 4, 3)).astype("float32")
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    received = SparseCrossentropyAndDice(0.0)(labels, logits)
    assert float(received) == pytest.approx(float(expected(labels, logits)))


def unequal(rng):
    """Samples of 20, 3, 1 and no labeled pixels, and logits for them."""
    labels = np.full((4, 4, 5), 255)
    for sample, count in enumerate((20, 3, 1, 0)):
        labels[sample].flat[:count] = rng.integers(0, 3, count)
    return labels, 3 * rng.normal(size=(4, 4, 5, 3)).astype("float32")


def test_over_the_batch_it_is_the_mean_of_all_labeled_pixels(rng):
    labels, logits = unequal(rng)
    kept = labels != 255
    scores = logits[kept].astype("float64")
    surprises = (
        np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(24), labels[kept]]
    )
    loss = SparseCrossentropyAndDice(0.0, ignore_class=255, over_batch=True)
    assert float(loss(labels, logits)) == pytest.approx(surprises.mean())
    # One image for each is something else.
    each = SparseCrossentropyAndDice(0.0, ignore_class=255)
    assert abs(float(each(labels, logits)) - surprises.mean()) > 0.1
    nothing = np.full_like(labels, 255)
    assert float(loss(nothing, logits)) == 0


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs TensorFlow"
)
def test_over_the_batch_of_two_replicas_it_is_that_of_one(rng, two_replicas):
    labels, logits = unequal(rng)
    trained = []
    for scope in (contextlib.nullcontext, two_replicas.scope):
        with scope():
            layer = keras.layers.Dense(3, kernel_initializer="identity")
            model = keras.Sequential([keras.Input((4, 5, 3)), layer])
            model.compile(
                keras.optimizers.SGD(0.1),
                SparseCrossentropyAndDice(0.3, 255, over_batch=True),
            )
        history = model.fit(logits, labels, batch_size=4, verbose=0)
        trained.append((history.history["loss"], model.get_weights()))
    (first, weights), (second, others) = trained
    assert second == pytest.approx(first, rel=1e-5)
    for weight, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(other, weight, rtol=1e-5, atol=1e-6)


def test_a_certain_and_right_answer_costs_nothing(rng):
    labels = rng.integers(0, 3, (2, 4, 4))
    logits = 50 * np.eye(3, dtype="float32")[labels]
    assert float(SparseCrossentropyAndDice()(labels, logits)) < 1e-5


def test_a_sample_without_any_label_is_finite_and_costs_nothing(rng):
    labels = np.full((1, 4, 4), 255)
    logits = rng.normal(size=(1, 4, 4, 3)).astype("float32")
    loss = SparseCrossentropyAndDice(ignore_class=255)
    assert float(loss(labels, logits)) == 0


@pytest.mark.parametrize("label", [-1, 3, 255])
@pytest.mark.parametrize("ignored", [None, 7])
def test_a_label_outside_the_classes_makes_its_sample_nan(rng, label, ignored):
    labels = rng.integers(0, 3, (3, 4, 4))
    labels[1, 2, 3] = label
    logits = rng.normal(size=(3, 4, 4, 3)).astype("float32")
    loss = SparseCrossentropyAndDice(ignore_class=ignored, reduction=None)
    values = np.array(loss(labels, logits))
    assert np.isnan(values).tolist() == [False, True, False]


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 4, 1), (2, 2)])
def test_weights_of_pixels_are_refused(rng, shape):
    labels = rng.integers(0, 3, (2, 4, 4))
    logits = rng.normal(size=(2, 4, 4, 3)).astype("float32")
    with pytest.raises(ValueError, match="one for each sample"):
        SparseCrossentropyAndDice()(labels, logits, np.ones(shape))


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match="at least 0"):
        SparseCrossentropyAndDice(-1)
