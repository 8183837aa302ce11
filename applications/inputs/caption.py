"""Captions: their words in order, and numbers that give the words back."""

import collections
import re
from collections.abc import Iterable
from collections.abc import Sequence

import numpy as np

# Numbers that are no words. Every caption begins with the start.
PADDING, START, END, UNKNOWN = 0, 1, 2, 3
RESERVED = 4
UNKNOWN_WORD = "<unknown>"
# A word may have apostrophes and hyphens inside; other signs stand alone.
TOKENS = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
CLOSING = frozenset(".,;:!?)]}%")
OPENING = frozenset("([{")


def split(text: str) -> tuple[str, ...]:
    """The words of a text in small letters, and its signs."""
    return tuple(TOKENS.findall(text.lower()))


def join(words: Iterable[str]) -> str:
    """A text of words and signs."""
    text, opened = "", True
    for word in words:
        text += word if opened or word in CLOSING else f" {word}"
        opened = word in OPENING
    return text


def vocabulary(
    captions: Iterable[Sequence[str]], most: int, least_count: int
) -> tuple[str, ...]:
    """The most frequent words, each there at least so often."""
    counts = collections.Counter(w for words in captions for w in words)
    frequent = sorted(
        (word for word, count in counts.items() if count >= least_count),
        key=lambda word: (-counts[word], word),
    )
    return tuple(frequent[:most])


def encode(
    captions: Sequence[Sequence[str]], words: Sequence[str], length: int
) -> np.ndarray:
    """Numbers of start, words, end and padding, int32 (captions, width).

    Captions are cut to `length` words. The width is that of the longest.
    """
    numbers = {word: place for place, word in enumerate(words, RESERVED)}
    longest = max((len(caption) for caption in captions), default=0)
    found = np.full((len(captions), min(longest, length) + 2), PADDING, "int32")
    found[:, 0] = START
    for row, caption in enumerate(captions):
        kept = [numbers.get(word, UNKNOWN) for word in caption[:length]]
        found[row, 1 : len(kept) + 2] = [*kept, END]
    return found


def decode(numbers: Iterable[int], words: Sequence[str]) -> tuple[str, ...]:
    """The words up to the end."""
    found = []
    for number in numbers:
        if number == END:
            break
        if number == UNKNOWN:
            found.append(UNKNOWN_WORD)
        elif number >= RESERVED:
            found.append(words[number - RESERVED])
    return tuple(found)
