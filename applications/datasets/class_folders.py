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

from applications.datasets import file_tree
from applications.datasets.file_tree import LeftOut
from applications.datasets.file_tree import natural_order
from applications.inputs import image as images

# Headers that are read before anything else happens.
LOOKED_AT = 5000


class Labeled(NamedTuple):
    """The files of a split and the class index of each."""

    files: tuple[Path, ...]
    labels: np.ndarray


class Scan(NamedTuple):
    """What is in a folder of classes."""

    classes: tuple[str, ...]
    splits: dict[str, Labeled]
    notes: tuple[str, ...]
    """What was left out, and how a validation part was made."""


def scan(
    root: str | Path, held_out: float = 0.1, known: Sequence[str] = ()
) -> Scan:
    """The labeled files of every split; `held_out` makes a validation part.

    Classes without files in a split are allowed. Their order is that of
    `known`, if it holds them all.
    """
    root, left_out = Path(root), LeftOut(Path(root))
    parts = file_tree.find_splits(root, left_out) or {"train": root}
    by_class = {name: _by_class(p, left_out) for name, p in parts.items()}
    present = {name for files in by_class.values() for name in files}
    if present <= set(known):
        classes = tuple(known)
    else:
        classes = tuple(sorted(present, key=natural_order))
    if len(classes) < 2:
        raise ValueError(
            f"{root} has {len(classes)} class folders; expected two or more, "
            f"as {root / 'cat' / '0001.png'}, or "
            f"{root / 'train' / 'cat' / '0001.png'}"
        )
    splits = {name: _label(by_class[name], classes) for name in parts}
    notes = left_out.lines()
    if "train" in splits and "validation" not in splits and held_out:
        kept, held = hold_out(splits["train"].labels, held_out)
        train = splits["train"]
        if len(held):
            splits["train"] = chosen(train, kept)
            splits["validation"] = chosen(train, held)
            share = f"validation is 1 in {every(held_out)} of train"
            notes = (share, *notes)
    return Scan(classes, splits, notes)


def hold_out(labels: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices to keep and to hold out, the same share of every class.

    Of each class every n-th example is held out, in the order in which they
    stand, so that the parts depend on nothing but the data.
    """
    step = every(share)
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        held[np.flatnonzero(labels == label)[step - 1 :: step]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def every(share: float) -> int:
    """One in how many examples is held out."""
    return max(2, round(1 / share))


def images_below(folder: Path, left_out: LeftOut) -> tuple[Path, ...]:
    """All image files under a folder, however deep, in natural order."""
    files = []
    for path in file_tree.files_below(folder, left_out):
        if path.suffix.lower() in images.PICTURES:
            files.append(path)
        else:
            left_out.add(path, "not images")
    if not files:
        raise ValueError(
            f"{folder} holds no image; expected files ending in "
            f"{', '.join(images.PICTURES)}"
        )
    return tuple(sorted(files, key=lambda path: natural_order(str(path))))


def shape_of(path: Path) -> tuple[int, int, int]:
    """Height, width and channels, 1 for gray images and 3 for others."""
    with _opened(path) as image:
        channels = 1 if image.mode in images.GRAY_MODES else 3
        return (*images.upright_size(image), channels)


def common_shape(files: Sequence[Path]) -> tuple[int, int, int]:
    """The one size of all images; gray ones among color count as color."""
    shapes: dict[tuple[int, int, int], Path] = {}
    # Decoders let go of the interpreter lock.
    with ThreadPoolExecutor() as pool:
        for path, shape in zip(files, pool.map(shape_of, files), strict=True):
            shapes.setdefault(shape, path)
    first, *others = {shape[:2] for shape in shapes}
    if others:
        examples = [
            f"{height} x {width} ({shapes[height, width, channels]})"
            for height, width, channels in list(shapes)[:3]
        ]
        raise ValueError(
            f"the images differ in size: {', '.join(examples)}; give "
            "--image-shape HEIGHT WIDTH CHANNELS to bring all to one size"
        )
    return (*first, max(shape[2] for shape in shapes))


class ImageFiles:
    """Images of one shape, decoded when they are asked for by their indices.

    With `resized` images of another size are brought to it; else they are an
    error, as are images in color where others are gray.
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
        with ThreadPoolExecutor() as pool:
            pixels = list(pool.map(self._read, indices))
        return np.stack(pixels)

    def _read(self, index: int) -> np.ndarray:
        path = self.files[int(index)]
        height, width, channels = self.shape
        mode = "L" if channels == 1 else "RGB"
        with _opened(path) as image:
            self._check(path, image)
            try:
                pixels = np.asarray(image.convert(mode))
            except (OSError, SyntaxError, ValueError) as error:
                raise ValueError(
                    f"{path} is damaged or cut short ({error}); replace it, "
                    "or take it away"
                ) from error
            pixels = images.upright(pixels, image)
        if pixels.shape[:2] != (height, width):
            resized = Image.fromarray(pixels).resize(
                (width, height), Image.Resampling.BILINEAR
            )
            pixels = np.asarray(resized)
        return pixels.reshape(self.shape)

    def _check(self, path: Path, image: Image.Image) -> None:
        size, (*expected, channels) = images.upright_size(image), self.shape
        in_color = image.mode not in images.GRAY_MODES
        if self.resized or (
            size == tuple(expected) and not (in_color and channels == 1)
        ):
            return
        raise ValueError(
            f"{path} has {size[0]} x {size[1]} pixels"
            f"{' in color' * in_color}, others have {expected[0]} x "
            f"{expected[1]}{' in gray' * (channels == 1)}; give --image-shape "
            "HEIGHT WIDTH CHANNELS to bring all to one shape"
        )


def _by_class(part: Path, left_out: LeftOut) -> dict[str, tuple[Path, ...]]:
    """The images of each class folder."""
    if hint := file_tree.further_down(part):
        raise ValueError(f"{part} holds no folders of classes{hint}")
    found = {}
    for path in file_tree.entries(part, left_out):
        if path.is_dir():
            found[path.name] = images_below(path, left_out)
        else:
            left_out.add(path, "beside the class folders")
    return found


def _label(
    files: dict[str, tuple[Path, ...]], classes: Sequence[str]
) -> Labeled:
    counts = [len(files.get(name, ())) for name in classes]
    return Labeled(
        tuple(path for name in classes for path in files.get(name, ())),
        np.repeat(np.arange(len(classes), dtype="int64"), counts),
    )


def chosen(split: Labeled, indices: np.ndarray) -> Labeled:
    """The examples of these indices."""
    files = tuple(split.files[index] for index in indices)
    return Labeled(files, split.labels[indices])


def _opened(path: Path) -> Image.Image:
    image = images.open_image(path)
    if images.bits(image, path) > 8:
        image.close()
        raise ValueError(
            f"{path} has more than 8 bits a channel; expected 8, convert it "
            "first"
        )
    return image
