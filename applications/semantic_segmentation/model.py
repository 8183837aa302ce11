"""The network, its losses and its optimizer."""

from pathlib import Path
from typing import Any

import keras

from applications.inputs.image import IMAGENET_DEVIATION
from applications.inputs.mask import IGNORE
from applications.schedules import warm_up_and_cosine
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
IMAGENET = {
    (3, 4, 6, 3): "ResNet50",
    (3, 4, 23, 3): "ResNet101",
    (3, 8, 36, 3): "ResNet152",
}
STAGES = (1.0, 1.5 / 3, 0.7 / 3)
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
        start_from(imagenet_resnet(config), model)
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


def start_from(source: keras.Model, model: keras.Model) -> None:
    """Loads an encoder whose images come as this task standardizes them.

    The source wants blue, green, red, from 0 to 255 less their means; here
    come red, green, blue, less their means and over their deviations.
    """
    models.load_imagenet_encoder(model, source)
    stem = model.get_layer("stem_conv")
    deviation = 255 * IMAGENET_DEVIATION.reshape(3, 1)
    stem.kernel.assign(stem.kernel[:, :, ::-1] * deviation)


def imagenet_resnet(config: Config) -> keras.Model:
    """The ResNet of `keras.applications` with as many blocks, downloaded."""
    if config.blocks not in IMAGENET:
        raise ValueError(
            "ImageNet weights exist for --blocks "
            f"{', or '.join(' '.join(map(str, b)) for b in IMAGENET)}; "
            f"received {' '.join(map(str, config.blocks))}"
        )
    builder = getattr(keras.applications, IMAGENET[config.blocks])
    try:
        return builder(include_top=False, weights="imagenet")
    except Exception as error:
        raise ValueError(
            f"the ImageNet weights cannot be downloaded ({error}); put them "
            "into the folder that keras.applications uses, or train with "
            "--pretrained nothing"
        ) from error


def make_optimizer(config: Config) -> keras.optimizers.Optimizer:
    multipliers = {ENCODER: config.encoder_rate}
    if len(output_names(config)) > 1:
        multipliers[ENSEMBLE] = config.ensemble_rate
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

    The published stages are 3e-3, 1.5e-3 and 7e-4 for the decoder. They
    re-create the optimizer, and so forget its momentum; this one keeps it.
    """
    if config.optimizer == "sgd":
        return config.learning_rate * STAGES[3 * epoch // config.epochs]
    return warm_up_and_cosine(epoch, config.epochs, config.learning_rate)


def callbacks(
    config: Config, batch: Any, run_dir: Path
) -> list[keras.callbacks.Callback]:
    logs = run_dir / "logs" / "fusion"
    return [
        keras.callbacks.LearningRateScheduler(
            lambda epoch: learning_rate_at(epoch, config)
        ),
        fusion_callbacks.FusionMonitor(config.modalities, logs),
        fusion_callbacks.ModalityBalance(batch, logs),
    ]
