"""Captions word by word: drawn at random, or the best that a beam finds.

A model is a function from rows (count,), which say beside which image each
text stands, and texts so far (count, words) to the logarithms of the
likelihoods of what may follow, (count, vocabulary); -inf for what must not.
They are brought to sum 1.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from applications.inputs.caption import END
from applications.inputs.caption import START

Step = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Generated(NamedTuple):
    words: tuple[int, ...]
    """Numbers from the first word on, without start and end."""
    score: float
    """The mean logarithm of the likelihood of a word."""


def normalized(logs: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Logarithms of likelihoods that sum to 1 in each row."""
    logs = logs / temperature
    logs = logs - logs.max(axis=-1, keepdims=True)
    return logs - np.log(np.exp(logs).sum(axis=-1, keepdims=True))


def nucleus(chances: np.ndarray, top_p: float) -> np.ndarray:
    """The likeliest words that together have `top_p`, brought to sum 1."""
    order = np.argsort(-chances, axis=-1, kind="stable")
    ordered = np.take_along_axis(chances, order, axis=-1)
    # A word is kept while those before it have less; the first always is.
    before = np.cumsum(ordered, axis=-1) - ordered
    ordered = np.where(before < top_p, ordered, 0.0)
    kept = np.zeros_like(chances)
    np.put_along_axis(kept, order, ordered, axis=-1)
    return kept / kept.sum(axis=-1, keepdims=True)


def sample(
    step: Step,
    count: int,
    longest: int,
    rng: np.random.Generator,
    start: Sequence[int] = (),
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> list[Generated]:
    """One text for each of `count` images, word by word at random."""
    texts = _started(count, start)
    scores = np.zeros(count)
    drawn = np.zeros(count, "int64")
    ended = np.zeros(count, bool)
    for _ in range(longest - len(start)):
        live = np.flatnonzero(~ended)
        if not len(live):
            break
        logs = normalized(step(live, texts[live]), temperature)
        chances = nucleus(np.exp(logs), top_p)
        words = draw(chances, rng)
        scores[live] += logs[np.arange(len(live)), words]
        drawn[live] += 1
        following = np.full((count, 1), END, "int32")
        following[live, 0] = words
        texts = np.concatenate([texts, following], axis=1)
        ended[live] = words == END
    return [
        Generated(_words(text), float(score / max(1, number)))
        for text, score, number in zip(texts, scores, drawn, strict=True)
    ]


def draw(chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An index for each row, as likely as the row says."""
    sums = np.cumsum(chances, axis=-1)
    # Rounding must not reach a word without a chance.
    places = rng.random((len(chances), 1)) * sums[:, -1:]
    return (sums <= places).sum(axis=-1)


class Beam(NamedTuple):
    """Texts that are followed, of all images; a row for each."""

    image: np.ndarray
    texts: np.ndarray
    sums: np.ndarray
    """Of the logarithms of what was added to the start."""


def beam_search(
    step: Step,
    count: int,
    longest: int,
    width: int,
    start: Sequence[int] = (),
) -> list[list[Generated]]:
    """The `width` best texts for each of `count` images, best first.

    A text's score is the mean over its words and the end, so that length
    costs nothing. Those that do not end within `longest` words count as they
    are.
    """
    beam = Beam(np.arange(count), _started(count, start), np.zeros(count))
    found: list[list[Generated]] = [[] for _ in range(count)]
    for number in range(1, longest - len(start) + 1):
        if not len(beam.image):
            break
        logs = normalized(step(beam.image, beam.texts))
        sums = beam.sums[:, None] + logs
        for row, total in enumerate(sums[:, END]):
            if np.isfinite(total):
                text = Generated(_words(beam.texts[row]), total / number)
                found[beam.image[row]].append(text)
        sums[:, END] = -np.inf
        beam = _extended(beam, sums, width)
    added = max(1, longest - len(start))
    for image, text, total in zip(*beam, strict=True):
        found[image].append(Generated(_words(text), total / added))
    return [
        sorted(texts, key=lambda text: -text.score)[:width] for texts in found
    ]


def _extended(beam: Beam, sums: np.ndarray, width: int) -> Beam:
    """The best continuations of each image."""
    rows, words = [], []
    for image in np.unique(beam.image):
        mine = np.flatnonzero(beam.image == image)
        flat = sums[mine].ravel()
        kept = min(width, np.isfinite(flat).sum())
        best = np.argsort(-flat, kind="stable")[:kept]
        rows.append(mine[best // sums.shape[1]])
        words.append(best % sums.shape[1])
    row, word = np.concatenate(rows), np.concatenate(words)
    texts = np.concatenate([beam.texts[row], word[:, None]], axis=1)
    return Beam(beam.image[row], texts.astype("int32"), sums[row, word])


def _started(count: int, start: Sequence[int]) -> np.ndarray:
    return np.tile(np.array([START, *start], "int32"), (count, 1))


def _words(text: np.ndarray) -> tuple[int, ...]:
    words = text[1:].tolist()
    return tuple(words[: words.index(END)] if END in words else words)
