"""The network, its losses and its optimizer."""

from pathlib import Path
from typing import Any

import keras

from applications.inputs.mask import IGNORE
from applications.schedules import warm_up_and_cosine
from applications.semantic_segmentation import imagenet
from applications.semantic_segmentation.config import Config
from applications.semantic_segmentation.config import output_names
from applications.settings import select
from keras_fusion import callbacks as fusion_callbacks
from keras_fusion import losses
from keras_fusion import models
from keras_fusion import optimizers

ENSEMBLE = "ensemble_weights/alpha"
# RefineNet's layers in front of the decoder are named for these.
ENCODER = r"^(stem|stage\d)"
# Of SGD, in thirds of the training: what the learning rates of the decoder
# and of the encoder start with is multiplied by.
DECODER_STAGES = (1.0, 1.5 / 3, 0.7 / 3)
ENCODER_STAGES = (1.0, 2.5 / 5, 1.0 / 5)
CLIPNORM = 5.0


def build_model(config: Config) -> keras.Model:
    model = models.refinenet(
        **select(
            config,
            models.refinenet,
            num_classes=len(config.classes),
            gamma_initializer=keras.initializers.RandomUniform(0, config.gamma),
        )
    )
    if config.pretrained == "imagenet":
        imagenet.start(model, config)
    names = output_names(config)
    model.compile(
        optimizer=make_optimizer(config),
        loss={
            name: losses.SparseCrossentropyAndDice(
                dice_weight=config.dice,
                ignore_class=IGNORE,
                over_batch=config.over_batch,
            )
            for name in names
        },
        metrics={
            names[-1]: [
                keras.metrics.MeanIoU(
                    len(config.classes),
                    ignore_class=IGNORE,
                    sparse_y_pred=False,
                    name="mean_iou",
                )
            ]
        },
    )
    return model


def make_optimizer(config: Config) -> keras.optimizers.Optimizer:
    multipliers = multipliers_at(0, config)
    if config.optimizer == "sgd":
        return optimizers.MultiRateSGD(
            config.learning_rate,
            momentum=0.9,
            l2=config.weight_decay,
            multipliers=multipliers,
        )
    return optimizers.MultiRateAdamW(
        config.learning_rate,
        weight_decay=config.weight_decay,
        clipnorm=CLIPNORM,
        multipliers=multipliers,
    )


def learning_rate_at(epoch: int, config: Config) -> float:
    """AdamW: a warm-up of a twentieth, then half a cosine. SGD: three stages.

    The published stages are 3e-3, 1.5e-3 and 7e-4 for the decoder.
    """
    if config.optimizer == "sgd":
        return config.learning_rate * DECODER_STAGES[stage(epoch, config)]
    return warm_up_and_cosine(epoch, config.epochs, config.learning_rate)


def multipliers_at(epoch: int, config: Config) -> dict[str, float]:
    """Factors on the learning rate for the weights that have their own.

    With SGD the encoder has stages of its own, as published: 5e-4, 2.5e-4 and
    1e-4, so that its factor falls from 1/6 to 1/7 in the last.
    """
    encoder = config.encoder_rate
    if config.optimizer == "sgd":
        number = stage(epoch, config)
        encoder *= ENCODER_STAGES[number] / DECODER_STAGES[number]
    multipliers = {ENCODER: encoder}
    if len(output_names(config)) > 1:
        multipliers[ENSEMBLE] = config.ensemble_rate
    return multipliers


def stage(epoch: int, config: Config) -> int:
    return 3 * epoch // config.epochs


class Stages(keras.callbacks.Callback):
    """Begins each stage of SGD with its factors and without momentum."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        optimizer = self.model.optimizer
        multipliers = multipliers_at(epoch, self.config)
        if multipliers != optimizer.multipliers:
            optimizer.change_multipliers(multipliers)
            self.model.make_train_function(force=True)
        before = stage(max(0, epoch - 1), self.config)
        if stage(epoch, self.config) > before:
            for velocity in optimizer.momentums:
                velocity.assign(keras.ops.zeros_like(velocity))


def callbacks(
    config: Config, batch: Any, run_dir: Path
) -> list[keras.callbacks.Callback]:
    logs = run_dir / "logs" / "fusion"
    stages = [Stages(config)] if config.optimizer == "sgd" else []
    return [
        *stages,
        keras.callbacks.LearningRateScheduler(
            lambda epoch: learning_rate_at(epoch, config)
        ),
        fusion_callbacks.FusionMonitor(config.modalities, logs),
        fusion_callbacks.ModalityBalance(batch, logs),
    ]
