"""Epochs without labels, and epochs with them."""

import keras

from applications import schedules
from applications.multimodal_classification import frozen
from applications.multimodal_classification.config import Config

MODALITY_DROPOUT = "modality_dropout"


def callbacks(config: Config) -> list[keras.callbacks.Callback]:
    """What is different in the two phases."""
    return [
        keras.callbacks.LearningRateScheduler(
            lambda epoch: learning_rate(epoch, config)
        ),
        ModalityDropoutRate(config),
    ]


def learning_rate(epoch: int, config: Config) -> float:
    """Rises and falls once without labels, and once with them."""
    first, last = 0, config.pretrain_epochs
    if epoch >= last:
        first, last = last, config.epochs
    return schedules.warm_up_and_cosine(
        epoch - first, last - first, config.learning_rate
    )


class ModalityDropoutRate(keras.callbacks.Callback):
    """Hides more while there are no labels.

    What a modality tells of the others is all that can be learned then.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        config = self.config
        part = frozen.classifier(self.model)
        if MODALITY_DROPOUT not in [layer.name for layer in part.layers]:
            return
        layer = part.get_layer(MODALITY_DROPOUT)
        early = epoch < config.pretrain_epochs
        rate = (
            config.pretrain_modality_dropout
            if early
            else config.modality_dropout
        )
        if layer.rate != rate:
            layer.rate = rate
            # The rate is a constant of the compiled step.
            self.model.make_train_function(force=True)
