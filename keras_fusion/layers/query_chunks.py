"""Work on a few queries at a time, to bound what it holds in memory."""

from collections.abc import Callable

import keras
from keras import ops

from keras_fusion.types import Tensor


def map_queries(
    function: Callable[..., Tensor],
    queries: Tensor,
    at_once: int,
    *shared: Tensor,
) -> Tensor:
    """Applies `function` to parts of `queries`, one part after the other.

    What `function` makes on its way is freed after each part, and made again
    for the backward pass.

    Args:
        function: Takes `(batch, at_once, features)`, and `shared`, to
            `(batch, at_once, ..., outputs)`.
        queries: Tensor `(batch, queries, features)`.
        at_once: Integer, how many queries `function` may be given. Above 1
            only where the number of queries is known.
        shared: Tensors for every call. Others that `function` reads get no
            gradient.

    Returns:
        Tensor `(batch, queries, ..., outputs)`.
    """
    batch, count, features = ops.shape(queries)
    chunks, chunk = count, 1
    if at_once > 1:
        # Equal chunks waste the fewest queries on padding.
        chunks = -(-count // at_once)
        chunk = -(-count // chunks)
        missing = chunks * chunk - count
        queries = ops.pad(queries, [(0, 0), (0, missing), (0, 0)])
    parts = ops.reshape(queries, (batch, chunks, chunk, features))
    repeatable = keras.remat(function)
    results = ops.map(
        lambda part: repeatable(part, *shared), ops.moveaxis(parts, 1, 0)
    )
    results = ops.moveaxis(results, 0, 1)
    batch, _, _, *rest = ops.shape(results)
    joined = ops.reshape(results, (batch, chunks * chunk, *rest))
    return joined[:, :count]
