import dataclasses
from collections.abc import Callable
from collections.abc import Collection

import keras

from keras_fusion.layers import SqueezeExciteFusion
from keras_fusion.models.branch_layers import channel_axis
from keras_fusion.types import Tensor


@dataclasses.dataclass(frozen=True)
class BranchFusionSettings:
    """What the fusions of branches have to be told.

    Attributes:
        stages: Numbers from 1 of the stages behind which gates stand.
        gate_ratio: Channels of all branches for each hidden unit of a gate.
    """

    stages: Collection[int]
    gate_ratio: int


Fuse = Callable[
    [list[Tensor], int, BranchFusionSettings],
    tuple[list[Tensor], list[Tensor]],
]


@dataclasses.dataclass(frozen=True)
class BranchFusion:
    """One of the ways in which `refinenet` fuses the branches of modalities.

    `keras_fusion.models.BRANCH_FUSIONS` holds them all by name.

    Attributes:
        name: What `refinenet` takes as `fusion`.
        description: What happens, in one line.
        fuse: Function that is called behind every stage of the encoder with
            the list of branches, the stage's number from 1 and
            `BranchFusionSettings`. It returns the branches for the next stage
            and the list of maps for the decoder.
        joins: Boolean, whether the decoder gets the maps of one branch in
            place of as many as there are modalities.
        exchanges: Boolean, whether the normalizations behind the encoder's
            3x3 convolutions exchange channels.
        arguments: Names of the arguments of `refinenet` that have a meaning
            with some fusions, this one among them.

    Example:

    >>> for fusion in keras_fusion.models.BRANCH_FUSIONS.values():
    ...     print(f"{fusion.name}: {fusion.description}")
    exchange: weak channels of a branch are replaced by those of the others
    none: branches stay separate up to the ensemble of their logits
    concat: maps of a stage are concatenated and reduced by a 1x1 convolution
    sum: maps of a stage are added
    squeeze_excite: channels of every branch are gated by all branches
    """

    name: str
    description: str
    fuse: Fuse
    joins: bool = False
    exchanges: bool = False
    arguments: tuple[str, ...] = ()


def separate(
    branches: list[Tensor], stage: int, settings: BranchFusionSettings
) -> tuple[list[Tensor], list[Tensor]]:
    return branches, branches


def concatenation(
    branches: list[Tensor], stage: int, settings: BranchFusionSettings
) -> tuple[list[Tensor], list[Tensor]]:
    axis = channel_axis()
    wide = keras.layers.Concatenate(axis, name=f"stage{stage}_concatenate")
    reduce = keras.layers.Conv2D(
        branches[0].shape[axis], 1, use_bias=False, name=f"stage{stage}_reduce"
    )
    return branches, [reduce(wide(branches))]


def addition(
    branches: list[Tensor], stage: int, settings: BranchFusionSettings
) -> tuple[list[Tensor], list[Tensor]]:
    total = keras.layers.Add(name=f"stage{stage}_sum")
    return branches, [total(branches)]


def squeeze_excite_gates(
    branches: list[Tensor], stage: int, settings: BranchFusionSettings
) -> tuple[list[Tensor], list[Tensor]]:
    if stage in settings.stages:
        gates = SqueezeExciteFusion(
            ratio=settings.gate_ratio,
            axis=channel_axis(),
            name=f"stage{stage}_gates",
        )
        branches = gates(branches)
    return branches, branches


NO_FUSION = BranchFusion(
    "none",
    "branches stay separate up to the ensemble of their logits",
    separate,
)
BRANCH_FUSIONS: dict[str, BranchFusion] = {
    fusion.name: fusion
    for fusion in (
        BranchFusion(
            "exchange",
            "weak channels of a branch are replaced by those of the others",
            separate,
            exchanges=True,
            arguments=("exchange_stages", "threshold", "l1", "penalized_only"),
        ),
        NO_FUSION,
        BranchFusion(
            "concat",
            "maps of a stage are concatenated and reduced by a 1x1 convolution",
            concatenation,
            joins=True,
        ),
        BranchFusion("sum", "maps of a stage are added", addition, joins=True),
        BranchFusion(
            "squeeze_excite",
            "channels of every branch are gated by all branches",
            squeeze_excite_gates,
            arguments=("exchange_stages", "gate_ratio"),
        ),
    )
}
