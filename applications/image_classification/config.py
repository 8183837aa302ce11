"""The settings of the task, and presets of them."""

import dataclasses
from typing import Annotated
from typing import Literal

import pydantic
from pydantic import AfterValidator
from pydantic import Field

from applications import settings
from keras_fusion.models import CLASSIFICATION_HEADS

DIGITS = "digits"
FUSING = ("plain", "lenet")


def _is_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    if shape and (len(shape) != 3 or shape[2] not in (1, 3)):
        raise ValueError("must be height, width and 1 or 3 channels")
    return shape


Half = Annotated[float, Field(ge=0, le=0.5)]
Drop = Annotated[float, Field(gt=0, lt=1)]


@settings.settings
class Config(settings.Settings):
    """Defaults train in a minute on two CPU cores."""

    epochs: settings.Count = 30
    batch_size: settings.Count = 32
    learning_rate: settings.Positive = 2e-3

    dataset: str = DIGITS
    """Without a data_dir: digits, or the name of a TFDS set like cifar10."""
    classes: settings.Names = ()
    """Names of the classes. Empty: as the data has them."""
    image_shape: Annotated[
        tuple[settings.Size, ...], AfterValidator(_is_shape)
    ] = ()
    """Height, width and channels (1 or 3) to which images are brought.
    Empty: as the data has them."""
    held_out: Half = 0.1
    """Share of the training images for validation if the data has none."""
    limit: settings.NonNegativeInt = 0
    """Training images of each class that are used; 0: all."""

    architecture: Literal[
        "plain",
        "lenet",
        "network_in_network",
        "squeeze_excite_resnet",
        "squeeze_excite_inception",
    ] = "plain"
    """Network under the head."""
    head: settings.one_of(
        CLASSIFICATION_HEADS,
        "How side branches are fused with the main one: all for plain and "
        "lenet; network_in_network has last and dsn, the others last.",
    ) = "locally_connected"
    sides: settings.Numbers = (1, 2)
    """Poolings behind which side branches leave."""
    side_kernel_size: settings.Size = 1
    """Window of the side branches' convolutions."""
    published: Literal["no", "cifar10", "cifar100", "imagenet"] = "no"
    """Sizes, starts and quirks of the network that was released for this
    set; of plain and network_in_network."""

    widths: settings.Sizes = (16, 32, 32)
    """Filters of each group of convolutions of plain; the first is that of
    the stem of squeeze_excite networks."""
    convolutions: settings.Depth = 2
    """Convolutions in each group of plain."""
    branch_width: settings.Size = 32
    """Channels of each branch of plain."""
    blocks: settings.Depths = (1, 1, 1)
    """Bottlenecks in each stage of squeeze_excite_resnet."""
    scale: Annotated[float, Field(ge=1e-3, le=16)] = 0.125
    """Factor on the filters of squeeze_excite_inception."""
    ratio: settings.NonNegativeInt = 16
    """Channels for each unit behind the gates; 0 is without gates."""
    gated_stages: settings.Numbers = ()
    """Stages of squeeze_excite_resnet with gates; empty: all."""
    stem: Literal["small", "imagenet"] = "small"
    """Start of squeeze_excite networks: keeps the resolution, or not."""
    fusion_bias: bool = True
    """Give the fusion of plain a bias."""
    fusion_relu: bool = True
    """Rectify what the fusion of plain gives."""
    dropout: settings.Share = 0.1
    """Share dropped behind poolings and before the classifier."""
    companion_weight: settings.NonNegative = 0.3
    """Weight of the companions' losses at the start; falls to zero."""
    companion_epochs: settings.NonNegativeInt = 0
    """Epochs after which companions are dropped at once, as published; 0: they
    fade out on a line over the whole training."""
    companion_rate: settings.Positive = 1.0
    """Learning rate of the companions' classifiers, relative to the others."""
    companion_decay: settings.NonNegative = 0.0
    """What it is divided by after a step: (1 + this * step)^0.75."""
    loss: Literal["crossentropy", "squared_hinge"] = "crossentropy"
    """Of the label and the companions; a hinge is for up to ten classes."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW with a cosine schedule, or SGD with momentum 0.9 in stages."""
    weight_decay: settings.NonNegative = 1e-4
    """AdamW's decay, or SGD's L2 gradient; of all but biases."""
    drops: tuple[Drop, ...] = (1 / 3, 2 / 3)
    """Shares of the training at which SGD's rate falls."""
    drop_factors: tuple[Drop, ...] = ()
    """What it is multiplied by at each of them; empty: 0.1."""
    fusion_rate: settings.NonNegative = 1.0
    """Learning rate of the fusion's weights, relative to the others."""
    bias_rate: settings.NonNegative = 1.0
    """The same of all biases and shifts, on top of the others."""
    main_rate: settings.NonNegative = 1.0
    """The same of plain's last convolution."""
    classifier_rate: settings.NonNegative = 1.0
    """The same of the last layer."""

    standardize: Literal["contrast", "unit", "imagenet"] = "contrast"
    """Global contrast normalization, or pixels from -1 to 1, or less the
    means of ImageNet."""
    contrast_scale: settings.Positive = 1.0
    """Deviation of every image after global contrast normalization."""
    contrast_floor: settings.Positive = 1.0
    """Gray levels, of 255, that an image's deviation counts at least."""
    mirror: bool = False
    """Mirror half of the training images."""
    shift: settings.NonNegativeInt = 0
    """Move training images by up to so many pixels; what is new is zero."""

    @pydantic.model_validator(mode="after")
    def _check_architecture(self) -> "Config":
        heads = {
            "network_in_network": ("last", "dsn"),
            "squeeze_excite_resnet": ("last",),
            "squeeze_excite_inception": ("last",),
        }.get(self.architecture)
        if heads and self.head not in heads:
            raise ValueError(
                f"{self.architecture} has no side branches to fuse; give "
                f"--head {' or '.join(heads)}, or {' or '.join(FUSING)} as "
                f"--architecture; received head={self.head}"
            )
        if self.published != "no" and self.architecture not in (
            "plain",
            "network_in_network",
        ):
            raise ValueError(
                "published sizes are those of plain and network_in_network; "
                f"received architecture={self.architecture} with "
                f"published={self.published}"
            )
        if self.drop_factors and len(self.drop_factors) != len(self.drops):
            raise ValueError(
                "drop_factors must be empty or one for each of drops, received "
                f"{len(self.drop_factors)} for {len(self.drops)}"
            )
        return self


