"""Ways to make the maps of all branches those of one.

A function here takes the branches, the name of the stage they stand behind
and `BranchFusionSettings`, and returns a list of one tensor with as many
channels as one branch.
"""

import keras

from keras_fusion.models.branch_fusion_settings import BranchFusionSettings
from keras_fusion.models.branch_layers import channel_axis
from keras_fusion.types import Tensor


def concatenation(
    branches: list[Tensor], stage: str, settings: BranchFusionSettings
) -> list[Tensor]:
    return [reduced(concatenated(branches, stage), branches, stage)]


def addition(
    branches: list[Tensor], stage: str, settings: BranchFusionSettings
) -> list[Tensor]:
    return [keras.layers.Add(name=f"{stage}_sum")(branches)]


def average(
    branches: list[Tensor], stage: str, settings: BranchFusionSettings
) -> list[Tensor]:
    return [keras.layers.Average(name=f"{stage}_average")(branches)]


def gated_sum(
    branches: list[Tensor], stage: str, settings: BranchFusionSettings
) -> list[Tensor]:
    """A gate at each pixel for each channel of each branch, from all."""
    wide = concatenated(branches, stage)
    gated = []
    for number, branch in enumerate(branches, start=1):
        gate = keras.layers.Conv2D(
            branch.shape[channel_axis()],
            1,
            activation="sigmoid",
            name=f"{stage}_gate{number}",
        )
        product = keras.layers.Multiply(name=f"{stage}_gated{number}")
        gated.append(product([branch, gate(wide)]))
    return [keras.layers.Add(name=f"{stage}_sum")(gated)]


def self_attention(
    branches: list[Tensor], stage: str, settings: BranchFusionSettings
) -> list[Tensor]:
    """Gates of Valada et al., 2019, on what `concatenation` reduces.

    Two 3x3 convolutions, with a bottleneck between them, make of the
    concatenation a gate for each of its channels at each pixel. Without the
    gates this is `concatenation`: the reduction is 1x1 here and has no
    normalization, where theirs is 3x3 and has one.
    """
    wide = concatenated(branches, stage)
    channels = wide.shape[channel_axis()]
    squeeze = keras.layers.Conv2D(
        max(1, channels // settings.gate_ratio),
        3,
        padding="same",
        activation="relu",
        name=f"{stage}_squeeze",
    )
    excite = keras.layers.Conv2D(
        channels,
        3,
        padding="same",
        activation="sigmoid",
        name=f"{stage}_excite",
    )
    product = keras.layers.Multiply(name=f"{stage}_gated")
    gated = product([wide, excite(squeeze(wide))])
    return [reduced(gated, branches, stage)]


def concatenated(branches: list[Tensor], stage: str) -> Tensor:
    layer = keras.layers.Concatenate(
        channel_axis(), name=f"{stage}_concatenate"
    )
    return layer(branches)


def reduced(wide: Tensor, branches: list[Tensor], stage: str) -> Tensor:
    layer = keras.layers.Conv2D(
        branches[0].shape[channel_axis()],
        1,
        use_bias=False,
        name=f"{stage}_reduce",
    )
    return layer(wide)
