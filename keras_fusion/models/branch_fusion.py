import dataclasses
from collections.abc import Callable
from collections.abc import Collection

from keras_fusion.models.argument_checks import check_choice
from keras_fusion.models.branch_fusion_settings import BranchFusionSettings
from keras_fusion.models.branch_gates import alignment
from keras_fusion.models.branch_gates import modulation
from keras_fusion.models.branch_gates import self_squeeze_excite_gates
from keras_fusion.models.branch_gates import separate
from keras_fusion.models.branch_gates import squeeze_excite_gates
from keras_fusion.models.branch_joins import addition
from keras_fusion.models.branch_joins import average
from keras_fusion.models.branch_joins import concatenation
from keras_fusion.models.branch_joins import gated_sum
from keras_fusion.models.branch_joins import self_attention
from keras_fusion.types import Tensor

Combine = Callable[[list[Tensor], str, BranchFusionSettings], list[Tensor]]


@dataclasses.dataclass(frozen=True)
class BranchFusion:
    """One of the ways to fuse the branches of modalities, stage by stage.

    `keras_fusion.models.BRANCH_FUSIONS` holds them all by name, for
    `refinenet` and for `unet_generator`.

    Attributes:
        name: What the builders take as `fusion`.
        description: What happens, in one line.
        combine: Function of the list of branches, the name of the stage
            behind which they stand and `BranchFusionSettings`. It returns as
            many branches, or a list of one if the fusion joins them.
        joins: Boolean, whether the decoder gets the maps of one branch in
            place of as many as there are modalities.
        exchanges: Boolean, whether normalizations of the encoder exchange
            channels.
        arguments: Names of the arguments of the builders that have a meaning
            with some fusions, this one among them.

    Example:

    >>> for fusion in keras_fusion.models.BRANCH_FUSIONS.values():
    ...     print(f"{fusion.name}: {fusion.description}")
    exchange: weak channels of a branch are replaced by those of the others
    none: branches stay separate up to the ensemble of their logits
    concat: maps of a stage are concatenated and reduced by a 1x1 convolution
    sum: maps of a stage are added
    average: maps of a stage are averaged
    gated_sum: maps of a stage are added, each gated pixel by pixel by all
    self_attention: maps are concatenated, gated by 3x3 convolutions, reduced
    squeeze_excite: channels of every branch are gated by all branches
    self_squeeze_excite: channels of every branch are gated by itself
    film: channels of every branch are scaled and shifted by the others
    align: branches stay separate, with a loss on how far they differ
    """

    name: str
    description: str
    combine: Combine
    joins: bool = False
    exchanges: bool = False
    arguments: tuple[str, ...] = ()

    def fuse(
        self, branches: list[Tensor], stage: int, settings: BranchFusionSettings
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Fuses behind a stage of the encoder, numbered from 1.

        Returns the branches for the next stage and the maps for the decoder.
        What joins gives the decoder one map a stage, whatever the stages, and
        leaves the encoder its branches up to the last of them.
        """
        if self.joins:
            if len(branches) == 1:
                return branches, branches
            maps = self.combine(branches, f"stage{stage}", settings)
            return (
                maps if stage == max(settings.stages) else branches,
                maps,
            )
        if stage in settings.stages:
            branches = self.combine(branches, f"stage{stage}", settings)
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
            arguments=(
                "fusion_stages",
                "threshold",
                "l1",
                "penalized_only",
                "minimum_kept",
                "begin_step",
                "shrinkage",
            ),
        ),
        NO_FUSION,
        BranchFusion(
            "concat",
            "maps of a stage are concatenated and reduced by a 1x1 convolution",
            concatenation,
            joins=True,
            arguments=("fusion_stages",),
        ),
        BranchFusion(
            "sum",
            "maps of a stage are added",
            addition,
            joins=True,
            arguments=("fusion_stages",),
        ),
        BranchFusion(
            "average",
            "maps of a stage are averaged",
            average,
            joins=True,
            arguments=("fusion_stages",),
        ),
        BranchFusion(
            "gated_sum",
            "maps of a stage are added, each gated pixel by pixel by all",
            gated_sum,
            joins=True,
            arguments=("fusion_stages",),
        ),
        BranchFusion(
            "self_attention",
            "maps are concatenated, gated by 3x3 convolutions, reduced",
            self_attention,
            joins=True,
            arguments=("fusion_stages", "gate_ratio"),
        ),
        BranchFusion(
            "squeeze_excite",
            "channels of every branch are gated by all branches",
            squeeze_excite_gates,
            arguments=("fusion_stages", "gate_ratio"),
        ),
        BranchFusion(
            "self_squeeze_excite",
            "channels of every branch are gated by itself",
            self_squeeze_excite_gates,
            arguments=("fusion_stages", "gate_ratio"),
        ),
        BranchFusion(
            "film",
            "channels of every branch are scaled and shifted by the others",
            modulation,
            arguments=("fusion_stages",),
        ),
        BranchFusion(
            "align",
            "branches stay separate, with a loss on how far they differ",
            alignment,
            arguments=("fusion_stages", "alignment"),
        ),
    )
}


def check_fusion(
    fusion: str, stages: Collection[int], possible: Collection[int], why: str
) -> None:
    """Raises ValueError unless the fusion can be had behind these stages."""
    check_choice("fusion", fusion, BRANCH_FUSIONS)
    names = ", ".join(map(str, possible)) or "none"
    if not set(stages) <= set(possible):
        raise ValueError(
            f"`fusion_stages` must be among {names}, {why}. "
            f"Received: fusion_stages={stages}"
        )
    if BRANCH_FUSIONS[fusion].joins and not stages:
        raise ValueError(
            f"`fusion_stages` must hold one or more of {names}, as "
            f'"{fusion}" joins the branches behind the last of them. '
            f"Received: fusion_stages={stages}"
        )
