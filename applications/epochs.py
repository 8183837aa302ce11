"""Endless epochs of training batches, a pure function of seed and epoch.

A training that was killed goes on at the epoch after its last checkpoint and
sees what it would have seen.
"""

from collections.abc import Callable

import tensorflow as tf

# For functions without control flow for TensorFlow to translate.
without_autograph = tf.autograph.experimental.do_not_convert


def read_ahead(
    dataset: tf.data.Dataset, read: Callable[..., tuple]
) -> tf.data.Dataset:
    """What `read` makes of each element, some side by side, in their order."""
    return dataset.map(
        without_autograph(read), num_parallel_calls=tf.data.AUTOTUNE
    )


def check_batch(count: int, batch_size: int) -> None:
    """Raises ValueError for a training part that does not fill a batch."""
    if count < batch_size:
        raise ValueError(
            f"the training part has {count} examples, fewer than a batch of "
            f"{batch_size}; choose --batch-size {count} or less"
        )


def batches(
    count: int,
    batch_size: int,
    seed: int,
    first_epoch: int = 0,
    order: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> tf.data.Dataset:
    """Which examples are in which batch, from `first_epoch` on for ever.

    Every batch is full: what is left over at the end of an epoch waits for
    another.

    Args:
        count: Number of examples.
        batch_size: Examples in a batch.
        seed: Of the order.
        first_epoch: Epoch to begin with.
        order: Function from an epoch to all indices of its batches, int64
            (count // batch_size * batch_size,). The default shuffles.

    Returns:
        Dataset of (epoch, step, indices), int64 of shapes (), () and
        (batch_size,).
    """
    check_batch(count, batch_size)
    steps = count // batch_size

    def shuffled(epoch: tf.Tensor) -> tf.Tensor:
        indices = tf.range(count, dtype="int64")
        return tf.random.experimental.stateless_shuffle(
            indices, _seed_pair(seed, epoch)
        )[: steps * batch_size]

    def epoch_of_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        indices = tf.reshape((order or shuffled)(epoch), (steps, batch_size))
        return tf.data.Dataset.from_tensor_slices(
            (
                tf.fill([steps], epoch),
                tf.range(steps, dtype="int64"),
                indices,
            )
        )

    return tf.data.Dataset.counter(first_epoch).flat_map(
        without_autograph(epoch_of_batches)
    )


def examples(
    count: int, batch_size: int, seed: int, first_epoch: int = 0
) -> tf.data.Dataset:
    """The same one by one, for examples that are read side by side.

    Returns:
        Dataset of (epoch, index); batches of `batch_size` of it are those of
        `batches`.
    """

    def one_by_one(
        epoch: tf.Tensor, step: tf.Tensor, indices: tf.Tensor
    ) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(
            (tf.fill([batch_size], epoch), indices)
        )

    return batches(count, batch_size, seed, first_epoch).flat_map(
        without_autograph(one_by_one)
    )


def random_key(seed: int, epoch: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """The seed of the draws of one example, or step, of an epoch."""
    return tf.random.experimental.stateless_fold_in(
        _seed_pair(seed, epoch), number
    )


def _seed_pair(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.constant(seed, "int64"), epoch])
