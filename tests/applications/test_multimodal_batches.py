"""Which rows of few labels are in which batch."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from applications.multimodal_classification import Config
from applications.multimodal_classification import batches
from applications.multimodal_classification.sources import UNLABELLED

CONFIG = Config(batch_size=16, classes=("a", "b", "c"))


@pytest.fixture
def labels(rng):
    """Of 200 rows 30 with a label, of one class two."""
    labels = np.full(200, UNLABELLED)
    chosen = rng.permutation(200)[:30]
    labels[chosen] = [0, 0] + [1] * 14 + [2] * 14
    return labels


def rows_of(labels, epoch, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    order = batches.order(labels, config)
    rows = order(tf.constant(epoch, "int64")).numpy()
    return rows.reshape(-1, config.batch_size)


def test_half_of_each_batch_has_labels(labels):
    rows = rows_of(labels, 0)
    assert rows.shape == (12, 16)
    assert (labels[rows[:, :8]] != UNLABELLED).all()
    known, counts = np.unique(rows[:, :8], return_counts=True)
    # 96 draws of 30 rows: each three times, some once more.
    assert len(known) == 30 and set(counts) == {3, 4}
    # The other half is 96 different rows of all.
    assert len(np.unique(rows[:, 8:])) == 96


def test_without_a_refiner_the_whole_batch_has_labels(labels):
    rows = rows_of(labels, 0, refiner_weight=(0.0,))
    assert (labels[rows] != UNLABELLED).all()


def test_epochs_differ_and_come_again(labels):
    first, second = rows_of(labels, 0), rows_of(labels, 1)
    assert np.any(first != second)
    np.testing.assert_array_equal(first, rows_of(labels, 0))
    assert np.any(first != rows_of(labels, 0, seed=1))


def test_epochs_without_labels_see_all_rows_alike(labels):
    changes = {"pretrain_epochs": 1, "epochs": 3}
    assert len(np.unique(rows_of(labels, 0, **changes))) == 12 * 16
    assert (labels[rows_of(labels, 1, **changes)[:, :8]] != UNLABELLED).all()


@pytest.mark.parametrize("size", [16, 18, 3])
def test_similar_rows_come_by_four_of_a_class(labels, size):
    rows = rows_of(labels, 0, similarity_weight=0.1, batch_size=size)
    half = (size + 1) // 2
    for batch in labels[rows[:, :half]]:
        for start in range(0, half, 4):
            four = batch[start : start + 4]
            assert len(set(four)) == 1 and four[0] != UNLABELLED
    for batch in rows[:, :half]:
        four = batch[:4]
        members = (labels == labels[four[0]]).sum()
        assert len(set(four)) == min(len(four), members)
    # All classes come, and all rows of them over some epochs.
    seen = [
        rows_of(labels, epoch, similarity_weight=0.1)[:, :8]
        for epoch in range(20)
    ]
    assert set(np.unique(seen)) == set(np.flatnonzero(labels != UNLABELLED))


def test_enough_labels_need_no_care(labels):
    known = np.zeros(200, int)
    assert batches.order(known, CONFIG) is None
    unknown = np.full(200, UNLABELLED)
    assert batches.order(unknown, CONFIG) is None
    many = dataclasses.replace(CONFIG, similarity_weight=0.1)
    assert batches.order(known, many) is not None


def test_lists_of_classes_are_drawn_without_regard_to_class(labels):
    several = np.stack([labels, labels], axis=1).astype("float32")
    order = batches.order(
        several,
        dataclasses.replace(CONFIG, labels="tags", similarity_weight=0.1),
    )
    rows = order(tf.constant(0, "int64")).numpy().reshape(-1, 16)
    assert (labels[rows[:, :8]] != UNLABELLED).all()
