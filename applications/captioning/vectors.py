"""The vectors that words start from, checked before a training begins."""

import functools

import numpy as np

from applications.captioning.config import Config
from applications.inputs import word_vectors


def vectors_of(config: Config) -> dict[str, np.ndarray]:
    """The vectors of the words that are known, of the width of the config."""
    vectors = _read(config.word_vectors, config.words)
    if not vectors:
        raise ValueError(
            f"{config.word_vectors} has none of the {len(config.words)} words "
            "of the captions; give vectors of their language, in small letters"
        )
    width = len(next(iter(vectors.values())))
    if width != config.embedding_size:
        raise ValueError(
            f"{config.word_vectors} has {width} numbers a word; give "
            f"--embedding-size {width}, received {config.embedding_size}"
        )
    return vectors


@functools.lru_cache(maxsize=1)
def _read(file: str, words: tuple[str, ...]) -> dict[str, np.ndarray]:
    return word_vectors.read(file, words)
