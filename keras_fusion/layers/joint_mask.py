"""The Keras mask of a sum of modalities."""

import functools

from keras import ops

from keras_fusion.types import Tensor


def joint_mask(masks: list[Tensor | None] | None) -> Tensor | None:
    """True where any modality is, as in Keras's sums and averages.

    None where a modality has no mask, for it is valid everywhere.
    """
    if not masks or any(mask is None for mask in masks):
        return None
    return functools.reduce(ops.logical_or, masks)
