"""The rows that a model gets most wrong."""

from typing import Any
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from applications.multimodal_classification.config import Config
from applications.multimodal_classification.scores import classified
from applications.multimodal_classification.scores import predictor

MOST = 12


class Mistakes(NamedTuple):
    """Rows with a label, the most wrong first."""

    rows: np.ndarray
    """Their places in the split, from 0."""
    inputs: dict[str, np.ndarray]
    """Of the first twelve of them."""
    chances: np.ndarray
    """Of all of them, (rows, classes)."""
    labels: np.ndarray
    losses: np.ndarray
    """-log of the probability that the truth was given."""


def find(
    model: keras.Model, dataset: tf.data.Dataset, config: Config
) -> Mistakes:
    """All rows with a label, by their loss.

    Raises ValueError where no row has one.
    """
    chance, label, known = classified(predictor(model, config), dataset)
    chance = chance.astype("float64")
    losses = np.where(known, _losses(chance, label), -np.inf)
    rows = np.argsort(-losses, kind="stable")[: known.sum()]
    return Mistakes(
        rows,
        _chosen(dataset, rows[:MOST]),
        chance[rows],
        label[rows],
        losses[rows],
    )


def _losses(chance: np.ndarray, label: np.ndarray) -> np.ndarray:
    if label.ndim > 1:
        right = np.where(label > 0.5, chance, 1 - chance)
        return -np.log(np.clip(right, 1e-12, 1)).sum(axis=1)
    right = chance[np.arange(len(label)), label]
    return -np.log(np.clip(right, 1e-12, 1))


def _chosen(dataset: tf.data.Dataset, rows: np.ndarray) -> dict[str, Any]:
    """The inputs of some rows, in this order."""
    found: dict[int, dict[str, np.ndarray]] = {}
    first = 0
    for inputs, _ in dataset:
        arrays = {name: np.asarray(x) for name, x in inputs.items()}
        count = len(next(iter(arrays.values())))
        for row in rows[(rows >= first) & (rows < first + count)]:
            found[row] = {n: x[row - first] for n, x in arrays.items()}
        first += count
    ordered = [found[row] for row in rows]
    return {name: np.stack([r[name] for r in ordered]) for name in ordered[0]}


def as_table(found: Mistakes, config: Config) -> list[dict[str, Any]]:
    """A record for each row: what it is, what was said, and how wrong."""
    records = []
    for row, chance, label, loss in zip(
        found.rows, found.chances, found.labels, found.losses, strict=True
    ):
        if config.multilabel:
            said, meant = chance > 0.5, label > 0.5
        else:
            said = np.arange(len(chance)) == chance.argmax()
            meant = np.arange(len(chance)) == label
        names = np.array(config.classes)
        records.append(
            {
                "row": int(row) + 1,
                "label": "|".join(names[meant]),
                "predicted": "|".join(names[said]),
                "probability": float(chance.max()),
                "loss": float(loss),
            }
        )
    return records
