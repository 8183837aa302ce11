"""The networks, their losses and their optimizers."""

from pathlib import Path
from typing import Any

import keras

from applications.image_translation import inception
from applications.image_translation.adversarial import ImageTranslator
from applications.image_translation.adversarial import l1
from applications.image_translation.config import Config
from applications.image_translation.config import output_names
from applications.settings import select
from keras_fusion import callbacks as fusion_callbacks
from keras_fusion import models

# Of both optimizers, as published.
BETA_1 = 0.5


def build_model(config: Config) -> ImageTranslator:
    file = inception.weights_file(config)
    if config.inception_weights is not None and file is not None:
        # Those of another network are refused before the training.
        inception.network(file)
    shape = (config.side, config.side, 3)
    generator = models.unet_generator(
        **select(
            config,
            models.unet_generator,
            image_shape=shape,
            gamma_initializer=keras.initializers.RandomUniform(0, config.gamma),
        )
    )
    discriminator = models.patch_discriminator(
        image_shape=(None, None, 3),
        target_channels=config.target_channels,
        width=config.judge_width,
        stages=config.judge_stages,
        unused_norms=config.unused_norms,
    )
    model = ImageTranslator(
        generator,
        discriminator,
        make_optimizer(config),
        config.adversarial,
        name="image_translator",
    )
    names = output_names(config)
    model.compile(
        make_optimizer(config),
        loss=dict.fromkeys(names, "mean_absolute_error"),
        loss_weights=dict.fromkeys(names, config.reconstruction),
        metrics={name: [l1] for name in names},
    )
    return model


def make_optimizer(config: Config) -> keras.optimizers.Optimizer:
    optimizer = keras.optimizers.Adam(config.learning_rate, beta_1=BETA_1)
    if config.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def callbacks(
    config: Config, batch: Any, run_dir: Path
) -> list[keras.callbacks.Callback]:
    logs = run_dir / "logs" / "fusion"
    return [
        fusion_callbacks.FusionMonitor(config.modalities, logs),
        fusion_callbacks.ModalityBalance(batch, logs),
    ]
