"""The model of the next word, its start from word vectors, its learning."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from applications import schedules
from applications.captioning import optimizer as published
from applications.captioning.backbones import BACKBONES
from applications.captioning.config import Config
from applications.captioning.data import NEXT
from applications.captioning.vectors import vectors_of
from applications.inputs import caption as captions
from keras_fusion import models
from keras_fusion.metrics import Perplexity
from keras_fusion.models import CAPTION_DECODERS

# Of the learning rate, for models in which the image multiplies.
GATED = 0.1


def build_model(config: Config) -> keras.Model:
    model = models.captioner(
        config.feature_shape,
        len(config.words) + captions.RESERVED,
        decoder=config.model,
        encoder=BACKBONES[config.backbone].encoder,
        image_units=config.image_units,
        embedding_size=config.embedding_size,
        context=config.context,
        factors=config.factors,
        units=config.units,
        num_heads=config.num_heads,
        num_blocks=config.num_blocks,
        length=config.length + 1,
        dropout=config.dropout,
    )
    if config.word_vectors is not None:
        start_from_vectors(model, config)
    model.compile(
        optimizer=OPTIMIZERS[config.optimizer](config),
        loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=captions.PADDING
        ),
        weighted_metrics={
            NEXT: [Perplexity(from_logits=True, ignore_class=captions.PADDING)]
        },
    )
    # A callback sets its momentum before the first step.
    model.optimizer.build(model.trainable_variables)
    return model


def start_from_vectors(model: keras.Model, config: Config) -> None:
    """Known words begin with their vectors; others stay as they are drawn.

    Their size is brought to that of the words that are drawn, which the
    layers are made for. `mlbl_f` factors the table, as in the paper.
    """
    vectors = vectors_of(config)
    _, tell = models.caption_parts(model)
    layer = tell.get_layer(CAPTION_DECODERS[config.model].table)
    factored = hasattr(layer, "assign_embeddings")
    if factored:
        table = keras.ops.convert_to_numpy(
            keras.ops.matmul(layer.word_factors, layer.embedding_factors)
        )
    else:
        table = keras.ops.convert_to_numpy(layer.embeddings)
    places = [captions.RESERVED + config.words.index(word) for word in vectors]
    known = np.stack(list(vectors.values()))
    table = table.copy()
    table[places] = known * (table.std() / max(known.std(), 1e-9))
    if factored:
        layer.assign_embeddings(table)
    else:
        layer.embeddings.assign(table)
    print(
        f"{config.word_vectors}: {len(vectors):,} of {len(config.words):,} "
        "words start from their vectors"
    )


def start_rate(config: Config) -> float:
    """The learning rate; the published one is a tenth where images gate."""
    gated = CAPTION_DECODERS[config.model].gated
    return config.learning_rate * (
        GATED if gated and config.optimizer == "published" else 1.0
    )


def _adam(config: Config) -> keras.optimizers.Optimizer:
    return keras.optimizers.AdamW(
        start_rate(config),
        weight_decay=config.weight_decay,
        global_clipnorm=5.0,
    )


def _published(config: Config) -> keras.optimizers.Optimizer:
    low, _ = published.MOMENTUM
    # The paper does not clip; without it its rate diverges from our starts on
    # features of networks.
    return published.DecayedMomentum(
        start_rate(config),
        momentum=low,
        decays=published.DECAYS,
        global_clipnorm=1.0,
    )


OPTIMIZERS = {"adam": _adam, "published": _published}


def callbacks(
    config: Config, batch: Any, run_dir: Path
) -> list[keras.callbacks.Callback]:
    rate = start_rate(config)
    if config.optimizer == "published":
        decayed = keras.callbacks.LearningRateScheduler(
            lambda epoch: rate * published.RATE_DECAY**epoch
        )
        return [published.RisingMomentum(), decayed]
    return [
        keras.callbacks.LearningRateScheduler(
            lambda epoch: schedules.warm_up_and_cosine(
                epoch, config.epochs, rate
            )
        )
    ]
