"""Masks of class indices: read, check, resize."""

from pathlib import Path

import numpy as np
from PIL import Image

from applications.inputs import image as images

IGNORE = 255
EXTENSIONS = (".bmp", ".npy", ".png", ".tif", ".tiff")
LOSSY = ("jpeg", "tiff_jpeg", "webp")
# Of TIFF: gray levels are stored the other way round.
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0


def read(path: Path, num_classes: int) -> np.ndarray:
    """One mask of class indices as (height, width) uint8."""
    label = read_indices(path)
    wrong = (label < 0) | ((label >= num_classes) & (label != IGNORE))
    if wrong.any():
        raise ValueError(
            f"{path} holds the label {label[wrong].flat[0]}; expected 0 to "
            f"{num_classes - 1} ({num_classes} classes) or {IGNORE} for "
            "pixels to ignore; list every class in classes.txt"
        )
    return label.astype("uint8")


def read_indices(path: Path) -> np.ndarray:
    """The numbers of a mask as they are stored, whole ones of any width."""
    if path.suffix.lower() == ".npy":
        array = np.array(images.open_array(path))
        flat = array.ndim == 2 or array.shape[2] == 1
        if array.dtype.kind in "ui" and flat:
            return array.reshape(array.shape[:2])
        received = f"{array.dtype} of shape {array.shape}"
    else:
        image = images.decode(path)
        lossy = image.info.get("compression") in LOSSY
        inverted = _tag(image, PHOTOMETRIC) == WHITE_IS_ZERO
        flat = image.mode in ("1", "L", "P") or image.mode[0] == "I"
        if flat and not lossy and not inverted:
            indices = np.asarray(image) // _stretch(image, path)
            return images.upright(indices, image)
        received = f"{image.format} of mode {image.mode}"
        received += ", lossy" * lossy + ", stored inverted" * inverted
    raise ValueError(
        f"{path} is {received}; a mask holds one class index a pixel: a "
        "palette or gray PNG, or whole numbers of shape (height, width)"
    )


def _stretch(image: Image.Image, path: Path) -> int:
    """What Pillow multiplies gray levels of 2 and 4 bits by."""
    if image.mode != "L":
        return 1
    return {2: 85, 4: 17}.get(images.bits(image, path), 1)


def _tag(image: Image.Image, number: int) -> int | None:
    return image.tag_v2.get(number) if image.format == "TIFF" else None


def resize(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The nearest index, to (height, width)."""
    image = Image.fromarray(np.ascontiguousarray(label))
    return np.asarray(image.resize(size[::-1], Image.Resampling.NEAREST))
