"""Images in a folder for each class: `DIR/<class>/<name>.<png|jpg|...>`.

```
DIR/cat/0001.png              or DIR/train/cat/0001.png and so on,
DIR/dog/0001.jpg              DIR/validation/..., DIR/test/...
```

Without `validation/` a share of each class is held out of the training part:
every n-th file in the natural order of their names. Whatever does not fit is
one `ValueError` that names the file.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from applications.datasets.paired_folder import SPLITS
from applications.datasets.paired_folder import natural_order
from applications.inputs import image as images

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
GRAY_MODES = ("1", "L", "LA")
DEEP_MODES = ("I", "F")


class Labeled(NamedTuple):
    """The files of a split and the class index of each."""

    files: tuple[Path, ...]
    labels: np.ndarray


def class_names(root: str | Path) -> tuple[str, ...]:
    """The names of all class folders, of all splits together, in order."""
    names = sorted(
        {
            folder.name
            for part in _parts(Path(root)).values()
            for folder in _folders(part)
        },
        key=natural_order,
    )
    if len(names) < 2:
        raise ValueError(
            f"{root} has {len(names)} class folders; expected two or more, "
            f"as {Path(root) / 'cat' / '0001.png'}, or "
            f"{Path(root) / 'train' / 'cat' / '0001.png'}"
        )
    return tuple(names)


def scan(
    root: str | Path, classes: Sequence[str], held_out: float = 0.1
) -> dict[str, Labeled]:
    """The labeled files of every split; `held_out` makes a validation part.

    Classes without files in a split are allowed; folders of other names
    are not.
    """
    splits = {
        name: _scan_part(part, classes)
        for name, part in _parts(Path(root)).items()
    }
    if "train" in splits and "validation" not in splits and held_out:
        kept, held = hold_out(splits["train"].labels, held_out)
        train = splits["train"]
        if len(held):
            splits["train"] = chosen(train, kept)
            splits["validation"] = chosen(train, held)
    return splits


def hold_out(labels: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices to keep and to hold out, the same share of every class.

    Of each class every n-th example is held out, in the order in which they
    stand, so that the parts depend on nothing but the data.
    """
    every = max(2, round(1 / share))
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        held[np.flatnonzero(labels == label)[every - 1 :: every]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def images_below(folder: str | Path) -> tuple[Path, ...]:
    """All image files under a folder, however deep, in natural order."""
    files = [
        path
        for path in Path(folder).rglob("*")
        if path.suffix.lower() in EXTENSIONS and path.is_file()
    ]
    if not files:
        raise ValueError(
            f"{folder} holds no image; expected files ending in "
            f"{', '.join(EXTENSIONS)}"
        )
    return tuple(sorted(files, key=lambda path: natural_order(str(path))))


def shape_of(path: Path) -> tuple[int, int, int]:
    """Height, width and channels, 1 for gray images and 3 for others."""
    with _opened(path) as image:
        channels = 1 if image.mode in GRAY_MODES else 3
        height, width = images.upright_size(image)
        return height, width, channels


class ImageFiles:
    """Images of one shape, decoded when they are asked for by their indices.

    With `resized` images of another size are brought to it; else they are an
    error.
    """

    def __init__(
        self,
        files: Sequence[Path],
        shape: tuple[int, int, int],
        resized: bool,
    ):
        self.files = files
        self.shape = tuple(shape)
        self.resized = resized

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """uint8 (count, height, width, channels)."""
        # Decoders let go of the interpreter lock.
        with ThreadPoolExecutor() as pool:
            images = list(pool.map(self._read, indices))
        return np.stack(images)

    def check(self) -> None:
        """Reads all headers; the size of what is decoded is checked then."""
        for path in self.files:
            self._check_size(path, shape_of(path)[:2])

    def _read(self, index: int) -> np.ndarray:
        path = self.files[int(index)]
        height, width, channels = self.shape
        mode = "L" if channels == 1 else "RGB"
        with _opened(path) as image:
            self._check_size(path, images.upright_size(image))
            try:
                pixels = np.asarray(image.convert(mode))
            except (OSError, SyntaxError, ValueError) as error:
                raise ValueError(
                    f"{path} is damaged or cut short: {error}"
                ) from error
            pixels = images.upright(pixels, image)
        if pixels.shape[:2] != (height, width):
            resized = Image.fromarray(pixels).resize(
                (width, height), Image.Resampling.BILINEAR
            )
            pixels = np.asarray(resized)
        return pixels.reshape(self.shape)

    def _check_size(self, path: Path, size: tuple[int, int]) -> None:
        if not self.resized and size != self.shape[:2]:
            raise ValueError(
                f"{path} has {size[0]} x {size[1]} pixels, others have "
                f"{self.shape[0]} x {self.shape[1]}; give --image-shape "
                "HEIGHT WIDTH CHANNELS to bring all to one size"
            )


def _parts(root: Path) -> dict[str, Path]:
    """The folder of each split; a folder of classes is a training part."""
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; expected folders of classes")
    parts = {name: root / name for name in SPLITS if (root / name).is_dir()}
    return parts or {"train": root}


def _folders(part: Path) -> list[Path]:
    return [
        path
        for path in part.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    ]


def _scan_part(part: Path, classes: Sequence[str]) -> Labeled:
    present = {folder.name for folder in _folders(part)}
    if unknown := sorted(present - set(classes)):
        raise ValueError(
            f"{part / unknown[0]} is not a known class; they are: "
            f"{', '.join(classes)}"
        )
    files, labels = [], []
    for label, name in enumerate(classes):
        if name in present:
            images = images_below(part / name)
            files += images
            labels += [label] * len(images)
    return Labeled(tuple(files), np.array(labels, "int64"))


def chosen(split: Labeled, indices: np.ndarray) -> Labeled:
    """The examples of these indices."""
    files = tuple(split.files[index] for index in indices)
    return Labeled(files, split.labels[indices])


def _opened(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} is too large: {error}") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path} could not be read as an image") from error
    if image.mode.startswith(DEEP_MODES) or images.is_16_bit(path):
        image.close()
        raise ValueError(
            f"{path} has more than 8 bits a channel; expected 8, convert it "
            "first"
        )
    return image
