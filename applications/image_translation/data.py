"""From a source of aligned images to batches of the task.

An element is `(inputs, targets)`: inputs a dict modality -> float32 (batch,
SIDE, SIDE, 3) from -1 to 1, single-channel modalities tiled to three so that
they can share convolutions; targets a dict output -> float32 (batch, SIDE,
SIDE, channels), every output with the same image.

Images are squeezed to a square. Training images are MARGIN pixels larger, and
a random part of them, mirrored or not, is taken: a pure function of (seed,
epoch, index of the example).
"""

import dataclasses
import functools
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from applications import epochs
from applications import findings
from applications.datasets.aligned_images import Source
from applications.findings import Findings
from applications.image_translation import inception
from applications.image_translation import sources
from applications.image_translation import values
from applications.image_translation.config import Config
from applications.image_translation.config import output_names
from applications.inputs import image as images
from applications.task import Data

# Decoded examples up to this size stay in memory, larger splits are decoded
# anew in every epoch.
MEMORY_BYTES = 2**30
# Of an example: top, left, mirror.
DRAWS = 3

Images = tuple[np.ndarray, ...]
"""Of every modality and, last, of the target."""


def load_data(config: Config) -> Data:
    """The data of `config.data_dir`, with channels and ranges in the config."""
    if not config.ranges:
        # Of a run that has moved, which knows its ranges, they may be away.
        inception.check(config)
    names = (*config.modalities, config.target)
    source = sources.find(config.data_dir, names)
    _check_channels(source.channels)
    channels = source.channels[config.target]
    if config.target_channels not in (None, channels):
        raise ValueError(
            f"target_channels is {config.target_channels} by the settings and "
            f"{channels} by the data; drop the setting, or give images of "
            f"{config.target} with {config.target_channels} channels"
        )
    read = functools.cache(source.read)
    ranges = config.ranges or _ranges(source, read, names)
    config = dataclasses.replace(
        config, target_channels=channels, ranges=ranges
    )

    @functools.cache
    def examples(split: str) -> PreparedExamples:
        margin = config.margin if split == "train" else 0
        return PreparedExamples(read(split), config, config.side + margin)

    return Data(
        config,
        source.sizes,
        lambda epoch: _training(examples("train"), config, epoch),
        lambda split: _evaluation(examples(split), config),
        lambda split: _look(read(split), config),
        (
            f"all images are brought to {config.side} x {config.side} pixels",
            values.in_words(names, ranges),
            *source.notes,
        ),
    )


def _ranges(
    source: Source, read: Callable[[str], Sequence], names: tuple[str, ...]
) -> tuple[values.Range, ...]:
    """Those that are known, and of the others those of the training part."""
    unknown = [name for name in names if name not in source.ranges]
    found = dict(source.ranges)
    if unknown:
        part = "train" if "train" in source.sizes else next(iter(source.sizes))
        found |= values.learn(read(part), unknown)
    return tuple(found[name] for name in names)


def _look(examples: Sequence, config: Config) -> Findings:
    """Sizes and values as they are stored."""
    seen = [examples[index] for index in findings.some(len(examples))]
    return Findings(
        len(examples),
        {
            name: images.in_words(example[name] for example in seen)
            for name in (*config.modalities, config.target)
        },
        looked_at=len(seen),
    )


def unlabeled(
    config: Config, data_dir: Path, problems: list[str]
) -> Iterator[tuple[str, dict[str, np.ndarray], tuple[int, int]]]:
    """Yields (id, inputs of a batch of one, original height and width).

    What cannot be read is left out, and said in `problems`.
    """
    identifiers, examples = sources.unlabeled_examples(
        data_dir, config.modalities, problems
    )
    for index, identifier in enumerate(identifiers):
        try:
            example = examples[index]
            pixels = prepare(example, config.modalities, config, config.side)
        except ValueError as error:
            problems.append(f"{identifier}: {error}")
            continue
        inputs = {
            name: model_input(image, value_range)[None]
            for name, image, value_range in zip(
                config.modalities, pixels, config.ranges, strict=False
            )
        }
        size = next(iter(example.values())).shape[:2]
        yield identifier, inputs, size


