"""The constant feature of tensor fusions."""

from keras import ops

from keras_fusion.types import Tensor


def prepend_one(x: Tensor) -> Tensor:
    """`(batch, features)` behind a first feature that is 1.

    With it a product over modalities keeps the products of fewer of them.
    """
    return ops.concatenate([ops.ones_like(x[:, :1]), x], axis=-1)
