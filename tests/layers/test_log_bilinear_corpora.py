"""Tiny corpora on which the log-bilinear models have known perplexities."""

import itertools

import keras
import numpy as np
import pytest

from keras_fusion.layers import FactoredLogBilinear
from keras_fusion.layers import LogBilinear

# The numbers of the cases are those of the reference note, section 1.7.
START = 0
# Of the note's measurements, which it gives to four digits.
CLOSE = 5e-4
SLOTS = list(itertools.product(range(5, 9), range(9, 14), range(14, 17)))


def slot_caption(color, shape, place):
    """A caption such as "a red disc on the left </s>", of 17 words."""
    return [1, color, shape, 2, 3, place, 4]


def slot_images():
    return np.stack(
        [np.isin(np.arange(5, 17), slots).astype("float32") for slots in SLOTS]
    )


def windows(captions, reach):
    """The `reach` words before each word, and that word."""
    padded = np.pad(captions, ((0, 0), (reach, 0)), constant_values=START)
    contexts = [padded[:, t : t + reach] for t in range(captions.shape[1])]
    return np.stack(contexts, axis=1), captions


def trained(layer, inputs, targets, steps=250, weights=None):
    symbols = [keras.Input(x.shape[1:], dtype=str(x.dtype)) for x in inputs]
    model = keras.Model(symbols, layer(*symbols))
    schedule = keras.optimizers.schedules.CosineDecay(0.05, steps, alpha=0.02)
    model.compile(
        keras.optimizers.Adam(schedule),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    repeated = [np.concatenate([x] * steps) for x in (*inputs, targets)]
    model.fit(
        repeated[:-1],
        repeated[-1],
        sample_weight=None
        if weights is None
        else np.tile(weights, steps)[:, None],
        batch_size=len(targets),
        shuffle=False,
        verbose=0,
    )
    return model


def nats(model, inputs, targets, weights=None):
    """Mean of minus the logarithm of the likelihood of a word."""
    losses = keras.losses.sparse_categorical_crossentropy(
        targets, model(inputs), from_logits=True
    )
    losses = np.mean(keras.ops.convert_to_numpy(losses), axis=-1)
    return np.average(losses, weights=weights)


def test_case_10_images_tell_what_fills_the_slots():
    contexts, words = windows(
        np.array([slot_caption(*slots) for slots in SLOTS], "int32"), 5
    )
    images = slot_images()
    floor = np.log(60) / 7
    of_text = trained(LogBilinear(17, 16), [contexts], words)
    assert nats(of_text, [contexts], words) == pytest.approx(floor, abs=CLOSE)
    for layer in (LogBilinear(17, 16), FactoredLogBilinear(17, 16, 24)):
        model = trained(layer, [contexts, images], words)
        assert nats(model, [contexts, images], words) < CLOSE
        # One step further, color, shape or place of an image is another.
        wrong = [contexts, np.roll(images, 1, axis=0)]
        assert nats(model, wrong, words) > floor


def test_case_11_additive_model_learns_how_often_a_word_is_wrong():
    colors = list(range(5, 9))
    said = [
        (
            slot_caption(color, *slots[1:]),
            0.8 if slots[0] == color else 0.2 / 3,
        )
        for slots in SLOTS
        for color in colors
    ]
    captions, weights = zip(*said, strict=True)
    contexts, words = windows(np.array(captions, "int32"), 5)
    inputs = [contexts, np.repeat(slot_images(), 4, axis=0)]
    weights = np.array(weights, "float32")
    model = trained(LogBilinear(17, 16), inputs, words, weights=weights)
    bits = nats(model, inputs, words, weights) / np.log(2)
    assert 7 * bits == pytest.approx(1.03892, abs=2e-3)
    assert 2**bits == pytest.approx(1.10835, abs=CLOSE)


class WithHiddenImages(keras.layers.Layer):
    """Puts a ReLU layer between the image and the additive model."""

    def build(self, context_shape, modality_shape):
        self.hidden = keras.layers.Dense(8, activation="relu")
        self.hidden.build(modality_shape)
        self.model = LogBilinear(2, 4)
        self.model.build(context_shape, (None, 8))

    def call(self, context, modality):
        return self.model(context, self.hidden(modality))


def test_case_12_only_gates_learn_exclusive_or_of_context_and_image():
    context = np.array([[0], [0], [1], [1]], "int32")
    image = np.array([[-1], [1], [-1], [1]], "float32")
    target = np.array([0, 1, 1, 0])
    bits = {}
    for name, layer in {
        "additive": LogBilinear(2, 4),
        "hidden": WithHiddenImages(),
        "factored": FactoredLogBilinear(2, 4, 4),
    }.items():
        model = trained(layer, [context, image], target)
        bits[name] = nats(model, [context, image], target) / np.log(2)
    assert bits["additive"] == pytest.approx(1, abs=CLOSE)
    assert bits["hidden"] == pytest.approx(1, abs=CLOSE)
    assert bits["factored"] < CLOSE


def test_case_13_a_word_is_copied_only_within_reach():
    captions = np.array([[w, 3, 3, 3, 3, 3, w] for w in (1, 2)], "int32")
    for reach, bits in ((5, 2), (6, 1)):
        contexts, words = windows(captions, reach)
        model = trained(LogBilinear(4, 8), [contexts], words)
        learnt = 7 * nats(model, [contexts], words) / np.log(2)
        assert learnt == pytest.approx(bits, abs=5e-3)
