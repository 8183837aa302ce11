"""Back-off n-grams: how likely a word is behind the few before it."""

import collections
from collections.abc import Sequence

import numpy as np

from applications.inputs import caption as captions

DISCOUNT = 0.5
Context = tuple[int, ...]


class NGrams:
    """Counts of words behind their contexts, discounted, with back-off.

        P(w | h) = (c(h, w) - d) / c(h)          where h, w was seen
                 = a(h) P(w | h without its first word)         elsewhere

    `a(h)` brings the sum to 1. Of single words that were not seen all are
    equally likely; padding and start never follow.

    Args:
        words: int32 (captions, width), start, words, end and padding.
        order: Words of the longest n-gram.
        vocabulary_size: Number of words, those reserved among them.
    """

    def __init__(
        self, words: np.ndarray, order: int, vocabulary_size: int
    ) -> None:
        self.order = order
        self.vocabulary_size = vocabulary_size
        self._counts: dict[Context, collections.Counter] = {}
        for row in words.tolist():
            text = [n for n in row if n != captions.PADDING]
            padded = [captions.START] * (order - 1) + text[1:]
            for place in range(order - 1, len(padded)):
                for length in range(order):
                    before = tuple(padded[place - length : place])
                    counts = self._counts.setdefault(
                        before, collections.Counter()
                    )
                    counts[padded[place]] += 1
        self._known: dict[Context, np.ndarray] = {}

    def chances(self, before: Sequence[int]) -> np.ndarray:
        """float64 (vocabulary_size,), of what follows these words."""
        context = tuple(before)[max(0, len(before) - self.order + 1) :]
        if context not in self._known:
            self._known[context] = self._backed_off(context)
        return self._known[context]

    def _backed_off(self, context: Context) -> np.ndarray:
        if context:
            shorter = self.chances(context[1:])
        else:
            shorter = np.ones(self.vocabulary_size)
            shorter[[captions.PADDING, captions.START]] = 0.0
            shorter /= shorter.sum()
        counts = self._counts.get(context)
        if counts is None:
            return shorter
        seen = np.array(list(counts))
        often = np.array(list(counts.values()), float)
        found = shorter.copy()
        found[seen] = 0.0
        # Where every word was seen there is none to discount for.
        discount = DISCOUNT if found.sum() > 0 else 0.0
        if discount:
            found *= discount * len(seen) / often.sum() / found.sum()
        found[seen] = (often - discount) / often.sum()
        return found

    def log_likelihoods(self, words: np.ndarray) -> np.ndarray:
        """Natural logarithms of each word behind the start; padding is 0."""
        found = np.zeros((len(words), words.shape[1] - 1))
        starts = [captions.START] * (self.order - 1)
        for row, text in enumerate(words.tolist()):
            padded = starts + text[1:]
            for place, word in enumerate(text[1:]):
                if word == captions.PADDING:
                    break
                before = padded[place : place + self.order - 1]
                found[row, place] = np.log(self.chances(before)[word])
        return found

    def step(self, rows: np.ndarray, words: np.ndarray) -> np.ndarray:
        """A `generation.Step`, the same beside every image."""
        starts = [captions.START] * (self.order - 1)
        chances = np.array(
            [self.chances(starts + text[1:]) for text in words.tolist()]
        )
        chances[:, captions.UNKNOWN] = 0.0
        with np.errstate(divide="ignore"):
            return np.log(chances)
