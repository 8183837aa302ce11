"""Encoders, a fusion with a refiner around it, a classifier; its losses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from keras import ops

from applications import schedules
from applications.inputs import text as texts
from applications.multimodal_classification import frozen
from applications.multimodal_classification import image_encoders
from applications.multimodal_classification.config import CONVOLUTIONS
from applications.multimodal_classification.config import Config
from keras_fusion import layers
from keras_fusion import losses
from keras_fusion import models

EMBEDDING, LABEL, PRESENCE = "embedding", "label", "presence"
REFINER_LOSSES = {
    "cosine": losses.RefinerCosineLoss,
    "contrastive": losses.RefinerContrastiveLoss,
    "similarity": losses.RefinerMultiSimilarityLoss,
}
# Samples of a sound's window, and bands of its spectrogram.
WINDOW, BANDS = 256, 32


def output_names(config: Config) -> tuple[str, ...]:
    """The model's outputs, in order."""
    return (LABEL, EMBEDDING) if config.similarity_weight else (LABEL,)


def build_model(config: Config) -> keras.Model:
    inputs, vectors = {}, []
    encoders, network = ENCODERS, None
    if config.image_encoder != CONVOLUTIONS:
        network = image_encoders.make(config)
        encoders = ENCODERS | {"images": _from(network)}
    for name in config.modalities:
        inputs[name], vector = encoders[config.kind(name)](name, config)
        dense = keras.layers.Dense(
            config.units, activation="relu", name=f"{name}_vector"
        )
        vectors.append(dense(vector))
    inputs[PRESENCE] = keras.Input((len(vectors),), name=PRESENCE)
    fused = _fused(vectors, inputs[PRESENCE], config)
    x = keras.layers.Dropout(config.dropout, seed=config.seed)(fused)
    outputs = {
        LABEL: keras.layers.Dense(
            len(config.classes), dtype="float32", name=LABEL
        )(x)
    }
    if config.similarity_weight:
        outputs[EMBEDDING] = keras.layers.Identity(
            dtype="float32", name=EMBEDDING
        )(fused)
    model = keras.Model(inputs, outputs, name=frozen.CLASSIFIER)
    if config.frozen_images:
        model = frozen.with_encoder(model, network, config)
    compile_model(model, config)
    return model


def _fused(
    vectors: list[Any], presence: Any, config: Config
) -> keras.KerasTensor:
    if len(vectors) == 1:
        return vectors[0]
    seen, still_there = layers.ModalityDropout(
        config.modality_dropout, seed=config.seed, name="modality_dropout"
    )(vectors, presence)
    if config.missing == "token":
        seen = layers.MissingModalityToken(
            keras.initializers.RandomNormal(stddev=0.05, seed=config.seed),
            name="missing_modality",
        )(seen, still_there)
    widths = [config.units] * len(vectors)
    fusion = models.FUSION_LAYERS[config.fusion].make(widths, config.units)
    if not config.refiner_weight:
        return fusion(seen)
    # What was hidden is asked for too: the fused vector has to infer it.
    return layers.Refiner(
        fusion,
        hidden_units=config.refiner_units,
        loss=_refiner_loss(config.refiner_loss),
        loss_weights=config.refiner_weight,
        stop_gradient=config.stop_gradient,
        name="refiner",
    )(seen, presence=presence, targets=vectors)


def _refiner_loss(name: str) -> Any:
    if name == "mse":
        return "mean_squared_error"
    return REFINER_LOSSES[name]()


def _images(name: str, config: Config) -> tuple:
    side = config.image_side
    picture = keras.Input((side, side, 3), name=name)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(picture)
    return picture, _convolutions(x, name, config)


def _from(network: keras.Model) -> Callable:
    """An encoder of pictures that all columns share, or of its features."""

    def encode(name: str, config: Config) -> tuple:
        if config.frozen_images:
            features = keras.Input(network.output.shape[1:], name=name)
            return features, features
        picture = keras.Input(network.input.shape[1:], name=name)
        return picture, network(picture)

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
    return sound, _convolutions(x, name, config)


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
    x = keras.layers.Embedding(
        len(config.words) + texts.RESERVED,
        config.units,
        mask_zero=config.text_encoder == "bag",
        name=f"{name}_words",
    )(words)
    if config.text_encoder == "bag":
        return words, keras.layers.GlobalAveragePooling1D()(x)
    x = keras.layers.Conv1D(
        config.units,
        3,
        padding="same",
        activation="relu",
        name=f"{name}_convolution",
    )(x)
    return words, keras.layers.GlobalMaxPooling1D()(x)


def _table(name: str, config: Config) -> tuple:
    vector = keras.Input((config.columns.width,), name=name)
    return vector, vector


ENCODERS = {
    "images": _images,
    "sounds": _sounds,
    "texts": _texts,
    "table": _table,
}


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
    loss: dict[str, Any] = {
        LABEL: labelled_binary_crossentropy
        if config.multilabel
        else keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=-1
        )
    }
    weights = {LABEL: 1.0}
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


def callbacks(
    config: Config, batch: Any, run_dir: Path
) -> list[keras.callbacks.Callback]:
    return [
        frozen.CheckFeatures(batch, config),
        keras.callbacks.LearningRateScheduler(
            lambda epoch: schedules.warm_up_and_cosine(
                epoch, config.epochs, config.learning_rate
            )
        ),
    ]
