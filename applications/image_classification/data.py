"""From images and class indices to batches of the task.

An element is `(inputs, targets)`: inputs `{"image": float32 (batch, height,
width, channels)}`, targets a dict output -> int64 (batch,), every output with
the same class. Order and augmentation of the training batches are a pure
function of (seed, epoch).
"""

from typing import TYPE_CHECKING

import numpy
import tensorflow

from applications.image_classification.config import output_names
from applications.image_classification.sources import Split
from applications.image_classification.sources import labelled_splits
from applications.training import Data

if TYPE_CHECKING:
    from applications.image_classification.config import Config

# In grey levels, red, green, blue.
IMAGENET_MEAN = (123.0, 117.0, 104.0)
EVALUATION_BATCH = 100


def load_data(config: "Config", first_epoch: int = 0) -> Data:
    """The splits of the data; those that they have not are None."""
    splits = labelled_splits(config)
    train, steps = None, 0
    if "train" in splits:
        train = _training(splits["train"], config, first_epoch)
        steps = len(splits["train"].labels) // config.batch_size
    evaluation = [
        _evaluation(splits[name], config) if name in splits else None
        for name in ("validation", "test")
    ]
    return Data(train, steps, *evaluation)


def standardize(images: numpy.ndarray, config: "Config") -> tensorflow.Tensor:
    """uint8 images (batch, height, width, channels) as the model wants them.

    Global contrast normalisation subtracts the mean over all pixels and
    channels and divides by their deviation, or by `contrast_floor` if that is
    larger; `contrast_scale` is the deviation in the end.
    """
    images = tensorflow.cast(images, "float32")
    if config.standardize == "unit":
        return images / 127.5 - 1
    if config.standardize == "imagenet":
        return images - tensorflow.constant(IMAGENET_MEAN[: images.shape[-1]])
    images -= tensorflow.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    deviation = tensorflow.sqrt(
        tensorflow.reduce_mean(images**2, axis=(1, 2, 3), keepdims=True)
    )
    floor = tensorflow.constant(config.contrast_floor)
    return config.contrast_scale * images / tensorflow.maximum(deviation, floor)


def augment(
    images: tensorflow.Tensor, key: tensorflow.Tensor, config: "Config"
) -> tensorflow.Tensor:
    """Each image mirrored and moved by draws of its own from `key`."""
    count, (height, width) = tensorflow.shape(images)[0], images.shape[1:3]
    draws = tensorflow.random.stateless_uniform([3, count], key)
    if config.mirror:
        mirrored = tensorflow.reverse(images, axis=[2])
        flipped = draws[0, :, None, None, None] < 0.5
        images = tensorflow.where(flipped, mirrored, images)
    if config.shift:
        margin = [config.shift, config.shift]
        images = tensorflow.pad(images, [[0, 0], margin, margin, [0, 0]])
        places = 2 * config.shift + 1
        starts = tensorflow.cast(draws[1:] * places, "int32")[..., None]
        rows = starts[0] + tensorflow.range(height)
        columns = starts[1] + tensorflow.range(width)
        images = tensorflow.gather(images, rows, axis=1, batch_dims=1)
        images = tensorflow.gather(images, columns, axis=2, batch_dims=1)
    return images


# These functions hold no control flow for TensorFlow to translate.
_as_it_is = tensorflow.autograph.experimental.do_not_convert


def _training(
    split: Split, config: "Config", first_epoch: int
) -> tensorflow.data.Dataset:
    count, size = len(split.labels), config.batch_size
    if count < size:
        raise ValueError(
            f"the training part has {count} examples, fewer than a batch of "
            f"{size}; choose --batch-size {count} or less"
        )
    seed = tensorflow.constant(config.seed, "int64")
    steps = count // size

    def epoch_batches(epoch: tensorflow.Tensor) -> tensorflow.data.Dataset:
        order = tensorflow.random.experimental.stateless_shuffle(
            tensorflow.range(count, dtype="int64"),
            tensorflow.stack([seed, epoch]),
        )[: steps * size]
        return tensorflow.data.Dataset.from_tensor_slices(
            (
                tensorflow.fill([steps], epoch),
                tensorflow.range(steps, dtype="int64"),
                tensorflow.reshape(order, (steps, size)),
            )
        )

    def batch(
        epoch: tensorflow.Tensor,
        step: tensorflow.Tensor,
        indices: tensorflow.Tensor,
    ) -> tuple:
        images, labels = _read(split, indices, config)
        key = tensorflow.random.experimental.stateless_fold_in(
            tensorflow.stack([seed, epoch]), step
        )
        return _element(augment(images, key, config), labels, config)

    return (
        tensorflow.data.Dataset.counter(first_epoch)
        .flat_map(_as_it_is(epoch_batches))
        .map(_as_it_is(batch), num_parallel_calls=tensorflow.data.AUTOTUNE)
        .prefetch(tensorflow.data.AUTOTUNE)
    )


def interleaved(labels: numpy.ndarray) -> numpy.ndarray:
    """Indices in an order in which classes take turns.

    Folders come class by class, and a first batch of one class would tell
    little, in a panel or of the branches.
    """
    turn = numpy.zeros(len(labels), "int64")
    for label in numpy.unique(labels):
        here = labels == label
        turn[here] = numpy.arange(here.sum())
    return numpy.lexsort((labels, turn))


def _evaluation(split: Split, config: "Config") -> tensorflow.data.Dataset:
    def batch(indices: tensorflow.Tensor) -> tuple:
        return _element(*_read(split, indices, config), config)

    return (
        tensorflow.data.Dataset.from_tensor_slices(interleaved(split.labels))
        .batch(EVALUATION_BATCH)
        .map(_as_it_is(batch), num_parallel_calls=tensorflow.data.AUTOTUNE)
        .prefetch(tensorflow.data.AUTOTUNE)
    )


def _read(
    split: Split, indices: tensorflow.Tensor, config: "Config"
) -> tuple[tensorflow.Tensor, tensorflow.Tensor]:
    images, labels = tensorflow.numpy_function(
        lambda chosen: (split.images[chosen], split.labels[chosen]),
        (indices,),
        ("uint8", "int64"),
    )
    images.set_shape([indices.shape[0], *config.image_shape])
    labels.set_shape([indices.shape[0]])
    return standardize(images, config), labels


def _element(
    images: tensorflow.Tensor, labels: tensorflow.Tensor, config: "Config"
) -> tuple[dict, dict]:
    return {"image": images}, {name: labels for name in output_names(config)}
