"""Instructions as numbers, and as they read on a mirrored board."""

import re
from collections import Counter
from collections.abc import Iterable
from collections.abc import Sequence

import numpy as np

PADDING, UNKNOWN = 0, 1
TOKEN = re.compile(r"[a-z]+|\d+|[^\sa-z\d]")

_ACROSS = {
    "left": "right",
    "west": "east",
    "lefthand": "righthand",
    "leftmost": "rightmost",
    "western": "eastern",
    "northwest": "northeast",
    "southwest": "southeast",
}
_UPRIGHT = {
    "above": "below",
    "top": "bottom",
    "up": "down",
    "upper": "lower",
    "north": "south",
    "northern": "southern",
    "northwest": "southwest",
    "northeast": "southeast",
    "highest": "lowest",
    "upward": "downward",
    "upwards": "downwards",
    "topmost": "bottommost",
}
# Words whose opposite is another word's, one way only.
_ONE_WAY = {"under": "above", "beneath": "above", "underneath": "above"}
# "right" before these is no direction.
_AFTER_ADVERB = frozenset(
    "above below beneath beside next on over under underneath up down against "
    "at in now there where so until near".split()
)


def both_ways(words: dict[str, str]) -> dict[str, str]:
    return words | {other: word for word, other in words.items()}


ACROSS = both_ways(_ACROSS)
UPRIGHT = _ONE_WAY | both_ways(_UPRIGHT)


def tokenize(text: str) -> list[str]:
    """Lower-case words, numbers, and single marks of everything else."""
    return TOKEN.findall(text.lower())


def mirrored(tokens: Sequence[str], across: bool, upright: bool) -> list[str]:
    """What one would say of the board mirrored left-right or top-bottom."""
    turned = list(tokens)
    if across:
        following = [*turned[1:], ""]
        turned = [
            word
            if word == "right" and after in _AFTER_ADVERB
            else ACROSS.get(word, word)
            for word, after in zip(turned, following, strict=True)
        ]
    if upright:
        turned = [UPRIGHT.get(word, word) for word in turned]
    return turned


def vocabulary(texts: Iterable[str], least: int = 2) -> tuple[str, ...]:
    """The words that occur at least so often, the most frequent first."""
    counts = Counter(word for text in texts for word in tokenize(text))
    kept = [word for word, count in counts.items() if count >= least]
    return tuple(sorted(kept, key=lambda word: (-counts[word], word)))


def encode(
    sentences: Sequence[Sequence[str]], words: Sequence[str], length: int
) -> np.ndarray:
    """Numbers of words, (sentences, length); what is longer is cut off."""
    numbers = {word: index + 2 for index, word in enumerate(words)}
    encoded = np.full((len(sentences), length), PADDING, "int32")
    for row, sentence in zip(encoded, sentences, strict=True):
        cut = [numbers.get(word, UNKNOWN) for word in sentence[:length]]
        # An empty text is one unknown word: a mean needs something.
        row[: max(1, len(cut))] = cut or [UNKNOWN]
    return encoded


def mirrored_codes(
    codes: np.ndarray, words: Sequence[str], across: bool, upright: bool
) -> np.ndarray:
    """`mirrored` for texts that are encoded already."""
    names = ("", "", *words)
    tokens = [[names[code] for code in row if code] for row in codes]
    turned = [mirrored(row, across, upright) for row in tokens]
    return encode(turned, words, codes.shape[1])
