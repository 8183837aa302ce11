"""From a source of images with sets of categories to batches of the task.

An element is `(inputs, targets)`: inputs a dict from the model's inputs to
float32 (batch, side, side, channels) from 0 to 255; targets `label`, float32
(batch, categories) of 1, 0 and -1 for unknown, and outside training, where
objects are known and the model has maps, `attention`, uint8 (batch, categories,
56, 56), where they are.

Images of 8 bits keep their values. Others are brought to mean 127.5 and
deviation 64, each image of its own, and cut to the same range.
"""

import dataclasses
import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from applications import epochs
from applications import findings
from applications.datasets.label_sets import GRID
from applications.datasets.label_sets import PRESENT
from applications.datasets.label_sets import UNKNOWN
from applications.datasets.label_sets import Split
from applications.findings import Findings
from applications.inputs import image as images
from applications.multilabel_recognition import category_words
from applications.multilabel_recognition import sources
from applications.multilabel_recognition.config import Config
from applications.reports import percent
from applications.task import Data
from keras_fusion.models import CATEGORY_POOLINGS
from keras_fusion.models import label_cooccurrence

LABEL, ATTENTION = "label", "attention"
EVALUATION_BATCH = 64
# Images brought to their side stay in memory up to this size.
MEMORY_BYTES = 2**31
MIDDLE, SPREAD = 127.5, 64.0
DRAWS = 6


def load_data(config: Config) -> Data:
    """The data, with categories and their co-occurrence in the config."""
    source = sources.find(config)
    if config.classes and config.classes != source.classes:
        raise ValueError(
            f"classes are {', '.join(config.classes)} by the settings and "
            f"{', '.join(source.classes)} by the data; drop the setting, or "
            "name the data's classes"
        )
    config = dataclasses.replace(config, classes=source.classes)
    if _has_graph(config) and not config.cooccurrence:
        if "train" in source.sizes:
            config = _with_graph(config, source.read("train"))
    notes = source.notes
    if lacking := category_words.missing(config):
        notes = (
            f"learned, as {config.word_vectors} lacks them: "
            + ", ".join(lacking),
            *notes,
        )

    @functools.cache
    def pictures(name: str) -> "Pictures":
        return Pictures(source.read(name), config)

    return Data(
        config,
        source.sizes,
        lambda epoch: _training(pictures("train"), config, epoch),
        lambda name: evaluation(pictures(name), config),
        lambda name: _look(name, source.read(name), config),
        notes,
    )


def _has_graph(config: Config) -> bool:
    own = CATEGORY_POOLINGS[config.pooling].per_category
    return own and config.graph_steps > 0


def _with_graph(config: Config, split: Split) -> Config:
    graph = label_cooccurrence(split.labels)
    numbers = tuple(round(float(x), 4) for x in graph.ravel())
    return dataclasses.replace(config, cooccurrence=numbers)


def _look(name: str, split: Split, config: Config) -> Findings:
    """Sizes and values, and how many images have each category."""
    counts = (split.labels == PRESENT).sum(axis=0)
    if not counts.any():
        raise ValueError(
            f"no image of the {name} part has a category, so there is nothing "
            "to learn or to measure; give labels of what is there"
        )
    seen = findings.some(len(split))
    read = [split.read(int(index)) for index in seen]
    inputs = {
        modality: images.in_words(example[modality] for example in read)
        for modality in config.modalities
    }
    none = int((split.labels != PRESENT).all(axis=1).sum())
    unknown = percent(float((split.labels == UNKNOWN).mean()))
    inputs["labels"] = (
        f"{counts.sum() / len(split):.2f} an image, {none:,} images without, "
        f"{unknown} unknown"
    )
    if split.regions is None:
        inputs["objects"] = "where they are is not known"
    classes = dict(zip(config.classes, counts.tolist(), strict=True))
    return Findings(len(split), inputs, classes, looked_at=len(seen))


class Pictures:
    """The images of a split as the model sees them, by their indices."""

    def __init__(self, split: Split, config: Config) -> None:
        self.split = split
        self.config = config
        self.kept: list[np.ndarray] | None = None
        if not len(split):
            raise ValueError(f"{config.data_dir} has an empty split")
        if self._prepare(0).nbytes * len(split) <= MEMORY_BYTES:
            self.kept = self._all(range(len(split)))

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """float32 (count, side, side, 3 * modalities)."""
        if self.kept is None:
            pixels = self._all(indices)
        else:
            pixels = [self.kept[index] for index in indices]
        return np.stack(pixels).astype("float32")

    def _all(self, indices: Sequence[int]) -> list[np.ndarray]:
        # Decoders let go of the interpreter lock.
        with ThreadPoolExecutor() as pool:
            return list(pool.map(self._prepare, indices))

    def _prepare(self, index: int) -> np.ndarray:
        return prepare(self.split.read(int(index)), self.config)


