"""Where the right candidates of a query stand when sorted by score."""

from keras import ops

from keras_fusion.types import Tensor


def right_and_scores(y_true: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Boolean matrix of right candidates, and scores in which NaN is last."""
    right = ops.convert_to_tensor(y_true)
    candidates = scores.shape[-1]
    if right.ndim == 1 or (right.shape[-1] == 1 and candidates > 1):
        right = ops.cast(ops.reshape(right, (-1, 1)), "int32")
        right = right == ops.arange(candidates, dtype="int32")[None, :]
    scores = ops.where(ops.isnan(scores), -float("inf"), scores)
    return ops.cast(right, "bool"), scores


def best_rank(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Place of the best right candidate, from 1; last among equal scores."""
    right, scores = right_and_scores(y_true, y_pred)
    best = ops.max(
        ops.where(right, scores, -float("inf")), axis=1, keepdims=True
    )
    ahead = ops.logical_and(ops.logical_not(right), scores >= best)
    return 1 + ops.sum(ops.cast(ahead, "int32"), axis=1)


def hits(y_true: Tensor, y_pred: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Right candidates among the first `k`, and right ones in all."""
    right, scores = right_and_scores(y_true, y_pred)
    in_all = ops.sum(ops.cast(right, "int32"), axis=1)
    first = min(k, scores.shape[-1])
    found = ops.top_k(ops.where(right, scores, -float("inf")), first)[0]
    wrong = ops.logical_not(right)[:, None, :]
    # (batch, first, candidates)
    ahead = ops.logical_and(wrong, scores[:, None, :] >= found[:, :, None])
    place = ops.arange(1, first + 1, dtype="int32")[None, :]
    within = place + ops.sum(ops.cast(ahead, "int32"), axis=2) <= k
    within = ops.logical_and(within, place <= in_all[:, None])
    return ops.sum(ops.cast(within, "int32"), axis=1), in_all
