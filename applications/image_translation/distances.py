"""Distances between two sets of features: Fréchet's and the kernel's.

Args of both are float64 (examples, features), with at least two examples.
"""

import numpy as np

# Of which the Fréchet distance is little biased.
ENOUGH = 2048
# Rows of a kernel matrix that are made at once.
ROWS = 1024


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """That of the Gaussians with the means and covariances of two sets.

        |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))

    It is biased: of few examples it is too large (Heusel et al. 2017).
    """
    difference = first.mean(axis=0) - second.mean(axis=0)
    one, two = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (first, second))
    root = _square_root(one)
    # As root @ two @ root is symmetric, and has the same eigenvalues.
    eigenvalues = np.linalg.eigvalsh(root @ two @ root)
    covariance = np.sqrt(np.maximum(eigenvalues, 0)).sum()
    total = difference @ difference + np.trace(one) + np.trace(two)
    return float(total - 2 * covariance)


def _square_root(matrix: np.ndarray) -> np.ndarray:
    eigenvalues, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(eigenvalues, 0))) @ vectors.T


def kernel_distance(first: np.ndarray, second: np.ndarray) -> float:
    """The squared maximum mean discrepancy by k(x, y) = (x.y / d + 1)^3.

    It is the unbiased estimate from all pairs, so that its expectation does
    not depend on the number of examples, and it may be below 0 (Binkowski et
    al. 2018).
    """
    m, n = len(first), len(second)
    within_first = _kernel_sum(first, first) - _kernel_trace(first)
    within_second = _kernel_sum(second, second) - _kernel_trace(second)
    across = _kernel_sum(first, second)
    return float(
        within_first / (m * (m - 1))
        + within_second / (n * (n - 1))
        - 2 * across / (m * n)
    )


def _kernel_sum(first: np.ndarray, second: np.ndarray) -> float:
    return sum(
        _kernel(first[start : start + ROWS] @ second.T, first.shape[1]).sum()
        for start in range(0, len(first), ROWS)
    )


def _kernel_trace(x: np.ndarray) -> float:
    return _kernel((x * x).sum(axis=1), x.shape[1]).sum()


def _kernel(products: np.ndarray, num_features: int) -> np.ndarray:
    return (products / num_features + 1) ** 3
