"""From rows as arrays to batches of the task.

An element is `(inputs, targets)`: inputs a dict modality -> tensor, and
`presence` (batch, modalities), 1 where a row has a modality; targets a dict
output -> classes (batch,), or (batch, classes) of 0 and 1. -1 stands for no
label. Which labels are learned from is drawn once, by the seed, the same
share of each class. Where a frozen encoder has made features of a modality
they are there too, in training in its place (`frozen.py`).
"""

import functools

import numpy as np
import tensorflow as tf

from applications import epochs
from applications.findings import Findings
from applications.inputs.image import in_words
from applications.multimodal_classification import batches
from applications.multimodal_classification import frozen
from applications.multimodal_classification import image_encoders
from applications.multimodal_classification import sources
from applications.multimodal_classification import text_encoders
from applications.multimodal_classification.config import LATE
from applications.multimodal_classification.config import Config
from applications.multimodal_classification.model import output_names
from applications.multimodal_classification.sources import UNLABELLED
from applications.multimodal_classification.sources import Examples
from applications.reports import percent
from applications.task import Data

EVALUATION_BATCH = 256


def load_data(config: Config) -> Data:
    """The rows, with their columns, classes and words in the config."""
    return data_of(sources.find(config))


def data_of(source: sources.Source) -> Data:
    """What was found, as batches."""
    config = source.config
    image_encoders.check(config)
    text_encoders.check(config)

    @functools.cache
    def read(name: str) -> Examples:
        examples = source.read(name)
        inputs = examples.inputs | frozen.features(
            examples.inputs, config, required=name == "train"
        )
        return Examples(inputs, examples.presence, examples.labels)

    return Data(
        source.config,
        source.sizes,
        lambda epoch: _training(read("train"), source.config, epoch),
        lambda name: evaluation(read(name), source.config),
        lambda name: look(source.read(name), source.config),
        (
            *source.notes,
            *image_encoders.notes(config),
            *text_encoders.notes(config),
            *_without_refiner(config),
        ),
    )


def _without_refiner(config: Config) -> tuple[str, ...]:
    if config.fusion != LATE or not any(config.refiner_weight):
        return ()
    return (f"the fusion {LATE} has no fused vector, so there is no refiner",)


def look(examples: Examples, config: Config) -> Findings:
    """What is in the inputs, how often they are missing, and the classes."""
    inputs = {}
    for place, name in enumerate(config.modalities):
        missing = 1 - examples.presence[:, place].mean()
        inputs[name] = _described(name, examples.inputs[name], config)
        inputs[name] += f"; missing in {percent(missing)}"
    labelled = examples.labels[examples.labelled]
    inputs["label"] = f"missing in {percent(1 - examples.labelled.mean())}"
    if config.multilabel:
        counts = labelled.sum(axis=0).astype(int)
    else:
        counts = np.bincount(labelled, minlength=len(config.classes))
    classes = dict(zip(config.classes, counts.tolist(), strict=True))
    return Findings(len(examples), inputs, classes)


def _described(name: str, values: np.ndarray, config: Config) -> str:
    kind = config.kind(name)
    if kind == "images":
        return f"pictures, brought to {in_words([*values[:500]])}"
    if kind == "sounds":
        return f"sounds, {config.sound_seconds:g} s of {config.sound_rate} Hz"
    if kind == "texts":
        there = values != text_encoders.padding(config)
        longest = int(there.sum(axis=1).max(initial=0))
        if text_encoders.is_preset(config):
            return f"texts of up to {longest} tokens, the preset's marks too"
        return f"texts of up to {longest} words, {len(config.words):,} known"
    return (
        f"{len(config.numbers)} numbers, "
        f"{len(config.table) - len(config.numbers)} other columns with "
        f"{len(config.categories)} values"
    )


def labels_to_learn(examples: Examples, config: Config) -> np.ndarray:
    """The labels without those that `labelled_fraction` leaves out."""
    labels = examples.labels.copy()
    rng = np.random.default_rng(config.seed)
    rows = np.flatnonzero(examples.labelled)
    groups = [str(label) for label in labels[rows].tolist()]
    for group in sorted(set(groups)):
        members = rows[[g == group for g in groups]]
        kept = max(1, round(config.labelled_fraction * len(members)))
        labels[rng.permutation(members)[kept:]] = UNLABELLED
    return labels


def _training(
    examples: Examples, config: Config, first_epoch: int
) -> tuple[tf.data.Dataset, int]:
    labels = labels_to_learn(examples, config)
    count, size = len(labels), config.batch_size
    unused = frozen.modalities(config)
    names = [name for name in examples.inputs if name not in unused]

    def batch(epoch: tf.Tensor, step: tf.Tensor, indices: tf.Tensor) -> tuple:
        inputs, targets = _read(examples, labels, indices, names)
        hidden = tf.fill(tf.shape(targets), tf.cast(UNLABELLED, targets.dtype))
        targets = tf.where(epoch < config.pretrain_epochs, hidden, targets)
        return inputs, dict.fromkeys(output_names(config), targets)

    order = batches.order(labels, config)
    chosen = epochs.batches(count, size, config.seed, first_epoch, order)
    dataset = epochs.read_ahead(chosen, batch).prefetch(tf.data.AUTOTUNE)
    return dataset, count // size


def evaluation(examples: Examples, config: Config) -> tf.data.Dataset:
    """Batches of all rows in their order."""

    names = list(examples.inputs)

    def batch(indices: tf.Tensor) -> tuple:
        inputs, targets = _read(examples, examples.labels, indices, names)
        return inputs, dict.fromkeys(output_names(config), targets)

    order = tf.data.Dataset.range(len(examples)).batch(EVALUATION_BATCH)
    return epochs.read_ahead(order, batch).prefetch(tf.data.AUTOTUNE)


def _read(
    examples: Examples,
    labels: np.ndarray,
    indices: tf.Tensor,
    names: list[str],
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    arrays = [*(examples.inputs[n] for n in names), examples.presence, labels]
    tensors = tf.numpy_function(
        lambda chosen: [values[chosen] for values in arrays],
        (indices,),
        [values.dtype.name for values in arrays],
    )
    for tensor, values in zip(tensors, arrays, strict=True):
        tensor.set_shape((indices.shape[0], *values.shape[1:]))
    *modalities, presence, targets = tensors
    inputs = {
        name: tf.cast(x, "float32") if x.dtype == tf.uint8 else x
        for name, x in zip(names, modalities, strict=True)
    }
    return inputs | {"presence": tf.cast(presence, "float32")}, targets
