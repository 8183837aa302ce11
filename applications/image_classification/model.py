"""The network, its losses and its optimizer."""

import functools
import re
from pathlib import Path
from typing import Any

import keras

from applications import schedules
from applications.image_classification.branches import BranchMonitor
from applications.image_classification.branches import has_branches
from applications.image_classification.config import Config
from applications.settings import select
from keras_fusion import callbacks as fusion_callbacks
from keras_fusion import losses
from keras_fusion import models
from keras_fusion import optimizers

MOMENTUM = 0.9
# A smaller image has nothing left for LeNet's second convolution.
LENET_SIDE = 12


def build_model(config: Config) -> keras.Model:
    model = NETWORKS[config.architecture](config)
    if config.optimizer == "sgd" and config.weight_decay:
        decay_weights(model, config.weight_decay)
    model.compile(
        optimizer=make_optimizer(model, config),
        loss={name: LOSSES[config.loss]() for name in model.output},
        metrics={"label": ["accuracy"]},
    )
    return model


def plain(config: Config) -> keras.Model:
    if config.published != "no":
        sizes = models.CONVOLUTIONAL_FUSION_PRESETS[config.published]
    else:
        sizes = {
            "filters": [(w,) * config.convolutions for w in config.widths],
            "pools": ("max",) * (len(config.widths) - 1),
            "width": config.branch_width,
            "side_kernel_size": config.side_kernel_size,
            "sides": sorted(config.sides),
            "dropout": config.dropout,
            "fusion_start": None,
            "fusion_bias": config.fusion_bias,
            "fusion_activation": "relu" if config.fusion_relu else None,
            "kernel_initializer": "he_normal",
            "classifier_initializer": "glorot_uniform",
        }
    # What a published network is made of, but for the data and the head.
    given = {
        "num_classes": len(config.classes),
        "image_shape": config.image_shape,
        "head": config.head,
        "companion_weight": config.companion_weight,
    }
    return models.convolutional_fusion_network(**sizes | given)


def lenet(config: Config) -> keras.Model:
    small = min(config.image_shape[:2]) < LENET_SIDE
    return models.lenet(
        **select(
            config,
            models.lenet,
            num_classes=len(config.classes),
            sides=sorted(config.sides),
            padding=("same", "same" if small else "valid"),
        )
    )


def network_in_network(config: Config) -> keras.Model:
    sizes = {"dropout": (config.dropout,) * 2}
    if config.published != "no":
        sizes = models.NETWORK_IN_NETWORK_PRESETS[config.published]
    given = {
        "num_classes": len(config.classes),
        "image_shape": config.image_shape,
        "deeply_supervised": config.head == "dsn",
        "companion_weight": config.companion_weight,
    }
    if config.head == "dsn":
        # As released, and a hinge asks for scores under zero.
        given["last_activation"] = None
    return models.network_in_network(**sizes | given)


def squeeze_excite_resnet(config: Config) -> keras.Model:
    return models.squeeze_excite_resnet(
        **select(
            config,
            models.squeeze_excite_resnet,
            num_classes=len(config.classes),
            width=config.widths[0],
            ratio=config.ratio or None,
            gated_stages=config.gated_stages or None,
        )
    )


def squeeze_excite_inception(config: Config) -> keras.Model:
    return models.squeeze_excite_inception(
        **select(
            config,
            models.squeeze_excite_inception,
            num_classes=len(config.classes),
            width=config.widths[0],
            ratio=config.ratio or None,
        )
    )


LOSSES = {
    "crossentropy": functools.partial(
        keras.losses.SparseCategoricalCrossentropy, from_logits=True
    ),
    "squared_hinge": losses.SparseSquaredHinge,
}
NETWORKS = {
    "plain": plain,
    "lenet": lenet,
    "network_in_network": network_in_network,
    "squeeze_excite_resnet": squeeze_excite_resnet,
    "squeeze_excite_inception": squeeze_excite_inception,
}


def decay_weights(model: keras.Model, l2: float) -> None:
    """Adds `l2 * weight` to the gradient of every weight but biases.

    As a penalty, because the optimizer's own `l2` takes all weights.
    """
    for weight in model.trainable_weights:
        if weight.name != "bias":
            weight.regularizer = keras.regularizers.L2(l2 / 2)


def make_optimizer(
    model: keras.Model, config: Config
) -> keras.optimizers.Optimizer:
    multipliers = rates(model, config)
    if config.optimizer == "sgd":
        return optimizers.MultiRateSGD(
            config.learning_rate, momentum=MOMENTUM, multipliers=multipliers
        )
    optimizer = optimizers.MultiRateAdamW(
        config.learning_rate,
        weight_decay=config.weight_decay,
        multipliers=multipliers,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def rates(model: keras.Model, config: Config) -> dict[str, Any]:
    """Factor of each group of weights, those of its layer and of biases."""
    layers = {
        r"^companion_": config.companion_rate,
        r"^fusion/": config.fusion_rate,
        r"^main_lift_conv/": config.main_rate,
        _last_layer(model): config.classifier_rate,
    }
    multipliers = {
        f"{layer}.*(bias|beta)$": rate * config.bias_rate
        for layer, rate in layers.items()
    }
    multipliers |= layers
    multipliers["(bias|beta)$"] = config.bias_rate
    for pattern, rate in multipliers.items():
        if "companion" in pattern and config.companion_decay:
            multipliers[pattern] = optimizers.InversePowerDecay(
                rate, config.companion_decay
            )
    paths = [weight.path for weight in model.trainable_weights]
    return {
        pattern: rate
        for pattern, rate in multipliers.items()
        if any(re.search(pattern, path) for path in paths)
    }


def _last_layer(model: keras.Model) -> str:
    """A pattern for the layers whose outputs are the classes' scores."""
    paths = [weight.path for weight in model.trainable_weights]
    if any("_classifier/" in path for path in paths):
        return "_classifier/"
    # Network in network ends in a step of a block.
    last = [path for path in paths if not path.startswith("companion_")][-1]
    return f"^{re.escape(last.rpartition('/')[0])}/"


def learning_rate_at(epoch: int, config: Config) -> float:
    """AdamW: a warm-up of a twentieth, then half a cosine. SGD: in stages."""
    if config.optimizer == "sgd":
        return schedules.stages(
            epoch,
            config.epochs,
            config.learning_rate,
            config.drops,
            config.drop_factors,
        )
    return schedules.warm_up_and_cosine(
        epoch, config.epochs, config.learning_rate
    )


def callbacks(
    config: Config, batch: Any, run_dir: Path
) -> list[keras.callbacks.Callback]:
    callbacks = [
        keras.callbacks.LearningRateScheduler(
            lambda epoch: learning_rate_at(epoch, config)
        )
    ]
    if config.head == "dsn":
        callbacks.append(
            fusion_callbacks.CompanionDecay(
                config.companion_epochs or config.epochs,
                at_once=config.companion_epochs > 0,
            )
        )
    if has_branches(config):
        logs = run_dir / "logs" / "fusion"
        callbacks.append(BranchMonitor(batch, config, logs))
    return callbacks
