"""Words, n-grams, draws and beams, without a trained model."""

import itertools

import numpy as np
import pytest
import scipy.stats

from applications.captioning import generation
from applications.captioning.ngrams import NGrams
from applications.inputs import caption as captions

A, B = 4, 5


def table_step(rng, size=6):
    """Likelihoods by the last word alone, another table for each image."""
    tables = rng.normal(size=(2, size, size)) * 2
    tables[:, :, [captions.PADDING, captions.START, captions.UNKNOWN]] = -np.inf

    def step(rows, words):
        return tables[rows, words[:, -1]]

    return step


def test_words_and_signs_of_a_caption_come_back():
    text = 'Don\'t: a well-known "Straßen-Café", (2 m)!'
    words = captions.split(text)
    assert words == (
        *("don't", ":", "a", "well-known", '"', "straßen-café", '"', ","),
        *("(", "2", "m", ")", "!"),
    )
    joined = captions.join(words)
    assert joined.startswith("don't: a well-known")
    assert joined.endswith(", (2 m)!")
    assert captions.split(joined) == words


def test_the_vocabulary_is_by_frequency_and_then_by_name():
    said = [("b", "a", "b"), ("c", "a"), ("d",)]
    assert captions.vocabulary(said, 10, 1) == ("a", "b", "c", "d")
    assert captions.vocabulary(said, 3, 1) == ("a", "b", "c")
    assert captions.vocabulary(said, 10, 2) == ("a", "b")


def test_numbers_are_start_words_end_and_padding():
    found = captions.encode([("a", "x"), (), ("b",) * 9], ("a", "b"), 3)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(
        found, [[1, 4, 3, 2, 0], [1, 2, 0, 0, 0], [1, 5, 5, 5, 2]]
    )
    assert captions.decode(found[0, 1:], ("a", "b")) == ("a", "<unknown>")


# The numbers of the cases are those of the reference note, section 1.7.
def test_case_8_draws_are_as_frequent_as_they_are_likely(rng):
    chances = np.array([0.5, 0.0, 0.3, 0.15, 0.05])
    drawn = generation.draw(np.tile(chances, (100_000, 1)), rng)
    counts = np.bincount(drawn, minlength=5)
    assert counts[1] == 0
    kept = chances > 0
    test = scipy.stats.chisquare(counts[kept], 1e5 * chances[kept])
    assert test.pvalue > 1e-3


def test_case_8_texts_are_as_frequent_as_they_are_likely(rng):
    step = table_step(rng)
    texts = generation.sample(
        lambda rows, words: step(0 * rows, words), 20_000, 2, rng
    )
    first = np.array([text.words[0] if text.words else 2 for text in texts])
    logs = step(np.zeros(1, int), np.array([[captions.START]]))[0]
    chances = np.exp(logs) / np.exp(logs).sum()
    for word in (captions.END, A, B):
        deviation = np.sqrt(chances[word] * (1 - chances[word]) / 20_000)
        assert abs((first == word).mean() - chances[word]) < 5 * deviation


def test_case_8_the_same_seed_draws_the_same(rng):
    step = table_step(rng)
    drawn = [
        generation.sample(step, 2, 30, np.random.default_rng(seed))
        for seed in (3, 3, 4)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def brute_force(step, image, longest, start=()):
    """The best text of all there are, by the mean over words and the end."""
    found = {}
    for length in range(longest - len(start) + 1):
        for words in itertools.product((A, B), repeat=length):
            text, total = [captions.START, *start], 0.0
            full = len(start) + length == longest
            for word in [*words] if full else [*words, captions.END]:
                logs = step(np.array([image]), np.array([text]))[0]
                total += logs[word] - np.log(np.exp(logs).sum())
                text.append(word)
            added = length + (not full)
            found[(*start, *words)] = total / max(1, added)
    return max(found.items(), key=lambda item: item[1])


@pytest.mark.parametrize("start", [(), (B,)])
def test_case_8_a_wide_beam_finds_the_best_text(rng, start):
    for _ in range(5):
        step = table_step(rng)
        texts = generation.beam_search(step, 2, 4, 3**4, start)
        for image in range(2):
            words, score = brute_force(step, image, 4, start)
            assert texts[image][0].words == words
            assert texts[image][0].score == pytest.approx(score)


def test_a_narrow_beam_is_greedy_and_a_full_start_is_kept(rng):
    step = table_step(rng)
    ((best, *_), _) = generation.beam_search(step, 2, 1, 1)
    logs = step(np.zeros(1, int), np.array([[captions.START]]))[0]
    expected = () if logs.argmax() == captions.END else (logs.argmax(),)
    assert best.words == expected
    [(kept,)] = generation.beam_search(step, 1, 2, 1, (A, B))
    assert kept.words == (A, B)


def test_temperature_and_nucleus_keep_what_is_likely():
    chances = np.array([[0.1, 0.5, 0.15, 0.25]])
    for top_p, kept in ((0.5, [1]), (0.6, [1, 3]), (1.0, [0, 1, 2, 3])):
        found = generation.nucleus(chances, top_p)[0]
        np.testing.assert_array_equal(np.flatnonzero(found), kept)
        expected = chances[0][kept] / chances[0][kept].sum()
        np.testing.assert_allclose(found[kept], expected)
    cold = np.exp(generation.normalized(np.log(chances), 0.5))[0]
    np.testing.assert_allclose(cold, chances[0] ** 2 / (chances**2).sum())


def test_n_grams_back_off_and_sum_to_one():
    words = captions.encode(
        [("a", "b"), ("a", "b"), ("a", "c")], ("a", "b", "c", "d"), 5
    )
    model = NGrams(words, 2, 8)
    # "a b" twice and "a c" once, half a count taken of each.
    behind_a = model.chances([4])
    assert behind_a[5] == pytest.approx(1.5 / 3)
    assert behind_a[6] == pytest.approx(0.5 / 3)
    # The rest is shared as the single words are: a and the end, 3 each.
    assert behind_a[4] == pytest.approx(behind_a[2])
    assert behind_a[7] < behind_a[4]
    for context in ([4], [5], [7], [1], []):
        assert model.chances(context).sum() == pytest.approx(1)
    assert model.chances([4])[[0, 1]].sum() == 0
    # Of what never stood anywhere, the single words are told.
    np.testing.assert_allclose(model.chances([7]), model.chances([]))
    logs = model.log_likelihoods(words)
    assert logs[0, 1] == pytest.approx(np.log(0.5))
