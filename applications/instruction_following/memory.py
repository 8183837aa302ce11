"""The last transitions of many episodes, to learn from again."""

import collections

import numpy as np


class Memory:
    """Transitions row by row: an episode is added, and an old one goes.

    They are not kept when training stops and goes on.
    """

    def __init__(self, size: int, text_length: int) -> None:
        self.rows: collections.deque[dict] = collections.deque(maxlen=size)
        self.text_length = text_length

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, transitions: dict[str, np.ndarray]) -> None:
        text = transitions["text"]
        padded = np.zeros((len(text), self.text_length), "int32")
        padded[:, : text.shape[1]] = text
        columns = {**transitions, "text": padded}
        for values in zip(*columns.values(), strict=True):
            self.rows.append(dict(zip(columns, values, strict=True)))

    def at(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Some of them, the oldest being the first, as one batch."""
        chosen = [self.rows[index] for index in indices]
        return {name: np.stack([r[name] for r in chosen]) for name in chosen[0]}
