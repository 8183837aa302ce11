import numpy as np
import pytest

from keras_fusion.metrics import Perplexity


def result(metric, *arguments, **keywords):
    metric.update_state(*arguments, **keywords)
    return float(metric.result())


def drawn(rng):
    words = rng.integers(6, size=(4, 5))
    p = rng.uniform(0.1, 1, size=(4, 5, 6))
    return words, p / p.sum(axis=-1, keepdims=True)


def in_base_2(words, p, counted):
    bits = [
        -np.log2(p[i][words[i]]) for i in np.ndindex(words.shape) if counted[i]
    ]
    return 2 ** np.mean(bits)


def test_is_2_to_the_mean_number_of_bits(rng):
    words, p = drawn(rng)
    expected = in_base_2(words, p, np.ones((4, 5)))
    assert result(Perplexity(), words, p) == pytest.approx(expected, rel=1e-5)
    logits = np.log(p) + rng.normal(size=(4, 5, 1))
    metric = Perplexity(from_logits=True)
    assert result(metric, words, logits) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("words", [2, 17])
def test_guessing_evenly_costs_the_number_of_words(rng, words):
    labels, p = rng.integers(words, size=9), np.full((9, words), 1 / words)
    assert result(Perplexity(), labels, p) == pytest.approx(words, rel=1e-5)


def test_ignored_class_and_weights_choose_the_words(rng):
    words, p = drawn(rng)
    weight = rng.integers(2, size=(4, 5))
    expected = in_base_2(words, p, weight * (words != 3))
    metric = Perplexity(ignore_class=3)
    assert result(metric, words, p, sample_weight=weight) == pytest.approx(
        expected, rel=1e-5
    )
    padded = np.where(words == 3, -1, words)
    metric = Perplexity(ignore_class=-1)
    assert result(metric, padded, p, sample_weight=weight) == pytest.approx(
        expected, rel=1e-5
    )


def test_weight_of_a_text_is_that_of_its_words(rng):
    words, p = drawn(rng)
    weight = np.array([1, 0, 2, 0])
    whole = result(Perplexity(), words, p, sample_weight=weight)
    each = np.repeat(weight[:, None], 5, axis=1)
    one = result(Perplexity(), words, p, sample_weight=each)
    assert whole == pytest.approx(one, rel=1e-6)


@pytest.mark.parametrize("label", [-100, -1, 2])
@pytest.mark.parametrize("from_logits", [False, True])
def test_label_that_is_no_word_is_not_free(label, from_logits):
    metric = Perplexity(from_logits)
    assert np.isnan(result(metric, [0, label], [[0.5, 0.5]] * 2))
    metric = Perplexity(from_logits, ignore_class=label)
    received = result(metric, [0, label], [[0.5, 0.5]] * 2)
    assert received == pytest.approx(2)


def test_words_and_not_batches_weigh_the_same(rng):
    words, p = drawn(rng)
    parts, whole = Perplexity(), Perplexity()
    parts.update_state(words[:1], p[:1])
    parts.update_state(words[1:], p[1:])
    assert float(parts.result()) == pytest.approx(
        result(whole, words, p), rel=1e-6
    )


def test_certain_logits_have_no_floor():
    metric = Perplexity(from_logits=True)
    assert result(metric, [0], [[0.0, 50.0]]) == pytest.approx(
        np.exp(50), rel=1e-4
    )
