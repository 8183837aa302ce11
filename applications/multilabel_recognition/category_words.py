"""The queries of categories: vectors of their names' words."""

import functools
import re
from pathlib import Path

import numpy as np

from applications.inputs import word_vectors
from applications.multilabel_recognition.config import Config


def vectors(config: Config) -> np.ndarray | None:
    """An array (categories, width); rows of NaN are to be learned.

    Raises ValueError if the file has none of the categories.
    """
    if config.word_vectors is None:
        return None
    path = Path(config.word_vectors)
    changed = path.stat().st_mtime_ns if path.is_file() else 0
    found = _read(path, config.classes, changed)
    known = [vector for vector in found if vector is not None]
    if not known:
        raise ValueError(
            f"{path} has none of the categories {', '.join(config.classes)}; "
            "give a file with words of their language, or none to learn all"
        )
    missing = np.full(len(known[0]), np.nan, "float32")
    return np.stack([missing if x is None else x for x in found])


def missing(config: Config) -> tuple[str, ...]:
    """The categories that the file lacks."""
    table = vectors(config)
    if table is None:
        return ()
    lacking = np.isnan(table).any(axis=1)
    return tuple(np.array(config.classes)[lacking].tolist())


@functools.lru_cache(maxsize=4)
def _read(
    path: Path, classes: tuple[str, ...], changed: int
) -> tuple[np.ndarray | None, ...]:
    """The vector of each category; a file that changed is read again."""
    wanted = {w for name in classes for w in (*_whole(name), *_words(name))}
    table = word_vectors.read(path, wanted)
    return tuple(_vector(name, table) for name in classes)


def _vector(name: str, table: dict[str, np.ndarray]) -> np.ndarray | None:
    """That of the name, or the mean of those of its words."""
    for word in _whole(name):
        if word in table:
            return table[word]
    parts = [table.get(word) for word in _words(name)]
    if not parts or any(part is None for part in parts):
        return None
    return np.mean(parts, axis=0)


def _whole(name: str) -> list[str]:
    joined = name.replace(" ", "_")
    return [name, name.lower(), joined, joined.lower()]


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\s_/-]+", name.lower()) if word]
