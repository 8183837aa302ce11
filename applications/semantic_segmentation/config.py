"""The settings of the task, and presets of them."""

from typing import Annotated
from typing import Literal

import pydantic
from pydantic import AfterValidator
from pydantic import Field

from applications import settings
from applications.datasets.paired_folder import LABEL
from keras_fusion.models import BRANCH_FUSIONS

# The encoder halves an image five times.
MINIMUM_SIDE = 32


def _modalities(names: tuple[str, ...]) -> tuple[str, ...]:
    if LABEL in names:
        raise ValueError(
            f"must not hold {LABEL!r}, which is what is to be predicted"
        )
    return names


def _zero_or_a_side(pixels: int) -> int:
    if 0 < pixels < MINIMUM_SIDE:
        raise ValueError(f"must be 0, or at least {MINIMUM_SIDE} pixels")
    return pixels


Several = Annotated[int, Field(ge=0, le=100)]


@settings.settings
class Config(settings.Settings):
    """Defaults train in minutes on two CPU cores."""

    epochs: settings.Count = 20
    batch_size: settings.Count = 8
    learning_rate: settings.Positive = 1e-3

    modalities: Annotated[
        settings.FolderNames, Field(min_length=1), AfterValidator(_modalities)
    ] = ("rgb", "depth")
    """Folders, or features of the data set, that hold the aligned images."""
    classes: settings.Names = ()
    """Names of the classes. Empty: as the data has them."""

    fusion: settings.one_of(
        BRANCH_FUSIONS,
        "How the modalities are fused; one modality has no other.",
    ) = "exchange"
    fusion_stages: settings.Numbers = (1, 2, 3, 4)
    """Stages of the encoder in which channels are exchanged, or behind which
    modalities are fused; what joins them leaves one behind the last."""
    threshold: settings.NonNegative = 0.02
    """Scale under which a channel is exchanged."""
    l1: settings.NonNegative = 4e-4
    """Weight of the L1 penalty on the scales that may die."""
    penalized_only: bool = False
    """Exchange only channels that are under the penalty."""
    minimum_kept: settings.Share = 0.0
    """Share of its channels, the strongest, that a modality keeps in any case.
    With a threshold above all scales the rest is exchanged, by a quantile."""
    begin_step: settings.NonNegativeInt = 0
    """Steps of training before which nothing is exchanged."""
    shrinkage: settings.NonNegative = 0.0
    """What a penalized scale loses with every step, down to exactly 0: a
    proximal step, beside --l1 or, with --l1 0, in place of it."""
    gate_ratio: settings.Count = 16
    """Channels that a gate sees for each of its hidden units."""
    alignment: settings.NonNegative = 0.1
    """Weight of the loss of "align" on how far modalities differ."""
    gamma: settings.Positive = 1.0
    """Scales of exchangeable channels start between 0 and this, evenly."""
    frozen_statistics: bool = False
    """Keep the normalizations' moving statistics as they are."""

    blocks: settings.Depths = (1, 1, 1, 1)
    """Bottlenecks in each stage of the encoder."""
    width: Annotated[int, Field(ge=1, le=512)] = 16
    """Filters of the first stage; each stage has twice as many."""
    stride_on: Literal["3x3", "1x1"] = "3x3"
    """Convolution that halves the resolution at the head of a stage."""
    epsilon: settings.Positive = 1e-3
    """Added to the variances of the normalizations."""
    momentum: settings.Share = 0.9
    """Of the normalizations' moving statistics."""
    decoder: Literal["refinenet", "branches"] = "refinenet"
    """How stages become one map: level by level, or all at once, each stage
    with a weight for each channel (ours; without units and pools)."""
    decoder_width: settings.Size = 32
    """Filters of the decoder; refinenet's coarsest level has twice as many."""
    units_in: Several = 1
    """Residual units at the entry of a level of the decoder."""
    units_out: Several = 1
    """Residual units at its end."""
    pools: Several = 1
    """Poolings in each level's chain."""
    dropout: settings.Share = 0.1
    """Share dropped from the coarsest maps and before the classifier."""
    pretrained: Literal["nothing", "imagenet"] = "nothing"
    """Start of the encoder; "imagenet" downloads Keras's weights once for a
    stride on 1x1, and reads `encoder_weights` for one on 3x3."""
    encoder_weights: settings.Place | None = None
    """File of a ResNet of torchvision: its .pth, or a .safetensors or .npz
    file of the same arrays."""

    dice: settings.NonNegative = 1.0
    """Weight of the Dice loss beside the cross-entropy."""
    over_batch: bool = False
    """Cross-entropy as a mean over the labeled pixels of the batch, as
    published, instead of each image's."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW with a cosine schedule, or SGD in three stages, as published."""
    weight_decay: settings.NonNegative = 1e-4
    """AdamW's decay, or SGD's L2 gradient."""
    encoder_rate: settings.NonNegative = 1.0
    """Learning rate of the encoder as a multiple of `learning_rate`."""
    ensemble_rate: settings.NonNegative = 1.0
    """The same of the ensemble's weights."""

    crop: Annotated[settings.Size, Field(ge=MINIMUM_SIDE)] = 96
    """Side of the square training crops, in pixels."""
    resize: Annotated[
        settings.NonNegativeInt, AfterValidator(_zero_or_a_side)
    ] = 128
    """Short side to which larger images are shrunk first, in pixels; 0 keeps
    all as they are."""
    scale: tuple[settings.Positive, settings.Positive] = (0.75, 1.5)
    """Range of the random scale of training images."""
    short_side: settings.NonNegativeInt = 0
    """Pixels that the scale leaves at least of an image's short side."""
    cubic: bool = False
    """Resize as published instead of bilinearly: training images bicubically,
    depth to the nearest, and logits bicubically outside training."""
    mirror: bool = True
    """Mirror half of the training images."""
    turn: bool = False
    """Turn training images by a random multiple of a right angle, for images
    without an upright: surfaces, maps, slides."""
    jitter: settings.Share = 0.2
    """Random contrast and brightness of each modality in training."""
    modality_dropout: settings.Share = 0.0
    """Share of training images in which a modality is missing, zero all
    over."""
    standardize: Literal["image", "published"] = "image"
    """Each image to mean 0 and deviation 1, or ImageNet's constants for rgb
    and `depth_scale` for the others."""
    depth_scale: settings.Positive = 1 / 5000
    """Factor for the whole numbers of modalities other than rgb."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Config":
        if self.scale[0] > self.scale[1]:
            raise ValueError(
                "scale must be a range, the smaller number first, received "
                f"{self.scale}"
            )
        if self.encoder_weights is not None and self.pretrained != "imagenet":
            raise ValueError(
                "encoder_weights are for --pretrained imagenet; received "
                f"--pretrained {self.pretrained}"
            )
        if max(self.fusion_stages, default=0) > len(self.blocks):
            raise ValueError(
                "fusion_stages must be numbers from 1 to "
                f"{len(self.blocks)}, the stages of blocks; received "
                f"{self.fusion_stages}"
            )
        if BRANCH_FUSIONS[self.fusion].joins and not self.fusion_stages:
            raise ValueError(
                "fusion_stages must hold a stage, as the fusion "
                f"{self.fusion} joins the modalities behind the last of them; "
                "received none"
            )
        return self


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
        epsilon=1e-5,
        decoder_width=256,
        units_in=2,
        units_out=3,
        pools=4,
        dropout=0.5,
        pretrained="imagenet",
        dice=0.0,
        over_batch=True,
        optimizer="sgd",
        weight_decay=1e-5,
        encoder_rate=1 / 6,
        ensemble_rate=1.0,
        crop=500,
        resize=0,
        scale=(0.5, 2.0),
        short_side=350,
        cubic=True,
        jitter=0.0,
        standardize="published",
    ),
}


def output_names(config: Config) -> tuple[str, ...]:
    """The model's outputs, in order."""
    if len(config.modalities) == 1:
        return config.modalities
    if BRANCH_FUSIONS[config.fusion].joins:
        return ("ensemble",)
    return (*config.modalities, "ensemble")
