"""Outputs of a network by the names of its modalities."""

from collections.abc import Collection
from collections.abc import Sequence

from keras_fusion.layers import LearnedEnsemble
from keras_fusion.types import Tensor

ENSEMBLE = "ensemble"


def outputs_by_name(
    outputs: list[Tensor], modalities: Collection[str]
) -> dict[str, Tensor]:
    """Names the outputs of the branches and adds their ensemble."""
    if len(modalities) == 1:
        # No other branch, so its loss has to pass through the ensemble.
        ensemble = ensemble_of(stop_gradient=False)
        return {modality: ensemble(outputs) for modality in modalities}
    if len(outputs) == 1:
        return {ENSEMBLE: outputs[0]}
    named = dict(zip(modalities, outputs, strict=True))
    return {**named, ENSEMBLE: ensemble_of(stop_gradient=True)(outputs)}


def ensemble_of(stop_gradient: bool) -> LearnedEnsemble:
    return LearnedEnsemble(
        stop_gradient, dtype="float32", name="ensemble_weights"
    )


def check_modalities(
    modalities: Sequence[str], reserved: str = ENSEMBLE
) -> None:
    names = list(modalities)
    if not names or len(set(names)) < len(names) or reserved in names:
        raise ValueError(
            "`modalities` must be one or more different names, none of them "
            f'"{reserved}". Received: modalities={modalities}'
        )
