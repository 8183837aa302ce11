"""Encoders, a fusion with a refiner around it, a classifier; its losses."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from applications.inputs import text as texts
from applications.multimodal_classification import frozen
from applications.multimodal_classification import refining
from applications.multimodal_classification import text_encoders
from applications.multimodal_classification.config import LATE
from applications.multimodal_classification.config import Config
from applications.multimodal_classification.phases import MODALITY_DROPOUT
from keras_fusion import layers
from keras_fusion import losses
from keras_fusion import models

EMBEDDING, LABEL, PRESENCE = "embedding", "label", "presence"
FUSED = "fused"
# Samples of a sound's window, and bands of its spectrogram.
WINDOW, BANDS = 256, 32


def output_names(config: Config) -> tuple[str, ...]:
    """The outputs that labels are compared with, in order."""
    if config.fusion == LATE:
        return (LABEL, *(branch(name) for name in config.modalities))
    return (LABEL, EMBEDDING) if config.similarity_weight else (LABEL,)


def branch(modality: str) -> str:
    """The name of the prediction from a modality alone, of late fusion."""
    return f"{LABEL}_from_{modality}"


def target_name(modality: str, config: Config) -> str:
    """The layer whose output the refiner rebuilds of a modality."""
    wanted = "vector" if config.refiner_targets == "embedding" else "target"
    return f"{modality}_{wanted}"


def build_model(config: Config) -> keras.Model:
    inputs, vectors, targets = {}, [], []
    networks = {
        kind: frozen.MODULES[kind].make(config) for kind in config.network_kinds
    }
    encoders = ENCODERS | {
        kind: _from(network, RAW[kind]) for kind, network in networks.items()
    }
    for name in config.modalities:
        encoder = encoders[config.kind(name)]
        inputs[name], raw, features = encoder(name, config)
        vector = keras.layers.Dense(
            config.units, activation="relu", name=f"{name}_vector"
        )(features)
        vectors.append(vector)
        targets.append(_target(name, config, vector, raw))
    inputs[PRESENCE] = keras.Input((len(vectors),), name=PRESENCE)
    if config.fusion == LATE:
        outputs = _late(vectors, inputs[PRESENCE], config)
    else:
        fused = _fused(vectors, inputs[PRESENCE], targets, config)
        outputs = _of_fused(fused, config)
    model = keras.Model(inputs, outputs, name=frozen.CLASSIFIER)
    if config.frozen_kinds:
        model = frozen.with_encoders(model, networks, config)
    compile_model(model, config)
    return model


def _of_fused(fused: Any, config: Config) -> dict[str, keras.KerasTensor]:
    fused = keras.layers.Identity(name=FUSED)(fused)
    outputs = {LABEL: _classified(fused, LABEL, config)}
    if config.similarity_weight:
        outputs[EMBEDDING] = keras.layers.Identity(
            dtype="float32", name=EMBEDDING
        )(fused)
    return outputs


def _target(name: str, config: Config, vector: Any, raw: Any) -> Any:
    """What is rebuilt of a modality: learned, or what comes in."""
    if config.refiner_targets == "embedding":
        return vector
    flat = keras.layers.Flatten(dtype="float32", name=f"{name}_target")
    return flat(raw)


def _classified(vector: Any, name: str, config: Config) -> Any:
    dropout = keras.layers.Dropout(config.dropout, seed=config.seed)
    dense = keras.layers.Dense(len(config.classes), dtype="float32", name=name)
    return dense(dropout(vector))


def _late(
    vectors: list[Any], presence: Any, config: Config
) -> dict[str, keras.KerasTensor]:
    """A classifier for each modality, and the mean of those that are there.

    One that is missing says nothing, so that it learns nothing either.
    """
    outputs, total = {}, 0.0
    for place, name in enumerate(config.modalities):
        there = ops.cast(presence[:, place : place + 1], "float32")
        said = _classified(vectors[place], f"{name}_alone", config) * there
        total = total + said
        outputs[branch(name)] = keras.layers.Identity(
            dtype="float32", name=branch(name)
        )(said)
    count = ops.sum(ops.cast(presence, "float32"), axis=-1, keepdims=True)
    mean = keras.layers.Identity(dtype="float32", name=LABEL)
    return {LABEL: mean(total / ops.maximum(count, 1.0)), **outputs}


def _fused(
    vectors: list[Any], presence: Any, targets: list[Any], config: Config
) -> keras.KerasTensor:
    if len(vectors) == 1:
        return vectors[0]
    seen, still_there = layers.ModalityDropout(
        config.modality_dropout, seed=config.seed, name=MODALITY_DROPOUT
    )(vectors, presence)
    if config.missing == "token":
        seen = layers.MissingModalityToken(
            keras.initializers.RandomNormal(stddev=0.05, seed=config.seed),
            name="missing_modality",
        )(seen, still_there)
    widths = [config.units] * len(vectors)
    fusion = models.FUSION_LAYERS[config.fusion].make(widths, config.units)
    if not config.refined:
        return fusion(seen)
    # What was hidden is asked for too: the fused vector has to infer it.
    refiner = refining.around(fusion, targets, config)
    return refiner(seen, presence=presence, targets=targets)


def _images(name: str, config: Config) -> tuple:
    side = config.image_side
    picture = keras.Input((side, side, 3), name=name)
    x = _rescaled(picture, name, config)
    return picture, x, _convolutions(x, name, config)


def _rescaled(picture: Any, name: str, config: Config) -> Any:
    return keras.layers.Rescaling(1 / 127.5, offset=-1.0)(picture)


def _from(network: keras.Model, raw: Callable) -> Callable:
    """An encoder that all columns of a kind share, or of its features."""

    def encode(name: str, config: Config) -> tuple:
        if not config.fine_tune:
            features = keras.Input(network.output.shape[1:], name=name)
            return features, features, features
        start = network.input
        given = keras.Input(start.shape[1:], dtype=start.dtype, name=name)
        return given, raw(given, name, config), network(given)

    return encode


def _sounds(name: str, config: Config) -> tuple:
    length = round(config.sound_rate * config.sound_seconds)
    sound = keras.Input((length,), name=name)
    x = keras.layers.MelSpectrogram(
        fft_length=WINDOW,
        sequence_stride=WINDOW // 2,
        sampling_rate=config.sound_rate,
        num_mel_bins=BANDS,
        max_freq=config.sound_rate / 2,
        dtype="float32",
    )(sound)
    # Decibels, silence being -80.
    x = keras.layers.Rescaling(1 / 40, offset=1.0)(x[..., None])
    return sound, x, _convolutions(x, name, config)


def _convolutions(x: Any, name: str, config: Config) -> Any:
    for number, filters in enumerate(config.filters, 1):
        x = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            activation="relu",
            name=f"{name}_convolution_{number}",
        )(x)
        if min(x.shape[1:3]) > 1:
            x = keras.layers.MaxPooling2D(2)(x)
    return keras.layers.Flatten()(x)


def _texts(name: str, config: Config) -> tuple:
    words = keras.Input((config.text_length,), dtype="int32", name=name)
    known = len(config.words) + texts.RESERVED
    counts = _counts(words, known, name)
    x = keras.layers.Embedding(
        known,
        config.units,
        mask_zero=config.text_encoder == "bag",
        name=f"{name}_words",
    )(words)
    if config.text_encoder == "bag":
        return words, counts, keras.layers.GlobalAveragePooling1D()(x)
    x = keras.layers.Conv1D(
        config.units,
        3,
        padding="same",
        activation="relu",
        name=f"{name}_convolution",
    )(x)
    return words, counts, keras.layers.GlobalMaxPooling1D()(x)


def _counts(numbers: Any, known: int, name: str) -> Any:
    count = keras.layers.CategoryEncoding(known, "count", name=f"{name}_counts")
    return count(numbers)


def _token_counts(tokens: Any, name: str, config: Config) -> Any:
    return _counts(tokens, text_encoders.vocabulary_size(config), name)


def _table(name: str, config: Config) -> tuple:
    vector = keras.Input((config.columns.width,), name=name)
    return vector, vector, vector


ENCODERS = {
    "images": _images,
    "sounds": _sounds,
    "texts": _texts,
    "table": _table,
}
# What comes in of kinds that networks of other makers encode.
RAW = {"images": _rescaled, "texts": _token_counts}


@keras.saving.register_keras_serializable(package="multimodal_classification")
def labelled_binary_crossentropy(y_true: Any, y_pred: Any) -> Any:
    """Mean over the classes, and over the rows that have labels."""
    known = ops.all(y_true >= 0, axis=-1)
    values = keras.losses.binary_crossentropy(
        ops.where(known[:, None], y_true, 0.0), y_pred, from_logits=True
    )
    known = ops.cast(known, values.dtype)
    return values * known / ops.maximum(ops.mean(known), 1e-6)


def compile_model(model: keras.Model, config: Config) -> None:
    entropy = (
        labelled_binary_crossentropy
        if config.multilabel
        else keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=-1
        )
    )
    loss = dict.fromkeys(output_names(config), entropy)
    weights = dict.fromkeys(loss, 1.0)
    if config.fusion == LATE:
        weights[LABEL] = 0.0  # each branch learns by itself
    if config.similarity_weight:
        loss[EMBEDDING] = losses.MultiSimilarityLoss()
        weights[EMBEDDING] = config.similarity_weight
    model.compile(
        optimizer=keras.optimizers.AdamW(
            config.learning_rate, weight_decay=config.weight_decay
        ),
        loss=loss,
        loss_weights=weights,
    )
