"""From a source of aligned images to batches of the task.

An element is `(inputs, targets)`: inputs a dict modality -> float32 (batch,
height, width, channels), single-channel modalities tiled to three so that
they can share convolutions; targets a dict output -> int32 (batch, height,
width), every output with the same map.

Training batches are square crops. Scale, place and mirroring of a crop are a
pure function of (seed, epoch, index of the example) and the same for every
modality and the label. Validation and test images keep their full size; where
sizes differ within a split, batches hold one image each, because padding
would change what the network sees at the borders.
"""

import dataclasses
import functools
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from applications import epochs
from applications import findings
from applications.datasets import aligned_images
from applications.datasets.paired_folder import LABEL
from applications.findings import Findings
from applications.inputs import crops
from applications.inputs import image as images
from applications.inputs import mask as masks
from applications.inputs.image import NormalizedImage
from applications.semantic_segmentation.config import Config
from applications.semantic_segmentation.config import output_names
from applications.task import Data

# Decoded examples up to this size stay in memory, larger splits are decoded
# anew in every epoch.
MEMORY_BYTES = 2**30


class PreparedExample(NamedTuple):
    """One example, resized, its label (height, width) uint8."""

    images: tuple[NormalizedImage, ...]
    label: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        return self.label.shape


def load_data(config: Config) -> Data:
    """The data of `config.data_dir`, with their classes in the config."""
    source = aligned_images.find(config.data_dir, config.modalities)
    _check_channels(source)
    if config.classes and config.classes != source.classes:
        raise ValueError(
            f"classes are {', '.join(config.classes)} by the settings and "
            f"{', '.join(source.classes)} by the data; drop the setting, or "
            "name the data's classes in its classes.txt"
        )
    config = dataclasses.replace(config, classes=source.classes)

    @functools.cache
    def examples(split: str) -> PreparedExamples:
        return PreparedExamples(source.read(split), config)

    resized = (
        (f"of larger images the short side is brought to {config.resize}",)
        if config.resize
        else ()
    )
    return Data(
        config,
        source.sizes,
        lambda epoch: _training(examples("train"), config, epoch),
        lambda split: _evaluation(examples(split), config),
        lambda split: _look(examples(split)),
        (*resized, *source.notes),
    )


def _look(examples: "PreparedExamples") -> Findings:
    """Sizes and values as they are learned from, and pixels of each class."""
    config = examples.config
    seen = [examples[index] for index in findings.some(len(examples))]
    counts = np.zeros(masks.IGNORE + 1, "int64")
    for example in seen:
        counts += np.bincount(example.label.ravel(), minlength=len(counts))
    return Findings(
        len(examples),
        {
            name: images.in_words(e.images[number].image for e in seen)
            for number, name in enumerate(config.modalities)
        },
        dict(zip(config.classes, counts.tolist(), strict=False)),
        pixels=True,
        ignored=int(counts[masks.IGNORE]),
        looked_at=len(seen),
    )


def unlabeled(
    config: Config, data_dir: Path, problems: list[str]
) -> Iterator[tuple[str, dict[str, np.ndarray], tuple[int, int]]]:
    """Yields (id, inputs of a batch of one, original height and width).

    What cannot be read is left out, and said in `problems`.
    """
    identifiers, examples = aligned_images.unlabeled_examples(
        data_dir, config.modalities, problems
    )
    for index, identifier in enumerate(identifiers):
        try:
            example = examples[index]
        except ValueError as error:
            problems.append(str(error))
            continue
        size = next(iter(example.values())).shape[:2]
        prepared = prepare(example, config)
        inputs = {
            name: images.three_channels(image.values())[None]
            for name, image in zip(
                config.modalities, prepared.images, strict=True
            )
        }
        yield identifier, inputs, size


class PreparedExamples(Sequence):
    """The examples of a split, resized; kept in memory if they are small."""

    def __init__(self, examples: Sequence, config: Config):
        if not len(examples):
            raise ValueError(f"{config.data_dir} has an empty split.")
        self.config = config
        self.examples = examples
        self.kept = None
        first = self[0]
        self.channels = tuple(
            images.as_color(modality.image.shape[2])
            for modality in first.images
        )
        size = first.label.nbytes + sum(m.image.nbytes for m in first.images)
        if size * len(examples) <= MEMORY_BYTES:
            # Decoders let go of the interpreter lock.
            with ThreadPoolExecutor() as pool:
                self.kept = list(pool.map(self._prepare, range(len(examples))))

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> PreparedExample:
        if self.kept is not None:
            return self.kept[index]
        return self._prepare(index)

    def _prepare(self, index: int) -> PreparedExample:
        return prepare(self.examples[index], self.config)

    @property
    def same_size(self) -> bool:
        """Known only of examples in memory; others count as different."""
        return self.kept is not None and (
            len({example.size for example in self.kept}) == 1
        )


