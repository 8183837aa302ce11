"""From images and class indices to batches of the task.

An element is `(inputs, targets)`: inputs `{"image": float32 (batch, height,
width, channels)}`, targets a dict output -> int64 (batch,), every output with
the same class. Order and augmentation of the training batches are a pure
function of (seed, epoch).
"""

import dataclasses

import numpy as np
import tensorflow as tf

from applications import epochs
from applications import findings
from applications.findings import Findings
from applications.image_classification import sources
from applications.image_classification.config import Config
from applications.image_classification.config import output_names
from applications.image_classification.sources import Split
from applications.inputs.image import in_words
from applications.task import Data

# In gray levels, red, green, blue.
IMAGENET_MEAN = (123.0, 117.0, 104.0)
EVALUATION_BATCH = 100


def load_data(config: Config) -> Data:
    """The data, with their classes and the images' shape in the config."""
    source = sources.find(config)
    if config.classes and not set(source.classes) <= set(config.classes):
        raise ValueError(
            f"classes are {', '.join(config.classes)} by the settings and "
            f"{', '.join(source.classes)} by the data; drop the setting, or "
            "name the data's"
        )
    config = dataclasses.replace(
        config,
        classes=config.classes or source.classes,
        image_shape=source.image_shape,
    )
    return Data(
        config,
        source.sizes,
        lambda epoch: _training(source.read("train"), config, epoch),
        lambda name: _evaluation(source.read(name), config),
        lambda name: _look(source.read(name), config),
        source.notes,
    )


def _look(split: Split, config: Config) -> Findings:
    """Size and values of the images, and examples of each class."""
    rows = findings.some(len(split.labels))
    counts = np.bincount(split.labels, minlength=len(config.classes))
    return Findings(
        len(split.labels),
        {"image": in_words(split.images[rows])},
        dict(zip(config.classes, counts.tolist(), strict=True)),
        looked_at=len(rows),
    )


def standardize(images: np.ndarray, config: Config) -> tf.Tensor:
    """uint8 images (batch, height, width, channels) as the model wants them.

    Global contrast normalization subtracts the mean over all pixels and
    channels and divides by their deviation, or by `contrast_floor` if that is
    larger; `contrast_scale` is the deviation in the end.
    """
    images = tf.cast(images, "float32")
    if config.standardize == "unit":
        return images / 127.5 - 1
    if config.standardize == "imagenet":
        return images - tf.constant(IMAGENET_MEAN[: images.shape[-1]])
    images -= tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    deviation = tf.sqrt(
        tf.reduce_mean(images**2, axis=(1, 2, 3), keepdims=True)
    )
    floor = tf.constant(config.contrast_floor)
    return config.contrast_scale * images / tf.maximum(deviation, floor)


def augment(images: tf.Tensor, key: tf.Tensor, config: Config) -> tf.Tensor:
    """Each image mirrored and moved by draws of its own from `key`."""
    count, (height, width) = tf.shape(images)[0], images.shape[1:3]
    draws = tf.random.stateless_uniform([3, count], key)
    if config.mirror:
        mirrored = tf.reverse(images, axis=[2])
        flipped = draws[0, :, None, None, None] < 0.5
        images = tf.where(flipped, mirrored, images)
    if config.shift:
        margin = [config.shift, config.shift]
        images = tf.pad(images, [[0, 0], margin, margin, [0, 0]])
        places = 2 * config.shift + 1
        starts = tf.cast(draws[1:] * places, "int32")[..., None]
        rows = starts[0] + tf.range(height)
        columns = starts[1] + tf.range(width)
        images = tf.gather(images, rows, axis=1, batch_dims=1)
        images = tf.gather(images, columns, axis=2, batch_dims=1)
    return images


def _training(
    split: Split, config: Config, first_epoch: int
) -> tuple[tf.data.Dataset, int]:
    count, size = len(split.labels), config.batch_size

    def batch(epoch: tf.Tensor, step: tf.Tensor, indices: tf.Tensor) -> tuple:
        images, labels = _read(split, indices, config)
        key = epochs.random_key(config.seed, epoch, step)
        return _element(augment(images, key, config), labels, config)

    chosen = epochs.batches(count, size, config.seed, first_epoch)
    dataset = epochs.read_ahead(chosen, batch).prefetch(tf.data.AUTOTUNE)
    return dataset, count // size


def interleaved(labels: np.ndarray) -> np.ndarray:
    """Indices in an order in which classes take turns.

    Folders come class by class, and a first batch of one class would tell
    little, in a panel or of the branches.
    """
    turn = np.zeros(len(labels), "int64")
    for label in np.unique(labels):
        here = labels == label
        turn[here] = np.arange(here.sum())
    return np.lexsort((labels, turn))


def _evaluation(split: Split, config: Config) -> tf.data.Dataset:
    def batch(indices: tf.Tensor) -> tuple:
        return _element(*_read(split, indices, config), config)

    order = tf.data.Dataset.from_tensor_slices(interleaved(split.labels))
    dataset = epochs.read_ahead(order.batch(EVALUATION_BATCH), batch)
    return dataset.prefetch(tf.data.AUTOTUNE)


def _read(
    split: Split, indices: tf.Tensor, config: Config
) -> tuple[tf.Tensor, tf.Tensor]:
    images, labels = tf.numpy_function(
        lambda chosen: (split.images[chosen], split.labels[chosen]),
        (indices,),
        ("uint8", "int64"),
    )
    images.set_shape([indices.shape[0], *config.image_shape])
    labels.set_shape([indices.shape[0]])
    return standardize(images, config), labels


def _element(
    images: tf.Tensor, labels: tf.Tensor, config: Config
) -> tuple[dict, dict]:
    return {"image": images}, {name: labels for name in output_names(config)}
