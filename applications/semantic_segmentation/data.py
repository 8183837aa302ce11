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

from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from applications.datasets.paired_folder import IGNORE
from applications.datasets.paired_folder import LABEL
from applications.datasets.paired_folder import as_color
from applications.semantic_segmentation.config import output_names
from applications.semantic_segmentation.sources import labeled_splits
from applications.semantic_segmentation.sources import unlabeled_examples
from applications.training import Data

if TYPE_CHECKING:
    from applications.semantic_segmentation.config import Config

# Decoded examples up to this size stay in memory, larger splits are decoded
# anew in every epoch.
MEMORY_BYTES = 2**30
COMMON_DRAWS = 5
OWN_DRAWS = 3
EPSILON = 1e-6
IMAGENET_MEAN = np.array((0.485, 0.456, 0.406), "float32")
IMAGENET_DEVIATION = np.array((0.229, 0.224, 0.225), "float32")


class Standard(NamedTuple):
    """An image that becomes `(image - offset) * factor` wherever it is read."""

    image: np.ndarray
    offset: np.ndarray | float
    factor: np.ndarray | float


class Fitted(NamedTuple):
    """One example, resized, its label (height, width) uint8."""

    images: tuple[Standard, ...]
    label: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        return self.label.shape


def load_data(config: "Config", first_epoch: int = 0) -> Data:
    """The splits of `config.data_dir`; those that it has not are None."""
    splits = {
        name: FittedExamples(examples, config)
        for name, examples in labeled_splits(config).items()
    }
    train, steps = None, 0
    if "train" in splits:
        train = _training(splits["train"], config, first_epoch)
        steps = len(splits["train"]) // config.batch_size
    evaluation = [
        _evaluation(splits[name], config) if name in splits else None
        for name in ("validation", "test")
    ]
    return Data(train, steps, *evaluation)


def unlabeled(
    config: "Config", data_dir: str
) -> Iterator[tuple[str, dict[str, np.ndarray], tuple[int, int]]]:
    """Yields (id, inputs of a batch of one, original height and width)."""
    identifiers, examples = unlabeled_examples(config, data_dir)
    for identifier, example in zip(identifiers, examples, strict=True):
        size = next(iter(example.values())).shape[:2]
        fitted = fit(example, config)
        inputs = {
            name: _three_channels(_standardized(image))[None]
            for name, image in zip(
                config.modalities, fitted.images, strict=True
            )
        }
        yield identifier, inputs, size


class FittedExamples(Sequence):
    """The examples of a split, resized; kept in memory if they are small."""

    def __init__(self, examples: Sequence, config: "Config"):
        if not len(examples):
            raise ValueError(f"{config.data_dir} has an empty split.")
        self.config = config
        self.examples = examples
        self.kept = None
        first = self[0]
        self.channels = tuple(
            as_color(standard.image.shape[2]) for standard in first.images
        )
        size = first.label.nbytes + sum(s.image.nbytes for s in first.images)
        if size * len(examples) <= MEMORY_BYTES:
            # Decoders let go of the interpreter lock.
            with ThreadPoolExecutor() as pool:
                self.kept = list(pool.map(self._fit, range(len(examples))))

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Fitted:
        if self.kept is not None:
            return self.kept[index]
        return self._fit(index)

    def _fit(self, index: int) -> Fitted:
        return fit(self.examples[index], self.config)

    @property
    def same_size(self) -> bool:
        """Known only of examples in memory; others count as different."""
        return self.kept is not None and (
            len({example.size for example in self.kept}) == 1
        )


def fit(example: dict[str, np.ndarray], config: "Config") -> Fitted:
    """Shrinks the short side to `config.resize` and takes the statistics."""
    arrays = [example[name] for name in config.modalities]
    height, width = arrays[0].shape[:2]
    label = example.get(LABEL)
    if label is None:
        label = np.full((height, width), IGNORE, "uint8")
    if 0 < config.resize < min(height, width):
        factor = config.resize / min(height, width)
        size = (round(height * factor), round(width * factor))
        arrays = [_like(resize(array, size), array) for array in arrays]
        label = resize_label(label, size)
    images = tuple(
        Standard(array, *_statistics(name, array, config))
        for name, array in zip(config.modalities, arrays, strict=True)
    )
    return Fitted(images, label)