class PreparedExamples(Sequence):
    """The examples of a split, resized; kept in memory if they are small."""

    def __init__(self, examples: Sequence, config: Config, side: int) -> None:
        if not len(examples):
            raise ValueError(f"{config.data_dir} has an empty split.")
        self.config = config
        self.examples = examples
        self.side = side
        self.kept = None
        size = sum(image.nbytes for image in self[0])
        if size * len(examples) <= MEMORY_BYTES:
            # Decoders let go of the interpreter lock.
            with ThreadPoolExecutor() as pool:
                self.kept = list(pool.map(self._prepare, range(len(examples))))

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Images:
        if self.kept is not None:
            return self.kept[index]
        return self._prepare(index)

    def _prepare(self, index: int) -> Images:
        names = (*self.config.modalities, self.config.target)
        try:
            return prepare(self.examples[index], names, self.config, self.side)
        except ValueError as error:
            raise ValueError(f"example {index + 1}: {error}") from error


def prepare(
    example: dict[str, np.ndarray],
    names: Sequence[str],
    config: Config,
    side: int,
) -> Images:
    """Images of the names, squeezed to a square, as they are stored."""
    # Without the target where it is to be predicted.
    for name, value_range in zip(names, config.ranges, strict=False):
        values.check(example[name], value_range, name)
    return tuple(
        images.resize_as_stored(example[name], (side, side)) for name in names
    )


def model_input(image: np.ndarray, value_range: values.Range) -> np.ndarray:
    return images.three_channels(values.scaled(image, value_range))


def _training(
    examples: PreparedExamples, config: Config, first_epoch: int
) -> tuple[tf.data.Dataset, int]:
    def cropped(index: int, draws: np.ndarray) -> Images:
        return _elements(crop(examples[index], draws, config), config)

    def read(epoch: tf.Tensor, index: tf.Tensor) -> tuple:
        key = epochs.random_key(config.seed, epoch, index)
        draws = tf.random.stateless_uniform([DRAWS], key)
        types = ["float32"] * (len(config.modalities) + 1)
        arrays = tf.numpy_function(cropped, (index, draws), types)
        return _named(arrays, config)

    chosen = epochs.examples(
        len(examples), config.batch_size, config.seed, first_epoch
    )
    dataset = epochs.read_ahead(chosen, read)
    dataset = dataset.batch(config.batch_size, drop_remainder=True)
    dataset = dataset.prefetch(tf.data.AUTOTUNE)
    return dataset, len(examples) // config.batch_size


def crop(pixels: Images, draws: np.ndarray, config: Config) -> Images:
    """The same square of every image, mirrored or not, by uniform draws."""
    top, left = (int(draw * (config.margin + 1)) for draw in draws[:2])
    step = -1 if config.mirror and draws[2] < 0.5 else 1
    return tuple(
        image[top : top + config.side, left : left + config.side][:, ::step]
        for image in pixels
    )


def _evaluation(examples: PreparedExamples, config: Config) -> tf.data.Dataset:
    def read(index: tf.Tensor) -> tuple:
        types = ["float32"] * (len(config.modalities) + 1)
        arrays = tf.numpy_function(
            lambda index: _elements(examples[index], config), (index,), types
        )
        return _named(arrays, config)

    dataset = epochs.read_ahead(tf.data.Dataset.range(len(examples)), read)
    return dataset.batch(config.batch_size).prefetch(tf.data.AUTOTUNE)


def _elements(pixels: Images, config: Config) -> Images:
    *inputs, target = (
        values.scaled(image, value_range)
        for image, value_range in zip(pixels, config.ranges, strict=True)
    )
    if config.target_channels == 3:
        target = images.three_channels(target)
    return (*map(images.three_channels, inputs), target)


def _named(
    arrays: list[tf.Tensor], config: Config
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    *pixels, target = arrays
    for image in pixels:
        image.set_shape([config.side, config.side, 3])
    target.set_shape([config.side, config.side, config.target_channels])
    inputs = dict(zip(config.modalities, pixels, strict=True))
    return inputs, {name: target for name in output_names(config)}


def _check_channels(channels: dict[str, int]) -> None:
    wrong = {n: c for n, c in channels.items() if images.as_color(c) != 3}
    if wrong:
        listed = ", ".join(f"{name} {count}" for name, count in wrong.items())
        raise ValueError(
            f"an image must have 1 or 3 channels, received {listed}; split "
            "other bands into modalities of their own"
        )