def prepare(example: dict[str, np.ndarray], config: Config) -> PreparedExample:
    """Shrinks the short side to `config.resize` and takes the statistics."""
    arrays = [example[name] for name in config.modalities]
    height, width = arrays[0].shape[:2]
    label = example.get(LABEL)
    if label is None:
        label = np.full((height, width), masks.IGNORE, "uint8")
    if 0 < config.resize < min(height, width):
        factor = config.resize / min(height, width)
        size = (round(height * factor), round(width * factor))
        arrays = [images.resize_as_stored(array, size) for array in arrays]
        label = masks.resize(label, size)
    modalities = tuple(
        _normalized(name, array, config)
        for name, array in zip(config.modalities, arrays, strict=True)
    )
    return PreparedExample(modalities, label)


def augmentation(config: Config) -> crops.Augmentation:
    return crops.Augmentation(
        side=config.crop,
        scale=config.scale,
        short_side=config.short_side,
        mirror=config.mirror,
        turn=config.turn,
        jitter=config.jitter,
        absence=config.modality_dropout,
        interpolations=tuple(
            _interpolation(name, config) for name in config.modalities
        ),
    )


def _interpolation(name: str, config: Config) -> images.Interpolation:
    if not config.cubic:
        return "bilinear"
    return "nearest" if name == "depth" else "cubic"


def _normalized(
    name: str, image: np.ndarray, config: Config
) -> NormalizedImage:
    if config.standardize == "image":
        return images.of_own_statistics(image)
    return images.of_published_constants(
        image, name == "rgb", config.depth_scale
    )


def _training(
    examples: PreparedExamples, config: Config, first_epoch: int
) -> tuple[tf.data.Dataset, int]:
    how = augmentation(config)

    def cropped(index: int, draws: np.ndarray) -> tuple[np.ndarray, ...]:
        example = examples[index]
        return crops.crop(example.images, example.label, draws, how)

    def read(epoch: tf.Tensor, index: tf.Tensor) -> tuple:
        draws = tf.random.stateless_uniform(
            [crops.num_draws(len(config.modalities))],
            epochs.random_key(config.seed, epoch, index),
        )
        arrays = tf.numpy_function(cropped, (index, draws), _types(config))
        return _element(arrays, config, examples.channels, config.crop)

    chosen = epochs.examples(
        len(examples), config.batch_size, config.seed, first_epoch
    )
    dataset = epochs.read_ahead(chosen, read)
    dataset = dataset.batch(config.batch_size, drop_remainder=True)
    dataset = dataset.prefetch(tf.data.AUTOTUNE)
    return dataset, len(examples) // config.batch_size


def _evaluation(examples: PreparedExamples, config: Config) -> tf.data.Dataset:
    def whole(index: int) -> tuple[np.ndarray, ...]:
        example = examples[index]
        pixels = [images.three_channels(m.values()) for m in example.images]
        return (*pixels, example.label.astype("int32"))

    def read(index: tf.Tensor) -> tuple:
        arrays = tf.numpy_function(whole, (index,), _types(config))
        return _element(arrays, config, examples.channels, None)

    dataset = epochs.read_ahead(tf.data.Dataset.range(len(examples)), read)
    size = config.batch_size if examples.same_size else 1
    return dataset.batch(size).prefetch(tf.data.AUTOTUNE)


def _types(config: Config) -> list[str]:
    return ["float32"] * len(config.modalities) + ["int32"]


def _element(
    arrays: list[tf.Tensor],
    config: Config,
    channels: Sequence[int],
    side: int | None,
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    *pixels, label = arrays
    label.set_shape([side, side])
    for image, count in zip(pixels, channels, strict=True):
        image.set_shape([side, side, count])
    inputs = dict(zip(config.modalities, pixels, strict=True))
    return inputs, {name: label for name in output_names(config)}


def _check_channels(source: aligned_images.Source) -> None:
    wrong = {
        name: count
        for name, count in source.channels.items()
        if images.as_color(count) != 3
    }
    if wrong:
        listed = ", ".join(f"{name} {count}" for name, count in wrong.items())
        raise ValueError(
            f"an image must have 1 or 3 channels, received {listed}; split "
            "other bands into modalities of their own"
        )
