"""From images and captions to batches of the task.

An element is `(inputs, targets)`: inputs `image` (batch, ...), pixels or
features, and `words` int32 (batch, width), from the start on; targets `next`,
the word behind each, 0 behind the end. An example is a caption, with its image
beside it.
"""

import numpy as np
import tensorflow as tf

from applications import epochs
from applications.captioning import sources
from applications.captioning.config import Config
from applications.captioning.sources import Examples
from applications.captioning.vectors import vectors_of
from applications.findings import Findings
from applications.inputs import caption as captions
from applications.inputs.image import in_words
from applications.reports import percent
from applications.task import Data

EVALUATION_BATCH = 256
IMAGE, WORDS, NEXT = "image", "words", "next"
LOOKED_AT = 500


def load_data(config: Config) -> Data:
    """The captions, with their words in the config."""
    source = sources.find(config)
    # Of a run that has learned them the file need not be there any more.
    if config.word_vectors is not None and not config.words:
        vectors_of(source.config)
    sizes = {name: len(p.captions) for name, p in source.parts.items()}
    return Data(
        source.config,
        sizes,
        lambda epoch: training(source.read("train"), source.config, epoch),
        lambda name: evaluation(source.read(name)),
        lambda name: look(source.read(name), source.config),
        source.notes,
    )


def look(examples: Examples, config: Config) -> Findings:
    """What is in the images and the captions."""
    images, words = examples.images, examples.words
    seen = f"{len(images):,} images"
    if images.dtype == np.uint8:
        seen += f", brought to {in_words([*images[:LOOKED_AT]])}"
    else:
        shape = " x ".join(map(str, images.shape[1:]))
        seen += f", {shape} features of {config.backbone}"
    each = np.bincount(examples.image_of, minlength=len(images))
    said = words >= captions.UNKNOWN
    lengths = said.sum(axis=1)
    unknown = (words == captions.UNKNOWN).sum() / max(1, said.sum())
    text = (
        f"{_range(each)} an image, of {_range(lengths)} words, "
        f"{len(config.words):,} known, {percent(unknown)} unknown"
    )
    if examples.cut:
        text += f"; {examples.cut:,} cut after {config.length} words"
    return Findings(len(words), {"images": seen, "captions": text})


def _range(counts: np.ndarray) -> str:
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"


def training(
    examples: Examples, config: Config, first_epoch: int
) -> tuple[tf.data.Dataset, int]:
    count, size = len(examples.words), config.batch_size
    chosen = epochs.batches(count, size, config.seed, first_epoch)
    dataset = epochs.read_ahead(
        chosen, lambda epoch, step, indices: _batch(examples, indices)
    )
    return dataset.prefetch(tf.data.AUTOTUNE), count // size


def evaluation(examples: Examples) -> tf.data.Dataset:
    """Batches of all captions in their order."""
    order = tf.data.Dataset.range(len(examples.words)).batch(EVALUATION_BATCH)
    dataset = epochs.read_ahead(
        order, lambda indices: _batch(examples, indices)
    )
    return dataset.prefetch(tf.data.AUTOTUNE)


def _batch(examples: Examples, indices: tf.Tensor) -> tuple[dict, dict]:
    images, image_of, words, _ = examples
    pixels, said = tf.numpy_function(
        lambda chosen: [images[image_of[chosen]], words[chosen]],
        (indices,),
        [images.dtype.name, "int32"],
    )
    pixels.set_shape((indices.shape[0], *images.shape[1:]))
    said.set_shape((indices.shape[0], words.shape[1]))
    inputs = {IMAGE: tf.cast(pixels, "float32"), WORDS: said[:, :-1]}
    return inputs, {NEXT: said[:, 1:]}
