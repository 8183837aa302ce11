"""The network, its losses and its optimizer."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from applications import schedules
from applications.multilabel_recognition import backbones
from applications.multilabel_recognition import category_words
from applications.multilabel_recognition.config import Config
from applications.multilabel_recognition.pictures import GraphPicture
from keras_fusion import losses
from keras_fusion import models
from keras_fusion import optimizers

# The layers behind the backbones; all other weights are theirs.
BACKBONES = r"^(?!pooling|queries|graph|output|classifiers)"
FOCAL_GAMMA = 2.0


def build_model(config: Config) -> keras.Model:
    model = models.semantic_attention(
        _backbones(config),
        num_categories=len(config.classes),
        pooling=config.pooling,
        word_vectors=category_words.vectors(config),
        query_units=config.query_units,
        rank=config.rank,
        num_glimpses=config.glimpses,
        hidden_units=config.hidden_units or None,
        out_activation="tanh" if config.hidden_units else None,
        adjacency=adjacency(config),
        graph_steps=config.graph_steps,
        units=config.units,
        dropout=config.dropout,
    )
    multipliers = {}
    if config.backbone_rate not in (0, 1):
        multipliers[BACKBONES] = config.backbone_rate
    model.compile(
        optimizer=optimizers.MultiRateAdamW(
            config.learning_rate,
            weight_decay=config.weight_decay,
            multipliers=multipliers,
        ),
        loss={"label": make_loss(config)},
    )
    return model


def _backbones(config: Config) -> dict[str, keras.Model]:
    channels = 3 * len(config.modalities) // len(config.inputs)
    found = {}
    for name in config.inputs:
        found[name] = backbones.build(
            config.architecture,
            (config.side, config.side, channels),
            config.blocks,
            config.width,
            config.backbone_weights,
            config.map_pooling,
            name,
        )
        if not config.backbone_rate:
            found[name].trainable = False
    return found


def adjacency(config: Config) -> np.ndarray | None:
    """The co-occurrence as a matrix."""
    if not config.cooccurrence:
        return None
    count = len(config.classes)
    return np.reshape(config.cooccurrence, (count, count)).astype("float32")


def make_loss(config: Config) -> keras.losses.Loss:
    if config.loss == "asymmetric":
        return losses.AsymmetricLoss(
            config.negative_gamma, config.positive_gamma, config.clip
        )
    if config.loss == "focal":
        focal = keras.losses.BinaryFocalCrossentropy(
            gamma=FOCAL_GAMMA, from_logits=True
        )
        return losses.KnownLabelLoss(focal)
    return losses.KnownLabelLoss()


def callbacks(
    config: Config, batch: Any, run_dir: Path
) -> list[keras.callbacks.Callback]:
    graph = adjacency(config)
    drawn = [] if graph is None else [GraphPicture(graph, config, run_dir)]
    return [
        keras.callbacks.LearningRateScheduler(
            lambda epoch: schedules.warm_up_and_cosine(
                epoch, config.epochs, config.learning_rate
            )
        ),
        *drawn,
    ]