# Liu et al. 2017 as released: 120,000 steps of 100 images, no augmentation.
_CFN = Config(
    epochs=240,
    batch_size=100,
    learning_rate=0.1,
    dataset="cifar10",
    published="cifar10",
    dropout=0.5,
    optimizer="sgd",
    fusion_rate=0.1,
    bias_rate=2.0,
)
# Lin et al. 2014 as released; the batch size is ours. Their rates are 1 and,
# for CIFAR-100, 0.01, and their losses are multiplied by 0.1 and 2. That
# multiplies the gradients, but not the decays of 1e-5 and 1e-3: beside
# gradients of the plain loss these are 1e-5 / 0.1 and 1e-3 / 2.
_NIN = dataclasses.replace(
    _CFN,
    epochs=260,
    batch_size=128,
    architecture="network_in_network",
    head="last",
    weight_decay=1e-4,
    drops=(200 / 260, 230 / 260),
    fusion_rate=1.0,
    classifier_rate=0.1,
)
PRESETS = {
    "default": Config(),
    # A net of a tenth of the size that learns CIFAR-10 on a CPU.
    "small_cifar10": Config(
        dataset="cifar10",
        epochs=20,
        batch_size=100,
        widths=(32, 48, 64),
        convolutions=1,
        branch_width=64,
        mirror=True,
        shift=4,
    ),
    "cfn_cifar10": _CFN,
    # That it was trained as for CIFAR-10 is an assumption.
    "cfn_cifar100": dataclasses.replace(
        _CFN, dataset="cifar100", published="cifar100"
    ),
    # 200,000 steps of 64 images, about 10 epochs; images come as folders.
    "cfn_imagenet": dataclasses.replace(
        _CFN,
        epochs=10,
        batch_size=64,
        learning_rate=0.01,
        dataset="imagenet2012",
        published="imagenet",
        sides=(2, 3, 4),
        image_shape=(224, 224, 3),
        dropout=0.0,
        drops=(0.5, 0.75),
        fusion_rate=1.0,
        main_rate=10.0,
        standardize="imagenet",
        mirror=True,
        shift=16,
    ),
    "nin_cifar10": _NIN,
    "nin_cifar100": dataclasses.replace(
        _NIN,
        dataset="cifar100",
        published="cifar100",
        learning_rate=0.02,
        weight_decay=5e-4,
        classifier_rate=1.0,
    ),
    # Lee et al. 2015 as released: 50,000 steps of 100 images with companions,
    # 120,000 without, of which the last 20,000 at a twentieth, and 30,000 at
    # 1e-4.
    "dsn_cifar10": dataclasses.replace(
        _CFN,
        epochs=400,
        learning_rate=0.025,
        architecture="network_in_network",
        head="dsn",
        loss="squared_hinge",
        companion_weight=1.0,
        companion_epochs=100,
        companion_rate=1e-3,
        companion_decay=1e-4,
        weight_decay=5e-4,
        drops=(0.75, 0.85),
        drop_factors=(0.05, 0.08),
        fusion_rate=1.0,
        classifier_rate=0.1,
    ),
    # Hu et al. 2018, in the batch size of the later release.
    "se_resnet50": Config(
        dataset="imagenet2012",
        epochs=100,
        batch_size=256,
        learning_rate=0.1,
        image_shape=(224, 224, 3),
        architecture="squeeze_excite_resnet",
        head="last",
        widths=(64,),
        blocks=(3, 4, 6, 3),
        stem="imagenet",
        dropout=0.0,
        optimizer="sgd",
        drops=(0.3, 0.6, 0.9),
        standardize="imagenet",
        mirror=True,
        shift=16,
    ),
}


def output_names(config: Config) -> tuple[str, ...]:
    """The model's outputs: the label, and companions in training."""
    if config.head != "dsn":
        return ("label",)
    if config.architecture == "network_in_network":
        # Every block has one; the networks here have three or four.
        blocks = 4 if config.published == "imagenet" else 3
        return (
            "label",
            *(f"companion_block{block + 1}" for block in range(blocks)),
        )
    return (
        "label",
        *(f"companion_pool{side}" for side in sorted(config.sides)),
    )


def branch_names(config: Config) -> tuple[str, ...]:
    """The branches in the order of their stack."""
    sides = [f"pool{side}" for side in sorted(config.sides)]
    if config.architecture == "plain" and config.published == "imagenet":
        return (*sides, "main")
    return ("main", *sides)
