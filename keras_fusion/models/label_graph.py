import numpy as np


def label_cooccurrence(labels: np.ndarray) -> np.ndarray:
    """How probable each label is where another one is.

        A[c, k] = examples with c and k / examples with c that tell about k

    The diagonal is zero: what a category has itself it need not be told. A
    category without an example has a row of zeros.

    Args:
        labels: Array `(examples, categories)` of 1, 0 and, where it is
            unknown, -1.

    Returns:
        A float32 array `(categories, categories)`, for the adjacency of
        `keras_fusion.layers.GatedGraph`.

    Raises:
        ValueError: If the labels do not have two axes or hold other numbers.

    Example:

    >>> labels = np.array([[1, 1, 0], [1, 0, -1], [0, 0, 1]])
    >>> keras_fusion.models.label_cooccurrence(labels).tolist()
    [[0.0, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]

    Reference:

    - [Chen et al., 2019](https://arxiv.org/abs/1908.07325), section 3.3
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or not np.isin(labels, (-1, 0, 1)).all():
        raise ValueError(
            "`labels` must be of shape (examples, categories) and hold 1, 0 "
            f"and -1 for unknown. Received: shape={labels.shape}"
        )
    present = (labels == 1).astype("float64")
    together = present.T @ present
    told = present.T @ (labels != -1).astype("float64")
    graph = np.divide(together, told, out=np.zeros_like(told), where=told > 0)
    np.fill_diagonal(graph, 0)
    return graph.astype("float32")
