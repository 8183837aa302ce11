"""Which data the settings name, as images and class indices.

| data_dir | dataset | source |
|---|---|---|
| None | digits | the digits of scikit-learn |
| None | a name | that TFDS set, downloaded on first use |
| holds `dataset_info.json` | | a prepared TFDS set |
| another folder | | a folder of images for each class |
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from applications.datasets import class_folders
from applications.datasets import digits
from applications.datasets import preparation
from applications.datasets.class_folders import ImageFiles
from applications.datasets.file_tree import SPLITS
from applications.image_classification.config import DIGITS
from applications.image_classification.config import Config

# Decoded images up to this size stay in memory; larger folders are decoded
# anew in every epoch.
MEMORY_BYTES = 2**31


class Split(NamedTuple):
    """The images of a split, which an array of indices reads, and labels."""

    images: np.ndarray | ImageFiles
    labels: np.ndarray


class Source(NamedTuple):
    """What was found where a config says that its data are."""

    classes: tuple[str, ...]
    image_shape: tuple[int, ...]
    """Of all images, or to which they are brought."""
    sizes: dict[str, int | None]
    """Examples of every split; None where they are counted when it is read."""
    read: Callable[[str], Split]
    """A split, read once; images are uint8."""
    notes: tuple[str, ...] = ()
    """What was left out, and how a validation part was made."""


def find(config: Config) -> Source:
    """Looks for data once; downloads a TFDS set where it is missing."""
    if config.data_dir is None and config.dataset == DIGITS:
        return _of_digits(config)
    builder = _builder(config)
    if builder is not None:
        return _of_builder(builder, config)
    return _of_folder(config)


def _of_digits(config: Config) -> Source:
    shape = config.image_shape or (8, 8, 1)
    parts = digits.load()

    @functools.cache
    def read(name: str) -> Split:
        part = parts[name]
        return _limited(
            name, Split(_resized(part.images, shape), part.labels), config
        )

    sizes = {name: len(part.labels) for name, part in parts.items()}
    return Source(digits.CLASSES, shape, sizes, read)


def _of_folder(config: Config) -> Source:
    classes, parts, notes = class_folders.scan(
        config.data_dir, config.held_out, config.classes
    )
    if config.limit and "train" in parts:
        kept = first_of_each(parts["train"].labels, config.limit)
        parts["train"] = class_folders.chosen(parts["train"], kept)
    files = [path for part in parts.values() for path in part.files]
    every = -(-len(files) // class_folders.LOOKED_AT)
    shape = config.image_shape or class_folders.common_shape(files[::every])

    @functools.cache
    def read(name: str) -> Split:
        part = parts[name]
        resized = bool(config.image_shape)
        images = ImageFiles(part.files, shape, resized)
        return Split(_decoded(images), part.labels)

    sizes = {name: len(part.files) for name, part in parts.items()}
    return Source(classes, shape, sizes, read, notes)


def _of_builder(builder: tfds.core.DatasetBuilder, config: Config) -> Source:
    features = _checked_features(builder)
    shape = config.image_shape or _fixed_shape(builder)
    sizes = _builder_parts(builder, shape)
    divides = (
        "train" in sizes and "validation" not in sizes and config.held_out > 0
    )

    @functools.cache
    def divided() -> dict[str, Split]:
        split = _in_memory(builder, "train", shape)
        kept, held = class_folders.hold_out(split.labels, config.held_out)
        return {
            name: Split(split.images[rows], split.labels[rows])
            for name, rows in (("train", kept), ("validation", held))
        }

    @functools.cache
    def read(name: str) -> Split:
        if divides and name != "test":
            return _limited(name, divided()[name], config)
        return _limited(name, _in_memory(builder, name, shape), config)

    notes: tuple[str, ...] = ()
    if divides:
        every = class_folders.every(config.held_out)
        sizes |= {"train": None, "validation": None}
        notes = (f"validation is 1 in {every} of train",)
    return Source(tuple(features["label"].names), shape, sizes, read, notes)


def first_of_each(labels: np.ndarray, limit: int) -> np.ndarray:
    """Indices of the first examples of every class, in order."""
    chosen = [
        np.flatnonzero(labels == label)[:limit] for label in np.unique(labels)
    ]
    return np.sort(np.concatenate(chosen))


def _limited(name: str, split: Split, config: Config) -> Split:
    if name != "train" or not config.limit:
        return split
    kept = first_of_each(split.labels, config.limit)
    return Split(split.images[kept], split.labels[kept])


def _decoded(files: ImageFiles) -> np.ndarray | ImageFiles:
    if len(files) * np.prod(files.shape) > MEMORY_BYTES:
        return files
    return files[np.arange(len(files))]


def _builder(
    config: Config,
) -> tfds.core.DatasetBuilder | None:
    """The TFDS builder behind the settings; None for plain folders."""
    if config.data_dir is not None:
        folder = Path(config.data_dir)
        prepared = preparation.is_prepared(folder)
        return preparation.open_prepared(folder) if prepared else None
    return preparation.prepare_named(config.dataset, DIGITS)


def _checked_features(builder: tfds.core.DatasetBuilder):
    features = builder.info.features
    label = features["label"] if "label" in features else None
    if "image" not in features or not getattr(label, "names", None):
        raise ValueError(
            f"{builder.name} has the features {', '.join(features)}; expected "
            "`image`, and `label` with names of classes"
        )
    if features["image"].np_dtype != np.uint8:
        raise ValueError(
            f"the images of {builder.name} are {features['image'].np_dtype}; "
            "expected uint8, convert them first"
        )
    return features


def _fixed_shape(
    builder: tfds.core.DatasetBuilder,
) -> tuple[int, int, int]:
    shape = builder.info.features["image"].shape
    if None in shape:
        raise ValueError(
            f"the images of {builder.name} differ in size; give --image-shape "
            "HEIGHT WIDTH CHANNELS to bring all to one size"
        )
    return tuple(shape)


def _builder_parts(
    builder: tfds.core.DatasetBuilder, shape: tuple[int, ...]
) -> dict[str, int]:
    """Examples of the splits, whose images must fit into memory."""
    infos = builder.info.splits
    sizes = {name: infos[name].num_examples for name in SPLITS if name in infos}
    size = sum(sizes.values()) * int(np.prod(shape))
    if not sizes or size > MEMORY_BYTES:
        raise ValueError(
            f"{builder.name} has the splits {', '.join(infos)} and "
            f"{size / 2**30:.1f} GiB of images; expected {', '.join(SPLITS)} "
            f"and no more than {MEMORY_BYTES / 2**30:.0f} GiB; larger sets "
            "are read from folders of classes"
        )
    return sizes


def _in_memory(
    builder: tfds.core.DatasetBuilder, split: str, shape: tuple[int, ...]
) -> Split:
    images, labels = [], []
    dataset = builder.as_dataset(split=split, shuffle_files=False)
    for example in dataset.as_numpy_iterator():
        images.append(_resized(example["image"][None], shape)[0])
        labels.append(example["label"])
    return Split(np.stack(images), np.array(labels, "int64"))


def _resized(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Images of a shape, bilinear where the size differs."""
    height, width, channels = shape
    if images.shape[3] != channels:
        gray = images.astype("float32").mean(axis=-1, keepdims=True)
        images = np.repeat(np.rint(gray).astype("uint8"), channels, axis=-1)
    if images.shape[1:3] == (height, width):
        return images
    resized = tf.image.resize(images, (height, width), antialias=True)
    return np.rint(resized.numpy()).astype("uint8")