def training_example(
    example: Fitted, draws: np.ndarray, config: "Config"
) -> tuple[np.ndarray, ...]:
    """A crop of every modality, then of the label.

    `draws` are uniform numbers of [0, 1): scale, top, left, mirror, turn, and
    three for each modality (contrast, brightness, absence).
    """
    low, high = config.scale
    side = max(1, round(config.crop / (low + (high - low) * draws[0])))
    height, width = example.size
    top = _offset(height, side, draws[1])
    left = _offset(width, side, draws[2])
    size = (config.crop, config.crop)
    crops = []
    for index, standard in enumerate(example.images):
        own = draws[COMMON_DRAWS + OWN_DRAWS * index :][:OWN_DRAWS]
        window = _window(standard.image, top, left, side)
        crop = _standardized(standard._replace(image=window))
        crop = _jittered(crop, own, config)
        crop = resize(_padded(crop, example.size, top, left, side, 0), size)
        crops.append(_three_channels(_oriented(crop, draws, config)))
    label = _window(example.label, top, left, side)
    label = _padded(label, example.size, top, left, side, IGNORE)
    label = _oriented(resize_label(label, size), draws, config)
    return (*crops, label.astype("int32"))


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear, antialiased, to (height, width), in float32."""
    image = image.astype("float32", copy=False)
    if image.shape[:2] == tuple(size):
        return image
    planes = [
        Image.fromarray(np.ascontiguousarray(image[..., channel])).resize(
            size[::-1], Image.Resampling.BILINEAR
        )
        for channel in range(image.shape[2])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def resize_label(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(label))
    return np.asarray(image.resize(size[::-1], Image.Resampling.NEAREST))


def _training(
    examples: FittedExamples, config: "Config", first_epoch: int
) -> tf.data.Dataset:
    count = len(examples)
    if count < config.batch_size:
        raise ValueError(
            f"The training part has {count} examples, fewer than a batch of "
            f"{config.batch_size}; choose --batch-size {count} or less."
        )
    seed = tf.constant(config.seed, "int64")
    used = count - count % config.batch_size

    def epoch_order(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count, dtype="int64"),
            tf.stack([seed, epoch]),
        )[:used]
        return tf.data.Dataset.from_tensor_slices(
            (tf.fill([used], epoch), order)
        )

    def crop(epoch: tf.Tensor, index: tf.Tensor) -> tuple:
        key = tf.random.experimental.stateless_fold_in(
            tf.stack([seed, epoch]), index
        )
        draws = tf.random.stateless_uniform(
            [COMMON_DRAWS + OWN_DRAWS * len(config.modalities)], key
        )
        arrays = tf.numpy_function(
            lambda index, draws: training_example(
                examples[index], draws, config
            ),
            (index, draws),
            _types(config),
        )
        return _element(arrays, config, examples.channels, config.crop)

    return (
        tf.data.Dataset.counter(first_epoch)
        .flat_map(_as_it_is(epoch_order))
        .map(_as_it_is(crop), num_parallel_calls=tf.data.AUTOTUNE)
        .batch(config.batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def _evaluation(examples: FittedExamples, config: "Config") -> tf.data.Dataset:
    def whole(index: int) -> tuple[np.ndarray, ...]:
        example = examples[index]
        images = [_three_channels(_standardized(s)) for s in example.images]
        return (*images, example.label.astype("int32"))

    def read(index: tf.Tensor) -> tuple:
        arrays = tf.numpy_function(whole, (index,), _types(config))
        return _element(arrays, config, examples.channels, None)

    return (
        tf.data.Dataset.range(len(examples))
        .map(_as_it_is(read), num_parallel_calls=tf.data.AUTOTUNE)
        .batch(config.batch_size if examples.same_size else 1)
        .prefetch(tf.data.AUTOTUNE)
    )


# These functions hold no control flow for TensorFlow to translate.
_as_it_is = tf.autograph.experimental.do_not_convert


def _types(config: "Config") -> list[str]:
    return ["float32"] * len(config.modalities) + ["int32"]


def _element(
    arrays: list[tf.Tensor],
    config: "Config",
    channels: Sequence[int],
    side: int | None,
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    *images, label = arrays
    label.set_shape([side, side])
    for image, count in zip(images, channels, strict=True):
        image.set_shape([side, side, count])
    inputs = dict(zip(config.modalities, images, strict=True))
    return inputs, {name: label for name in output_names(config)}


def _statistics(
    name: str, image: np.ndarray, config: "Config"
) -> tuple[np.ndarray | float, np.ndarray | float]:
    if config.standardize == "image":
        pixels = image.astype("float32")
        return pixels.mean(), 1 / (pixels.std() + np.float32(EPSILON))
    if name == "rgb":
        return IMAGENET_MEAN * 255, 1 / (IMAGENET_DEVIATION * 255)
    # Whole numbers are counts of a sensor; floats are metric already.
    metric = image.dtype.kind == "f"
    return 0.0, np.float32(1.0 if metric else config.depth_scale)


def _standardized(standard: Standard) -> np.ndarray:
    image = standard.image.astype("float32")
    return (image - standard.offset) * standard.factor


def _like(image: np.ndarray, original: np.ndarray) -> np.ndarray:
    if original.dtype.kind == "u":
        image = np.rint(image)
    return image.astype(original.dtype)


def _three_channels(image: np.ndarray) -> np.ndarray:
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image


def _offset(length: int, side: int, draw: float) -> int:
    """A start in [0, length - side], or, of a short image, the negative"""
    slack = abs(length - side)
    place = min(int(draw * (slack + 1)), slack)
    return place if length >= side else -place


def _window(array: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    """The part of a square window that lies on the image."""
    return array[max(0, top) : top + side, max(0, left) : left + side]


def _padded(
    window: np.ndarray,
    size: tuple[int, int],
    top: int,
    left: int,
    side: int,
    value: int,
) -> np.ndarray:
    if window.shape[:2] == (side, side):
        return window
    before = (max(0, -top), max(0, -left))
    widths = [
        (start, side - start - length)
        for start, length in zip(before, window.shape, strict=False)
    ]
    widths += [(0, 0)] * (window.ndim - 2)
    return np.pad(window, widths, constant_values=value)


def _oriented(
    image: np.ndarray, draws: np.ndarray, config: "Config"
) -> np.ndarray:
    if config.mirror and draws[3] < 0.5:
        image = image[:, ::-1]
    if config.turn:
        image = np.rot90(image, int(4 * draws[4]))
    return np.ascontiguousarray(image)


def _jittered(
    image: np.ndarray, draws: np.ndarray, config: "Config"
) -> np.ndarray:
    """Contrast and brightness noise, in deviations, or nothing at all."""
    contrast, brightness = config.jitter * (2 * draws[:2] - 1)
    if draws[2] < config.modality_dropout:
        return np.zeros_like(image)
    return image * (1 + contrast) + brightness
