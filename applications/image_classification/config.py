"""The settings of the task, and presets of them."""

import dataclasses
from typing import Literal

from applications.image_classification import sources
from applications.settings import Settings

DIGITS = "digits"
FUSING = ("plain", "lenet")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Defaults train in a minute on two CPU cores."""

    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 2e-3

    dataset: str = DIGITS
    """Without a data_dir: digits, or the name of a TFDS set like cifar10."""
    classes: tuple[str, ...] = ()
    """Names of the classes. Empty: as the data has them."""
    image_shape: tuple[int, ...] = ()
    """Height, width and channels (1 or 3) to which images are brought.
    Empty: as the data has them."""
    held_out: float = 0.1
    """Share of the training images for validation if the data has none."""
    limit: int = 0
    """Training images of each class that are used; 0: all."""

    architecture: Literal[
        "plain",
        "lenet",
        "network_in_network",
        "squeeze_excite_resnet",
        "squeeze_excite_inception",
    ] = "plain"
    """Network under the head."""
    head: Literal[
        "last",
        "sum",
        "mean",
        "max",
        "shared",
        "locally_connected",
        "gated",
        "concat",
        "dag",
        "eplf",
        "dsn",
    ] = "locally_connected"
    """How side branches meet the main one; "last" has none. All for plain and
    lenet; network_in_network has last and dsn, the others have last."""
    sides: tuple[int, ...] = (1, 2)
    """Poolings behind which side branches leave."""
    side_kernel_size: int = 1
    """Window of the side branches' convolutions."""
    published: Literal["no", "cifar10", "cifar100", "imagenet"] = "no"
    """Sizes, starts and quirks of the network that was released for this
    set; of plain and network_in_network."""

    widths: tuple[int, ...] = (16, 32, 32)
    """Filters of each group of convolutions of plain; the first is that of
    the stem of squeeze_excite networks."""
    convolutions: int = 2
    """Convolutions in each group of plain."""
    branch_width: int = 32
    """Channels of each branch of plain."""
    blocks: tuple[int, ...] = (1, 1, 1)
    """Bottlenecks in each stage of squeeze_excite_resnet."""
    scale: float = 0.125
    """Factor on the filters of squeeze_excite_inception."""
    ratio: int = 16
    """Channels for each unit behind the gates; 0 is without gates."""
    gated_stages: tuple[int, ...] = ()
    """Stages of squeeze_excite_resnet with gates; empty: all."""
    stem: Literal["small", "imagenet"] = "small"
    """Start of squeeze_excite networks: keeps the resolution, or not."""
    fusion_bias: bool = True
    """Give the fusion of plain a bias."""
    fusion_relu: bool = True
    """Rectify what the fusion of plain gives."""
    dropout: float = 0.1
    """Share dropped behind poolings and before the classifier."""
    companion_weight: float = 0.3
    """Weight of the companions' losses at the start; falls to zero."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW with a cosine schedule, or SGD with momentum 0.9 in stages."""
    weight_decay: float = 1e-4
    """AdamW's decay, or SGD's L2 gradient; of all but biases."""
    drops: tuple[float, ...] = (1 / 3, 2 / 3)
    """Shares of the training at which SGD's rate falls to a tenth."""
    fusion_rate: float = 1.0
    """Learning rate of the fusion's weights, relative to the others."""
    bias_rate: float = 1.0
    """The same of all biases and shifts, on top of the others."""
    main_rate: float = 1.0
    """The same of plain's last convolution."""
    classifier_rate: float = 1.0
    """The same of the last layer."""

    standardize: Literal["contrast", "unit", "imagenet"] = "contrast"
    """Global contrast normalization, or pixels from -1 to 1, or less the
    means of ImageNet."""
    contrast_scale: float = 1.0
    """Deviation of every image after global contrast normalization."""
    contrast_floor: float = 1.0
    """Gray levels, of 255, that an image's deviation counts at least."""
    mirror: bool = False
    """Mirror half of the training images."""
    shift: int = 0
    """Move training images by up to so many pixels; what is new is zero."""


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
    # Lin et al. 2014 as released; the batch size is ours.
    "nin_cifar10": dataclasses.replace(
        _CFN,
        epochs=260,
        batch_size=128,
        architecture="network_in_network",
        head="last",
        weight_decay=1e-5,
        drops=(200 / 260, 230 / 260),
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


def prepare(config: Config) -> Config:
    """Checks the settings, and takes classes and shape from the data."""
    _check(config)
    data = sources.describe(config)
    if config.classes and not set(data.classes) <= set(config.classes):
        raise ValueError(
            f"classes are {', '.join(config.classes)} by the settings and "
            f"{', '.join(data.classes)} by the data; drop the setting, or "
            "name the data's"
        )
    return dataclasses.replace(
        config,
        classes=config.classes or data.classes,
        image_shape=config.image_shape or data.image_shape,
    )


def _check(config: Config) -> None:
    bounds = {
        "image_shape": _is_shape(config.image_shape),
        "held_out": 0 <= config.held_out <= 0.5,
        "limit": config.limit >= 0,
        "widths": min(config.widths, default=0) >= 1,
        "blocks": min(config.blocks, default=0) >= 1,
        "convolutions": config.convolutions >= 1,
        "branch_width": config.branch_width >= 1,
        "side_kernel_size": config.side_kernel_size >= 1,
        "scale": config.scale > 0,
        "ratio": config.ratio >= 0,
        "dropout": 0 <= config.dropout < 1,
        "companion_weight": config.companion_weight >= 0,
        "weight_decay": config.weight_decay >= 0,
        "drops": all(0 < drop < 1 for drop in config.drops),
        "fusion_rate": config.fusion_rate >= 0,
        "bias_rate": config.bias_rate >= 0,
        "main_rate": config.main_rate >= 0,
        "classifier_rate": config.classifier_rate >= 0,
        "contrast_scale": config.contrast_scale > 0,
        "contrast_floor": config.contrast_floor > 0,
        "shift": config.shift >= 0,
    }
    wrong = [name for name, right in bounds.items() if not right]
    if wrong:
        received = ", ".join(f"{n}={getattr(config, n)}" for n in wrong)
        raise ValueError(
            f"these settings are out of their range: {received}; image_shape "
            "is height, width and 1 or 3 channels, drops and dropout are "
            "shares, rates, weights and counts are not negative"
        )
    _check_architecture(config)


def _is_shape(shape: tuple[int, ...]) -> bool:
    if not shape:
        return True
    return len(shape) == 3 and min(shape) >= 1 and shape[2] in (1, 3)


def _check_architecture(config: Config) -> None:
    heads = {
        "network_in_network": ("last", "dsn"),
        "squeeze_excite_resnet": ("last",),
        "squeeze_excite_inception": ("last",),
    }.get(config.architecture)
    if heads and config.head not in heads:
        raise ValueError(
            f"{config.architecture} has no side branches to fuse; give --head "
            f"{' or '.join(heads)}, or one of {', '.join(FUSING)} as "
            f"--architecture; received head={config.head}"
        )
    if config.published != "no" and config.architecture not in (
        "plain",
        "network_in_network",
    ):
        raise ValueError(
            "published sizes are those of plain and network_in_network; "
            f"received architecture={config.architecture} with "
            f"published={config.published}"
        )
