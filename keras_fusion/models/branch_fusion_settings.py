import dataclasses
from collections.abc import Collection


@dataclasses.dataclass(frozen=True)
class BranchFusionSettings:
    """What the fusions of branches have to be told.

    Attributes:
        stages: Numbers from 1 of the stages behind which branches are fused.
        gate_ratio: Channels that a gate sees for each of its hidden units.
        alignment: Weight of the loss on how far branches differ.
    """

    stages: Collection[int]
    gate_ratio: int
    alignment: float
