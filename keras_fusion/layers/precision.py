"""The precision in which sums, products and exponentials are computed."""

import keras
from keras import ops

from keras_fusion.types import Tensor

LARGEST_FLOAT16 = 65504.0


def at_least_float32(dtype: str) -> str:
    """`dtype`, or float32 where that is more precise.

    `keras.backend.result_type` does not know of float64 on JAX.
    """
    return "float64" if dtype == "float64" else "float32"


def cast_within_range(x: Tensor, dtype: str) -> Tensor:
    """Casts to `dtype`; what float16 cannot hold becomes its largest number.

    Products of two and more modalities leave its range at values of a few
    hundred, and infinities would become NaN in the layers behind.
    """
    if dtype == "float16":
        x = ops.clip(x, -LARGEST_FLOAT16, LARGEST_FLOAT16)
    return ops.cast(x, dtype)


def policy_behind_product(policy: keras.DTypePolicy) -> keras.DTypePolicy:
    """`policy`, or float32 in place of mixed float16.

    For sublayers that take a product, whose sums leave the range of float16.
    """
    if policy.name == "mixed_float16":
        return keras.DTypePolicy("float32")
    return policy