def prepare(example: dict[str, np.ndarray], config: Config) -> np.ndarray:
    """All modalities at their side, three channels each, one behind another."""
    brought = []
    for name in config.modalities:
        image = example[name]
        if image.shape[2] not in (1, 3):
            raise ValueError(
                f"an image must have 1 or 3 channels, received {name} of "
                f"{image.shape[2]}; split other bands into modalities of "
                "their own"
            )
        image = images.resize_as_stored(image, (config.side, config.side))
        brought.append(images.three_channels(to_bytes_range(image)))
    return np.concatenate(brought, axis=-1)


def to_bytes_range(image: np.ndarray) -> np.ndarray:
    """Values from 0 to 255: of 8 bits as they are, of others by statistics."""
    if image.dtype == np.uint8:
        return image
    values = images.of_own_statistics(image).values()
    return np.clip(MIDDLE + SPREAD * values, 0, 255).astype("float32")


def as_inputs(pixels: tf.Tensor, config: Config) -> dict[str, tf.Tensor]:
    """The model's inputs from all channels side by side."""
    if len(config.inputs) == 1:
        return {config.inputs[0]: pixels}
    parts = tf.split(pixels, len(config.inputs), axis=-1)
    return dict(zip(config.inputs, parts, strict=True))


def _training(
    pictures: Pictures, config: Config, first_epoch: int
) -> tuple[tf.data.Dataset, int]:
    labels = tf.constant(pictures.split.labels, "float32")
    size = config.batch_size

    def batch(epoch: tf.Tensor, step: tf.Tensor, indices: tf.Tensor) -> tuple:
        pixels = _read(pictures, indices, config)
        key = epochs.random_key(config.seed, epoch, step)
        pixels = augment(pixels, key, config)
        targets = {LABEL: tf.gather(labels, indices)}
        if config.has_maps:
            # Without a loss; it has to be there as the output is.
            targets[ATTENTION] = tf.zeros((size, 1, 1, 1), "uint8")
        return as_inputs(pixels, config), targets

    chosen = epochs.batches(len(pictures), size, config.seed, first_epoch)
    dataset = epochs.read_ahead(chosen, batch).prefetch(tf.data.AUTOTUNE)
    return dataset, len(pictures) // size


def augment(pixels: tf.Tensor, key: tf.Tensor, config: Config) -> tf.Tensor:
    """Random crops, mirrored half of the time, of other contrast and light."""
    count = pixels.shape[0]
    draws = tf.random.stateless_uniform((DRAWS, count), key)
    kept = 1 - config.crop * draws[:2]
    low = draws[2:4] * (1 - kept)
    high = low + kept
    left, right = low[1], high[1]
    if config.mirror:
        turned = draws[4] < 0.5
        left, right = (
            tf.where(turned, right, left),
            tf.where(turned, left, right),
        )
    boxes = tf.stack([low[0], left, high[0], right], axis=1)
    size = (config.side, config.side)
    pixels = tf.image.crop_and_resize(pixels, boxes, tf.range(count), size)
    strength = config.jitter * (2 * draws[4:, :, None, None, None] - 1)
    middle = tf.reduce_mean(pixels, axis=(1, 2, 3), keepdims=True)
    pixels = middle + (pixels - middle) * (1 + strength[1])
    return tf.clip_by_value(pixels * (1 + strength[0]), 0.0, 255.0)


def evaluation(pictures: Pictures, config: Config) -> tf.data.Dataset:
    """Batches of all images in their order."""
    split = pictures.split
    labels = tf.constant(split.labels, "float32")
    count = len(config.classes)

    def regions(indices: np.ndarray) -> np.ndarray:
        return np.stack([split.regions(int(index)) for index in indices])

    def batch(indices: tf.Tensor) -> tuple:
        pixels = _read(pictures, indices, config)
        targets = {LABEL: tf.gather(labels, indices)}
        if config.has_maps and split.regions is not None:
            found = tf.numpy_function(regions, (indices,), "uint8")
            found.set_shape((None, count, GRID, GRID))
            targets[ATTENTION] = found
        elif config.has_maps:
            shape = (tf.shape(indices)[0], 1, 1, 1)
            targets[ATTENTION] = tf.zeros(shape, "uint8")
        return as_inputs(pixels, config), targets

    order = tf.data.Dataset.range(len(pictures)).batch(EVALUATION_BATCH)
    return epochs.read_ahead(order, batch).prefetch(tf.data.AUTOTUNE)


def _read(pictures: Pictures, indices: tf.Tensor, config: Config) -> tf.Tensor:
    pixels = tf.numpy_function(
        lambda chosen: pictures[chosen], (indices,), "float32"
    )
    channels = 3 * len(config.modalities)
    pixels.set_shape((indices.shape[0], config.side, config.side, channels))
    return pixels
