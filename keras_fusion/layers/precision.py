"""The precision in which sums and exponentials are computed."""


def at_least_float32(dtype: str) -> str:
    """`dtype`, or float32 where that is more precise.

    `keras.backend.result_type` does not know of float64 on JAX.
    """
    return "float64" if dtype == "float64" else "float32"
