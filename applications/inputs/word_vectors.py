"""Vectors of words, from the text files of GloVe and of word2vec.

```
the 0.418 0.24968 -0.41242          GloVe: a word and its numbers
400000 300                          word2vec: first how many, and how wide
the 0.418 0.24968 ...
```

Such files are large, so they are read line by line, up to the last word that
is asked for; numbers of other words are counted and not read. A file may be
packed by gzip.
"""

import gzip
import zlib
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from typing import cast

import numpy as np

GZIP = b"\x1f\x8b"
# A line of text is shorter; a file without lines is none of text.
LONGEST = 2**20


def read(path: str | Path, words: Iterable[str]) -> dict[str, np.ndarray]:
    """The float32 vectors of those of `words` that the file has.

    A word may hold spaces, as some of GloVe do: the last fields of a line are
    its numbers. Of a word that the file has twice the first line counts.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty, binary or cut short, or if a line has
            another number of numbers than the first; it names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of word vectors {path}")
    wanted = {word.encode(): word for word in words}
    found: dict[str, np.ndarray] = {}
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        raise ValueError(
            f"{path} is empty; expected a word and its numbers in each line"
        )
    count, width = _header(first)
    read_lines = 0
    if count is None:
        # That line has a vector itself.
        lines = _with(first, lines)
        width = len(first) - 1
    for number, fields in enumerate(lines, 1 if count is None else 2):
        read_lines += 1
        name = _word(path, number, fields, width)
        if number == 1 or name in wanted:
            vector = _numbers(path, number, fields[-width:])
            if name in wanted:
                found.setdefault(wanted[name], vector)
        if len(found) == len(wanted):
            return found
    if count is not None and read_lines < count:
        raise ValueError(
            f"{path}, line 1 says {count} words, but the file ends after line "
            f"{read_lines + 1}; it is cut short, copy it again"
        )
    return found


def _lines(path: Path) -> Iterator[list[bytes]]:
    """The fields of each line."""
    number = 0
    with path.open("rb") as raw:
        packed = raw.peek(2)[:2] == GZIP
        opened = gzip.open(raw) if packed else raw
        file = cast(BinaryIO, opened)
        try:
            while line := file.readline(LONGEST):
                number += 1
                if b"\0" in line or len(line) == LONGEST:
                    raise ValueError(
                        f"{path}, line {number} is not text; expected a word "
                        "and its numbers, convert binary vectors to text"
                    )
                # Not at every white space: some words hold one of Unicode's.
                yield line.replace(b"\t", b" ").rstrip().split(b" ")
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(
                f"{path}, line {number + 1} could not be unpacked ({error}); "
                "the file is damaged or cut short, copy it again"
            ) from error


def _with(
    first: list[bytes], lines: Iterator[list[bytes]]
) -> Iterator[list[bytes]]:
    yield first
    yield from lines


def _header(fields: list[bytes]) -> tuple[int | None, int]:
    """How many words there are and how wide, if the first line says so."""
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        return int(fields[0]), int(fields[1])
    return None, 0


def _word(path: Path, number: int, fields: list[bytes], width: int) -> bytes:
    """The word of a line, which has `width` numbers behind it."""
    extra = len(fields) - 1 - width
    # Further fields belong to the word, unless they are numbers like others.
    if width < 1 or extra < 0 or (extra and all(map(_is_number, fields[1:]))):
        raise ValueError(
            f"{path}, line {number} must have a word and "
            f"{max(width, 1)} numbers, as the lines before it; received "
            f"{len(fields)} fields"
        )
    return fields[0] if not extra else b" ".join(fields[: extra + 1])


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _numbers(path: Path, number: int, fields: list[bytes]) -> np.ndarray:
    wrong = next((field for field in fields if not _is_number(field)), None)
    if wrong is None:
        with np.errstate(over="ignore"):
            vector = np.array([float(field) for field in fields], "float32")
        if np.isfinite(vector).all():
            return vector
        wrong = fields[int(np.flatnonzero(~np.isfinite(vector))[0])]
    raise ValueError(
        f"{path}, line {number} must have finite numbers behind its word; "
        f"received {wrong[:40].decode(errors='replace')!r}"
    )
