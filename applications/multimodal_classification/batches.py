"""Which rows are in which batch where few of them have a label.

Half of each batch is drawn from the rows with a label then, the other half
from all, so that the refiner sees everything; without a refiner the whole
batch has labels. For the multi-similarity loss the half with labels has four
rows of each of its classes, so that every one of them has its like.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from applications import epochs
from applications.multimodal_classification.config import Config
from applications.multimodal_classification.sources import UNLABELLED

# K of P x K: rows of each class.
ROWS_OF_A_CLASS = 4
# Draws of an epoch, by what they are for.
OF_ALL, OF_LABELLED, OF_CLASSES, OF_STARTS, OF_MEMBERS = range(5)


def order(
    labels: np.ndarray, config: Config
) -> Callable[[tf.Tensor], tf.Tensor] | None:
    """For `epochs.batches`: from an epoch to the rows of all of its batches.

    None: every row is as good as another.
    """
    flat = labels.reshape(len(labels), -1)
    labelled = np.flatnonzero((flat != UNLABELLED).all(axis=1))
    by_class = config.similarity_weight > 0 and not config.multilabel
    if not len(labelled) or (2 * len(labelled) >= len(labels) and not by_class):
        return None
    size, steps = config.batch_size, len(labels) // config.batch_size
    count = (size + 1) // 2 if config.refined or by_class else size

    def chosen(epoch: tf.Tensor) -> tf.Tensor:
        if by_class:
            known = _class_by_class(labels, steps, count, config.seed, epoch)
        else:
            known = _again_and_again(
                labelled, steps * count, config.seed, epoch, OF_LABELLED
            )
        others = _again_and_again(
            np.arange(len(labels)),
            steps * (size - count),
            config.seed,
            epoch,
            OF_ALL,
        )
        parts = [tf.reshape(part, (steps, -1)) for part in (known, others)]
        return tf.reshape(tf.concat(parts, axis=1), [-1])

    def without_labels(epoch: tf.Tensor) -> tf.Tensor:
        rows = np.arange(len(labels))
        return _again_and_again(rows, steps * size, config.seed, epoch, OF_ALL)

    return lambda epoch: tf.cond(
        epoch < config.pretrain_epochs,
        lambda: without_labels(epoch),
        lambda: chosen(epoch),
    )


def _again_and_again(
    rows: np.ndarray, count: int, seed: int, epoch: tf.Tensor, use: int
) -> tf.Tensor:
    """All rows in an order, then all of them in another, up to a count."""
    rounds = -(-count // len(rows))
    draws = _uniform((rounds, len(rows)), seed, epoch, use)
    places = tf.reshape(tf.argsort(draws, axis=1), [-1])[:count]
    return tf.gather(tf.constant(rows, "int64"), places)


def _class_by_class(
    labels: np.ndarray, steps: int, count: int, seed: int, epoch: tf.Tensor
) -> tf.Tensor:
    """Of each step some classes at random, and four rows of each."""
    members = [
        np.flatnonzero(labels == label)
        for label in np.unique(labels[labels != UNLABELLED])
    ]
    sizes = tf.constant([len(rows) for rows in members], "int64")
    longest = max(len(rows) for rows in members)
    # Longer than any class; only the first of a row are its members.
    table = np.stack([np.resize(rows, longest) for rows in members])
    draws = _uniform(table.shape, seed, epoch, OF_MEMBERS)
    inside = np.arange(longest) < np.array([len(m) for m in members])[:, None]
    shuffled = tf.gather(
        tf.constant(table, "int64"),
        tf.argsort(tf.where(inside, draws, 2.0), axis=1),
        batch_dims=1,
    )
    wanted = -(-count // ROWS_OF_A_CLASS)
    classes = _again_and_again(
        np.arange(len(members)), steps * wanted, seed, epoch, OF_CLASSES
    )
    of_class = tf.gather(sizes, classes)
    starts = _uniform((steps * wanted,), seed, epoch, OF_STARTS)
    starts = tf.cast(starts * tf.cast(of_class, "float32"), "int64")
    places = starts[:, None] + tf.range(ROWS_OF_A_CLASS, dtype="int64")
    places = places % of_class[:, None]
    rows = tf.gather_nd(
        shuffled,
        tf.stack([tf.broadcast_to(classes[:, None], places.shape), places], -1),
    )
    return tf.reshape(rows, (steps, -1))[:, :count]


def _uniform(
    shape: tuple[int, ...], seed: int, epoch: tf.Tensor, use: int
) -> tf.Tensor:
    key = epochs.random_key(seed, epoch, tf.constant(use, "int64"))
    return tf.random.stateless_uniform(shape, key)
