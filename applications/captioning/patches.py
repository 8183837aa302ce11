"""A dictionary of patches, and maps of where an image looks like them.

Patches are drawn at random, brought to one contrast, whitened, and grouped by
spherical k-means. An image becomes a map for each group, pooled over a grid:
the input of the paper's convolutional network. The paper does not give the
side of patches, nor the activation; ours are 6 pixels, and what is above the
mean over all groups.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from applications import files

SIDE, GROUPS, GRID = 6, 128, 9
PATCHES, ROUNDS = 40000, 10
# Added to variances: of patches in gray levels, and of whitened directions.
CONTRAST, WHITEN = 10.0, 0.1
NAMES = ("mean", "projection")


def learn(pixels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Mean and projection of patches of uint8 (count, height, width, 3)."""
    rng = np.random.default_rng(seed)
    if min(pixels.shape[1:3]) < SIDE:
        raise ValueError(f"images must have {SIDE} pixels a side or more")
    patches = _normalized(_drawn(rng, pixels))
    mean = patches.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(patches - mean, rowvar=False))
    scale = 1 / np.sqrt(np.maximum(values, 0) + WHITEN)
    whiten = (vectors * scale) @ vectors.T
    centers = _spherical_k_means(rng, (patches - mean) @ whiten)
    return {
        "mean": mean.astype("float32"),
        "projection": (whiten @ centers.T).astype("float32"),
    }


def _drawn(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    count, height, width, _ = pixels.shape
    images = rng.integers(count, size=PATCHES)
    tops = rng.integers(height - SIDE + 1, size=PATCHES)
    lefts = rng.integers(width - SIDE + 1, size=PATCHES)
    found = [
        pixels[image, top : top + SIDE, left : left + SIDE].ravel()
        for image, top, left in zip(images, tops, lefts, strict=True)
    ]
    return np.array(found, "float32")


def _normalized(patches: np.ndarray) -> np.ndarray:
    patches = patches - patches.mean(axis=-1, keepdims=True)
    variance = patches.var(axis=-1, keepdims=True)
    return patches / np.sqrt(variance + CONTRAST)


def _spherical_k_means(
    rng: np.random.Generator, patches: np.ndarray
) -> np.ndarray:
    """Unit vectors, to one of which each patch is the most similar."""
    centers = _unit(rng.normal(size=(GROUPS, patches.shape[1])))
    for _ in range(ROUNDS):
        similar = patches @ centers.T
        best = np.abs(similar).argmax(axis=1)
        weights = np.zeros_like(similar)
        rows = np.arange(len(patches))
        weights[rows, best] = similar[rows, best]
        # A group without patches stays where it is.
        centers = _unit(weights.T @ patches + 1e-6 * centers)
    return centers


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def maps(pixels: np.ndarray, dictionary: dict[str, np.ndarray]) -> np.ndarray:
    """float32 (count, 9, 9, groups): the highest activation in each cell."""
    windows = np.lib.stride_tricks.sliding_window_view(
        pixels, (SIDE, SIDE), axis=(1, 2)
    )
    result = []
    for image in windows:
        # (rows, columns, channels, side, side) as patches are laid out.
        patches = np.moveaxis(image, 2, -1)
        patches = patches.reshape(*patches.shape[:2], -1)
        similar = _normalized(patches) - dictionary["mean"]
        similar = similar @ dictionary["projection"]
        active = similar - similar.mean(axis=-1, keepdims=True)
        result.append(_pooled(np.maximum(active, 0)))
    return np.array(result, "float32")


def _pooled(active: np.ndarray) -> np.ndarray:
    for axis in (0, 1):
        cells = np.array_split(np.arange(active.shape[axis]), GRID)
        if not len(cells[-1]):
            raise ValueError(
                f"images must have {GRID + SIDE - 1} pixels a side or more"
            )
        best = [active.take(cell, axis=axis).max(axis=axis) for cell in cells]
        active = np.stack(best, axis=axis)
    return active


def write(file: Path, dictionary: dict[str, np.ndarray]) -> None:
    with files.replacing(file) as temporary, open(temporary, "wb") as opened:
        np.savez(opened, **dictionary)


def open_dictionary(file: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from pixels to maps, of a file that `write` wrote."""
    try:
        with np.load(file, allow_pickle=False) as opened:
            dictionary = {name: opened[name] for name in NAMES}
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise ValueError(
            f"encoder_weights {file} is no dictionary of patches ({error}); "
            "write one with the verb dictionary"
        ) from error
    return lambda pixels: maps(pixels, dictionary)
