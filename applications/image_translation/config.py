"""The settings of the task, and presets of them."""

from typing import Annotated

import pydantic
from pydantic import AfterValidator
from pydantic import Field

from applications import settings
from keras_fusion.models import BRANCH_FUSIONS

ENSEMBLE = "ensemble"


def _modalities(names: tuple[str, ...]) -> tuple[str, ...]:
    if ENSEMBLE in names:
        raise ValueError(
            f"must not hold {ENSEMBLE!r}, which is the output of all together"
        )
    return names


def _ascending(
    ranges: tuple[tuple[float, float], ...],
) -> tuple[tuple[float, float], ...]:
    if any(low >= high for low, high in ranges):
        raise ValueError("must be pairs of numbers, the smaller one first")
    return ranges


Value = Annotated[float, Field(ge=-settings.LARGE, le=settings.LARGE)]


@settings.settings
class Config(settings.Settings):
    """Defaults train in minutes on two CPU cores."""

    epochs: settings.Count = 20
    batch_size: settings.Count = 4
    learning_rate: settings.Positive = 5e-4

    modalities: Annotated[
        settings.FolderNames, Field(min_length=1), AfterValidator(_modalities)
    ] = ("shading", "albedo")
    """Folders, domains or features of the data set with the images to start
    from; label_edges is where the masks in label change."""
    target: settings.FolderName = "rgb"
    """The same of the image that is to be made."""
    target_channels: Annotated[int, Field(ge=1, le=3)] | None = None
    """Channels of the target, 1 or 3. None: as the data have it."""
    ranges: Annotated[
        tuple[tuple[Value, Value], ...], AfterValidator(_ascending)
    ] = ()
    """Of each modality and, last, of the target the values that become -1 and
    1. Empty: 0 and 255 for images of 8 bits, for others the smallest and
    largest value of the training part."""

    fusion: settings.one_of(
        BRANCH_FUSIONS,
        "How the modalities are fused; one modality has no other.",
    ) = "exchange"
    fusion_stages: settings.Numbers | None = None
    """Blocks of the encoder in which channels are exchanged, or behind which
    modalities are fused; what joins them leaves one behind the last. None:
    all that can."""
    threshold: settings.NonNegative = 0.01
    """Scale under which a channel is exchanged."""
    l1: settings.NonNegative = 0.05
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
    """Scales of the generator's normalizations start between 0 and this,
    evenly."""

    width: Annotated[int, Field(ge=1, le=512)] = 16
    """Filters of the generator's first block; each has twice as many as the
    one before it, up to 8 times as many as the first."""
    depth: Annotated[int, Field(ge=2, le=12)] = 5
    """Blocks of the generator's encoder, which halve the resolution."""
    dropout: settings.Share = 0.1
    """Share dropped in the coarsest blocks of the generator's decoder."""
    judge_width: Annotated[int, Field(ge=1, le=512)] = 16
    """Filters of the discriminator's first block."""
    judge_stages: Annotated[int, Field(ge=1, le=8)] = 2
    """Blocks of the discriminator that halve the resolution; the more, the
    larger the patches that it judges."""
    unused_norms: bool = False
    """Own the normalizations that are never used, so that the weights are as
    many as those of the published code."""

    adversarial: settings.NonNegative = 1.0
    """Weight of what the discriminator says of each branch's image; 0 trains
    without it, by the differences of pixels alone."""
    reconstruction: settings.NonNegative = 100.0
    """Weight of the mean absolute difference, between -1 and 1, of each
    output from the target."""

    side: settings.Size = 64
    """Height and width, in pixels, to which images are brought."""
    margin: settings.NonNegativeInt = 8
    """Pixels that training images have more before a random part of SIDE x
    SIDE is taken."""
    mirror: bool = True
    """Mirror half of the training images."""

    inception_weights: settings.Place | None = None
    """File of Keras's InceptionV3 weights without its top, for FID and KID.
    None: the one that Keras has downloaded before, if there is one."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Config":
        if self.target in self.modalities:
            raise ValueError(
                f"target must be none of the modalities, received {self.target}"
                f" among {', '.join(self.modalities)}; leave it out of one of "
                "them"
            )
        if self.target == ENSEMBLE:
            raise ValueError(f"target must not be {ENSEMBLE!r}, an output")
        if self.ranges and len(self.ranges) != len(self.modalities) + 1:
            raise ValueError(
                f"ranges must be {len(self.modalities) + 1} pairs, of each of "
                f"{', '.join(self.modalities)} and of {self.target}; received "
                f"{len(self.ranges)}"
            )
        if self.side % 2**self.depth:
            raise ValueError(
                f"side must be a multiple of {2**self.depth}, as depth "
                f"{self.depth} halves it as often; received {self.side}"
            )
        if self.margin > self.side:
            raise ValueError(
                f"margin must be at most side, {self.side}; received "
                f"{self.margin}"
            )
        smallest = 3 * 2**self.judge_stages
        if self.adversarial and self.side < smallest:
            raise ValueError(
                f"side must be at least {smallest} for a discriminator with "
                f"judge_stages {self.judge_stages}; received {self.side}"
            )
        if BRANCH_FUSIONS[self.fusion].joins and self.fusion_stages == ():
            raise ValueError(
                "fusion_stages must hold a block, as the fusion "
                f"{self.fusion} joins the modalities behind the last of them; "
                "received none"
            )
        if not self.adversarial and not self.reconstruction:
            raise ValueError(
                "adversarial and reconstruction are both 0, and nothing would "
                "be learned; give one of them a weight"
            )
        return self


PRESETS = {
    "default": Config(),
    # Wang et al. 2020 as released, for Taskonomy's shading and texture edges
    # to color: 300 epochs of 1,000 steps.
    "published": Config(
        epochs=300,
        batch_size=1,
        learning_rate=2e-4,
        l1=1e-3,
        modalities=("reshading", "edge_texture"),
        width=64,
        depth=8,
        dropout=0.5,
        judge_width=64,
        judge_stages=3,
        unused_norms=True,
        side=256,
        margin=30,
    ),
}


def output_names(config: Config) -> tuple[str, ...]:
    """The model's outputs, in order."""
    if len(config.modalities) == 1:
        return config.modalities
    if BRANCH_FUSIONS[config.fusion].joins:
        return (ENSEMBLE,)
    return (*config.modalities, ENSEMBLE)
