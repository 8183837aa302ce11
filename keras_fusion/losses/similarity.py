"""Cosines, and sums of exponentials over chosen pairs."""

from keras import ops

from keras_fusion.types import Tensor

# Stands for minus infinity, without its NaN: no exponential survives it.
NEVER = -1e9


def unit_rows(x: Tensor) -> Tensor:
    """Rows of length 1; a row of zeros stays, with a finite gradient."""
    square = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(square + 1e-8)


def nan_where_not_finite(values: Tensor, *rows: Tensor) -> Tensor:
    """`values`, NaN where a row is: comparisons would choose no pair."""
    for row in rows:
        finite = ops.all(ops.isfinite(row), axis=-1)
        values = ops.where(finite, values, float("nan"))
    return values


def off_diagonal(square: Tensor) -> Tensor:
    """Boolean matrix as large as `square`: True but for a row's own column."""
    rows = ops.arange(ops.shape(square)[0])
    return rows[:, None] != rows[None, :]


def log_one_plus_sum(logits: Tensor, chosen: Tensor) -> Tensor:
    """For each row `log(1 + sum of exp(logits) over the chosen columns)`."""
    return ops.softplus(ops.logsumexp(ops.where(chosen, logits, NEVER), axis=1))
