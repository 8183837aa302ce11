"""What the weights of a fusion say of its branches."""

import numpy as np

__all__ = ["branch_statistics"]


def branch_statistics(
    weights: np.ndarray, activations: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Says how much each of S branches counts in a sum over branches.

    The share of a branch in a channel is `|weight|` over the sum of `|weight|`
    of all branches; the contribution is the same of `|weight| * activation`,
    because weights alone mislead where branches differ in scale. Both are
    averaged over the channels that any branch reaches: in the others, 0 of 0
    is no share. They sum to 1, or are all 0 where no channel is reached.

    Args:
        weights: Array `(K, S)`, a weight for each channel and branch.
        activations: Array `(K, S)`, the mean absolute value that each weight
            is multiplied by on a data set. Without it there is no
            `"contribution"`. Defaults to `None`.

    Returns:
        Dict of arrays `(S,)`: `"mean"` and `"mean_absolute"` of the weights,
        `"share"` and `"contribution"`.

    Example:

    >>> statistics = keras_fusion.statistics.branch_statistics(
    ...     np.array([[1.0, -3.0], [0.0, 0.0]]), np.array([[9.0, 1.0]] * 2)
    ... )
    >>> statistics["share"], statistics["contribution"]
    (array([0.25, 0.75]), array([0.75, 0.25]))
    """
    sizes = np.abs(weights)
    statistics = {
        "mean": weights.mean(axis=0),
        "mean_absolute": sizes.mean(axis=0),
        "share": _mean_shares(sizes),
    }
    if activations is not None:
        statistics["contribution"] = _mean_shares(sizes * activations)
    return statistics


def _mean_shares(sizes: np.ndarray) -> np.ndarray:
    totals = sizes.sum(axis=1)
    reached = totals > 0
    if not reached.any():
        return np.zeros(sizes.shape[1])
    return (sizes[reached] / totals[reached, None]).mean(axis=0)
