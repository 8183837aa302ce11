"""Ways in which branches stay apart and change each other, or themselves.

A function here takes the branches, the name of the stage they stand behind
and `BranchFusionSettings`, and returns as many branches.
"""

import keras

from keras_fusion.layers import FiLM
from keras_fusion.layers import SqueezeExcite
from keras_fusion.layers import SqueezeExciteFusion
from keras_fusion.models.branch_alignment import BranchAlignment
from keras_fusion.models.branch_fusion_settings import BranchFusionSettings
from keras_fusion.models.branch_layers import channel_axis
from keras_fusion.models.branch_layers import each
from keras_fusion.types import Tensor


def separate(
    branches: list[Tensor], stage: str, settings: BranchFusionSettings
) -> list[Tensor]:
    return branches


def squeeze_excite_gates(
    branches: list[Tensor], stage: str, settings: BranchFusionSettings
) -> list[Tensor]:
    gates = SqueezeExciteFusion(
        settings.gate_ratio, channel_axis(), name=f"{stage}_gates"
    )
    return gates(branches)


def self_squeeze_excite_gates(
    branches: list[Tensor], stage: str, settings: BranchFusionSettings
) -> list[Tensor]:
    return [
        SqueezeExcite(
            settings.gate_ratio, channel_axis(), name=f"{stage}_gates{number}"
        )(branch)
        for number, branch in enumerate(branches, start=1)
    ]


def modulation(
    branches: list[Tensor], stage: str, settings: BranchFusionSettings
) -> list[Tensor]:
    """FiLM of every branch by the means over positions of all others."""
    pool = keras.layers.GlobalAveragePooling2D(name=f"{stage}_means")
    means = each(pool, branches)
    modulated = []
    for number, branch in enumerate(branches, start=1):
        others = means[: number - 1] + means[number:]
        if len(others) > 1:
            name = f"{stage}_others{number}"
            others = [keras.layers.Concatenate(name=name)(others)]
        film = FiLM(channel_axis(), name=f"{stage}_film{number}")
        modulated.append(film(branch, others[0]))
    return modulated


def alignment(
    branches: list[Tensor], stage: str, settings: BranchFusionSettings
) -> list[Tensor]:
    layer = BranchAlignment(
        settings.alignment, channel_axis(), name=f"{stage}_alignment"
    )
    return layer(branches)
