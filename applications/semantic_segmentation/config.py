"""The settings of the task, and presets of them."""

import dataclasses
from typing import Literal

from applications.semantic_segmentation import sources
from applications.settings import Settings

# The encoder halves an image five times.
MINIMUM_SIDE = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Defaults train in minutes on two CPU cores."""

    epochs: int = 20
    batch_size: int = 8
    learning_rate: float = 1e-3

    modalities: tuple[str, ...] = ("rgb", "depth")
    """Folders, or features of the data set, that hold the aligned images."""
    classes: tuple[str, ...] = ()
    """Names of the classes. Empty: as the data has them."""

    fusion: Literal["exchange", "none", "concat", "sum", "squeeze_excite"] = (
        "exchange"
    )
    """How the modalities meet; one modality has nothing to meet."""
    exchange_stages: tuple[int, ...] = (1, 2, 3, 4)
    """Stages of the encoder in which channels are exchanged, or gated."""
    threshold: float = 0.02
    """Scale under which a channel is exchanged."""
    l1: float = 4e-4
    """Weight of the L1 penalty on the scales that may die."""
    penalized_only: bool = False
    """Exchange only channels that are under the penalty."""
    gamma: float = 1.0
    """Scales of exchangeable channels start between 0 and this, evenly."""
    frozen_statistics: bool = False
    """Keep the normalizations' moving statistics as they are."""

    blocks: tuple[int, ...] = (1, 1, 1, 1)
    """Bottlenecks in each stage of the encoder."""
    width: int = 16
    """Filters of the first stage; each stage has twice as many."""
    stride_on: Literal["3x3", "1x1"] = "3x3"
    """Convolution that halves the resolution at the head of a stage."""
    epsilon: float = 1e-3
    """Added to the variances of the normalizations."""
    momentum: float = 0.9
    """Of the normalizations' moving statistics."""
    decoder: Literal["refinenet", "branches"] = "refinenet"
    """How stages become one map: level by level, or all at once, each stage
    with a weight for each channel (ours; without units and pools)."""
    decoder_width: int = 32
    """Filters of the decoder; refinenet's coarsest level has twice as many."""
    units_in: int = 1
    """Residual units at the entry of a level of the decoder."""
    units_out: int = 1
    """Residual units at its end."""
    pools: int = 1
    """Poolings in each level's chain."""
    dropout: float = 0.1
    """Share dropped from the coarsest maps and before the classifier."""
    pretrained: Literal["nothing", "imagenet"] = "nothing"
    """Start of the encoder; "imagenet" downloads the weights once."""

    dice: float = 1.0
    """Weight of the Dice loss beside the cross-entropy."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW with a cosine schedule, or SGD in three stages, as published."""
    weight_decay: float = 1e-4
    """AdamW's decay, or SGD's L2 gradient."""
    encoder_rate: float = 1.0
    """Learning rate of the encoder as a multiple of `learning_rate`."""
    ensemble_rate: float = 1.0
    """The same of the ensemble's weights."""

    crop: int = 96
    """Side of the square training crops, in pixels."""
    resize: int = 128
    """Short side to which larger images are shrunk first, in pixels; 0 keeps
    all as they are."""
    scale: tuple[float, float] = (0.75, 1.5)
    """Range of the random scale of training images."""
    mirror: bool = True
    """Mirror half of the training images."""
    turn: bool = False
    """Turn training images by a random multiple of a right angle, for images
    without an upright: surfaces, maps, slides."""
    jitter: float = 0.2
    """Random contrast and brightness of each modality in training."""
    modality_dropout: float = 0.0
    """Share of training images in which a modality is missing, zero all
    over."""
    standardize: Literal["image", "published"] = "image"
    """Each image to mean 0 and deviation 1, or ImageNet's constants for rgb
    and `depth_scale` for the others."""
    depth_scale: float = 1 / 5000
    """Factor for the whole numbers of modalities other than rgb."""


PRESETS = {
    "default": Config(),
    # Wang et al. 2020 as released, for NYU Depth v2: 300 epochs in three
    # stages, RefineNet-101 from ImageNet weights, statistics frozen.
    "published": Config(
        epochs=300,
        batch_size=6,
        learning_rate=3e-3,
        l1=6e-4,
        frozen_statistics=True,
        blocks=(3, 4, 23, 3),
        width=64,
        stride_on="1x1",
        epsilon=1.001e-5,
        decoder_width=256,
        units_in=2,
        units_out=3,
        pools=4,
        dropout=0.5,
        pretrained="imagenet",
        dice=0.0,
        optimizer="sgd",
        weight_decay=1e-5,
        encoder_rate=1 / 6,
        ensemble_rate=1.0,
        crop=500,
        resize=0,
        scale=(0.5, 2.0),
        jitter=0.0,
        standardize="published",
    ),
}


def output_names(config: Config) -> tuple[str, ...]:
    """The model's outputs, in order."""
    if len(config.modalities) == 1:
        return config.modalities
    if config.fusion in ("concat", "sum"):
        return ("ensemble",)
    return (*config.modalities, "ensemble")


def prepare(config: Config) -> Config:
    """Checks the settings, and takes the classes from the data."""
    _check(config)
    data = sources.describe(config)
    if len(set(data.channels)) > 1:
        listed = ", ".join(
            f"{name} {count}"
            for name, count in zip(
                config.modalities, data.channels, strict=True
            )
        )
        raise ValueError(
            "modalities share convolutions, so they must have equally many "
            f"channels, 1 and 3 going together; received {listed}"
        )
    if config.classes and config.classes != data.classes:
        raise ValueError(
            f"classes are {', '.join(config.classes)} by the settings and "
            f"{', '.join(data.classes)} by the data; drop the setting, or "
            "name the data's classes in its classes.txt"
        )
    return dataclasses.replace(config, classes=data.classes)


def _check(config: Config) -> None:
    low, high = config.scale
    bounds = {
        "crop": config.crop >= MINIMUM_SIDE,
        "resize": config.resize == 0 or config.resize >= MINIMUM_SIDE,
        "scale": 0 < low <= high,
        "threshold": config.threshold >= 0,
        "l1": config.l1 >= 0,
        "gamma": config.gamma > 0,
        "dropout": 0 <= config.dropout < 1,
        "jitter": 0 <= config.jitter < 1,
        "modality_dropout": 0 <= config.modality_dropout < 1,
        "dice": config.dice >= 0,
        "weight_decay": config.weight_decay >= 0,
        "encoder_rate": config.encoder_rate >= 0,
        "ensemble_rate": config.ensemble_rate >= 0,
        "blocks": min(config.blocks, default=0) >= 1,
        "width": config.width >= 1,
        "decoder_width": config.decoder_width >= 1,
    }
    wrong = [name for name, right in bounds.items() if not right]
    if wrong:
        received = ", ".join(f"{n}={getattr(config, n)}" for n in wrong)
        raise ValueError(
            f"these settings are out of their range: {received}; crop and "
            f"resize are at least {MINIMUM_SIDE} pixels (resize may be 0), "
            "rates, weights and counts are not negative"
        )
