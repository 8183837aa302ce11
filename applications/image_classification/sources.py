"""Which data the settings name, as images and class indices.

| data_dir | dataset | source |
|---|---|---|
| None | digits | the digits of scikit-learn |
| None | a name | that TFDS set, downloaded on first use |
| holds `dataset_info.json` | | a prepared TFDS set |
| another folder | | a folder of images for each class |
"""

from pathlib import Path
from typing import TYPE_CHECKING
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from applications.datasets import class_folders
from applications.datasets import digits
from applications.datasets.class_folders import ImageFiles
from applications.datasets.paired_folder import SPLITS
from applications.datasets.preparation import prepare_once

if TYPE_CHECKING:
    from applications.image_classification.config import Config

DIGITS = "digits"
TFDS_DIR = "data/tfds"
# Decoded images up to this size stay in memory; larger folders are decoded
# anew in every epoch.
MEMORY_BYTES = 2**31


class Description(NamedTuple):
    """What the data decides."""

    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]


class Split(NamedTuple):
    """The images of a split, which an array of indices reads, and labels."""

    images: np.ndarray | ImageFiles
    labels: np.ndarray


def describe(config: "Config") -> Description:
    """Reads what a model must know of the data."""
    if config.data_dir is None and config.dataset == DIGITS:
        return Description(digits.CLASSES, (8, 8, 1))
    builder = _builder(config)
    if builder is not None:
        features = _checked_features(builder)
        return Description(
            tuple(features["label"].names),
            config.image_shape or _fixed_shape(builder),
        )
    classes = class_folders.class_names(config.data_dir)
    splits = class_folders.scan(config.data_dir, classes, config.held_out)
    first = next(iter(splits.values())).files[0]
    return Description(classes, class_folders.shape_of(first))


def labeled_splits(config: "Config") -> dict[str, Split]:
    """Every split that there is; images uint8, of `config.image_shape`."""
    if config.data_dir is None and config.dataset == DIGITS:
        return _limited(
            {
                name: Split(_fitted(part.images, config), part.labels)
                for name, part in digits.load().items()
            },
            config,
        )
    builder = _builder(config)
    if builder is not None:
        return _limited(_builder_splits(builder, config), config)
    splits = class_folders.scan(
        config.data_dir, config.classes, config.held_out
    )
    if config.limit and "train" in splits:
        chosen = first_of_each(splits["train"].labels, config.limit)
        splits["train"] = class_folders.chosen(splits["train"], chosen)
    natural = class_folders.shape_of(next(iter(splits.values())).files[0])
    return {
        name: Split(
            _decoded(
                ImageFiles(
                    part.files,
                    config.image_shape,
                    resized=config.image_shape != natural,
                )
            ),
            part.labels,
        )
        for name, part in splits.items()
    }


def first_of_each(labels: np.ndarray, limit: int) -> np.ndarray:
    """Indices of the first examples of every class, in order."""
    chosen = [
        np.flatnonzero(labels == label)[:limit] for label in np.unique(labels)
    ]
    return np.sort(np.concatenate(chosen))


def _limited(splits: dict[str, Split], config: "Config") -> dict[str, Split]:
    if not config.limit or "train" not in splits:
        return splits
    train = splits["train"]
    chosen = first_of_each(train.labels, config.limit)
    return splits | {"train": Split(train.images[chosen], train.labels[chosen])}


def _decoded(files: ImageFiles) -> np.ndarray | ImageFiles:
    if len(files) * np.prod(files.shape) > MEMORY_BYTES:
        files.check()
        return files
    return files[np.arange(len(files))]


def _builder(
    config: "Config",
) -> tfds.core.DatasetBuilder | None:
    """The TFDS builder behind the settings; None for plain folders."""
    if config.data_dir is not None:
        if not (Path(config.data_dir) / "dataset_info.json").is_file():
            return None
        return tfds.builder_from_directory(config.data_dir)
    try:
        return prepare_once(
            lambda: tfds.builder(config.dataset, data_dir=TFDS_DIR)
        )
    except Exception as error:
        raise ValueError(
            f"the TFDS set {config.dataset!r} cannot be had ({error}); give "
            f"the name of a set that can be downloaded, {DIGITS}, or "
            "--data-dir"
        ) from error


def _checked_features(builder: tfds.core.DatasetBuilder):
    features = builder.info.features
    label = features["label"] if "label" in features else None
    if "image" not in features or not getattr(label, "names", None):
        raise ValueError(
            f"{builder.name} has the features {', '.join(features)}; expected "
            "`image`, and `label` with names of classes"
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


def _builder_splits(
    builder: tfds.core.DatasetBuilder, config: "Config"
) -> dict[str, Split]:
    _checked_features(builder)
    there = {name: name for name in SPLITS if name in builder.info.splits}
    count = sum(builder.info.splits[name].num_examples for name in there)
    size = count * int(np.prod(config.image_shape))
    if not there or size > MEMORY_BYTES:
        raise ValueError(
            f"{builder.name} has the splits {', '.join(builder.info.splits)} "
            f"and {size / 2**30:.1f} GiB of images; expected "
            f"{', '.join(SPLITS)} and no more than {MEMORY_BYTES / 2**30:.0f} "
            "GiB; larger sets are read from folders of classes"
        )
    splits = {name: _in_memory(builder, name, config) for name in there}
    if "train" in splits and "validation" not in splits and config.held_out:
        train = splits["train"]
        kept, held = class_folders.hold_out(train.labels, config.held_out)
        for name, chosen in (("train", kept), ("validation", held)):
            splits[name] = Split(train.images[chosen], train.labels[chosen])
    return splits


def _in_memory(
    builder: tfds.core.DatasetBuilder,
    split: str,
    config: "Config",
) -> Split:
    images, labels = [], []
    dataset = builder.as_dataset(split=split, shuffle_files=False)
    for example in dataset.as_numpy_iterator():
        images.append(_fitted(example["image"][None], config)[0])
        labels.append(example["label"])
    return Split(np.stack(images), np.array(labels, "int64"))


def _fitted(images: np.ndarray, config: "Config") -> np.ndarray:
    """Images of `config.image_shape`, bilinear where the size differs."""
    height, width, channels = config.image_shape
    if images.shape[3] != channels:
        gray = images.astype("float32").mean(axis=-1, keepdims=True)
        images = np.repeat(np.rint(gray).astype("uint8"), channels, axis=-1)
    if images.shape[1:3] == (height, width):
        return images
    import tensorflow as tf

    resized = tf.image.resize(images, (height, width), antialias=True)
    return np.rint(resized.numpy()).astype("uint8")
