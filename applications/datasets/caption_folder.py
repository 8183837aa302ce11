"""Images with captions: `DIR/train/captions.txt`, the form of Flickr8k.

```
DIR/train/captions.txt        CSV with the columns image and caption, a row a
DIR/train/images/0001.jpg     caption; as many for an image as there are
DIR/validation/...            optional, as val, valid or dev too
DIR/test/...                  optional
```

Without folders of splits `DIR/captions.txt` is the training part. Without a
validation part every n-th image of the training part is held out, with all
its captions. Images may stand beside `captions.txt` too. NLVR's form, one JSON
object a line, is read by `drawn_statements.py`, IAPR TC-12's, an annotation a
photo, by `described_photos.py`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from applications.datasets import class_folders
from applications.datasets import described_photos
from applications.datasets import drawn_statements
from applications.datasets import file_tree
from applications.datasets import rows as row_files
from applications.datasets.file_tree import LeftOut
from applications.inputs import caption as captions
from applications.inputs import image as images

FILES = ("captions.txt", "captions.csv")
FOLDERS = ("images", "Images", ".")
IMAGE, CAPTION = "image", "caption"


class Captioned(NamedTuple):
    """The images of a split, and captions of them."""

    files: tuple[Path, ...]
    image_of: np.ndarray
    """int64, for each caption the index of its image."""
    texts: tuple[str, ...]


class Scan(NamedTuple):
    splits: dict[str, Captioned]
    notes: tuple[str, ...]
    """What was left out, and how a validation part was made."""


def scan(root: str | Path, held_out: float = 0.1) -> Scan:
    """The images and captions of every split that there is."""
    root, left_out = Path(root), LeftOut(Path(root))
    if described_photos.are_here(root):
        splits = _described(root, left_out)
    else:
        parts = file_tree.find_splits(root, left_out) or {"train": root}
        splits = {name: _read(part, left_out) for name, part in parts.items()}
    notes = left_out.lines()
    if "train" in splits and "validation" not in splits and held_out:
        train = splits["train"]
        kept, held = class_folders.hold_out(
            np.zeros(len(train.files), "int64"), held_out
        )
        if len(held):
            splits["train"] = of_images(train, kept)
            splits["validation"] = of_images(train, held)
            share = class_folders.every(held_out)
            notes = (f"validation is 1 in {share} images of train", *notes)
    ordered = {n: splits[n] for n in file_tree.SPLITS if n in splits}
    return Scan(ordered, notes)


def of_images(part: Captioned, chosen: np.ndarray) -> Captioned:
    """The captions of some of the images."""
    places = np.full(len(part.files), -1, "int64")
    places[chosen] = np.arange(len(chosen))
    image_of = places[part.image_of]
    kept = np.flatnonzero(image_of >= 0)
    return Captioned(
        tuple(part.files[index] for index in chosen),
        image_of[kept],
        tuple(part.texts[index] for index in kept),
    )


def _described(root: Path, left_out: LeftOut) -> dict[str, Captioned]:
    folder = root / described_photos.IMAGES
    found = described_photos.pairs(root, left_out)
    splits = {
        name: _captioned(pairs, f"the {name} part of {root}", str(folder))
        for name, pairs in found.items()
    }
    used = {path for part in splits.values() for path in part.files}
    _note_other_images(folder, used, left_out)
    return splits


def captions_file(folder: Path) -> Path | None:
    for name in FILES:
        if (folder / name).is_file():
            return folder / name
    return None


def _read(folder: Path, left_out: LeftOut) -> Captioned:
    file = captions_file(folder)
    if file is not None:
        pairs = _pairs(file, left_out)
    elif file := drawn_statements.statements_file(folder):
        pairs = drawn_statements.pairs(file, left_out)
    else:
        raise ValueError(
            f"{folder} has no captions.txt; expected a CSV file with the "
            f"columns image and caption; it holds {file_tree.listing(folder)}"
            f"{file_tree.further_down(folder)}"
        )
    places = f"{folder / 'images'} and beside it"
    found = _captioned(pairs, str(file), places)
    _note_other_images(folder, set(found.files), left_out)
    return found


def _captioned(
    pairs: Iterable[tuple[Path, str]], source: str, places: str
) -> Captioned:
    by_image: dict[Path, list[str]] = {}
    for path, text in pairs:
        by_image.setdefault(path, []).append(text)
    if not by_image:
        raise ValueError(
            f"{source} has no caption of an image that is there; its images "
            f"are looked for in {places}"
        )
    counts = [len(texts) for texts in by_image.values()]
    return Captioned(
        tuple(by_image),
        np.repeat(np.arange(len(counts), dtype="int64"), counts),
        tuple(text for texts in by_image.values() for text in texts),
    )


def _pairs(file: Path, left_out: LeftOut) -> Iterable[tuple[Path, str]]:
    """Image and caption of each row that has both."""
    table = row_files.read(file)
    if missing := {IMAGE, CAPTION} - set(table.columns):
        raise ValueError(
            f"{file} has no column {min(missing)!r}; its first line must be "
            f"image,caption; received {', '.join(table.columns)}"
        )
    found: dict[str, Path | None] = {}
    for number, row in enumerate(table.rows, 1):
        name, text = row[IMAGE], row[CAPTION]
        place = file.with_name(f"{file.name}, row {number}")
        if name is None or not captions.split(text or ""):
            what = "an image" if name is None else "a caption"
            left_out.add(place, f"rows without {what}")
            continue
        if name not in found:
            found[name] = _find(file.parent, name)
        path = found[name]
        if path is None:
            reason = "rows whose image is not there"
            # The name may be of a file in a folder.
            left_out.add(file.parent / f"{place.name} ({name})", reason)
        else:
            yield path, text


def _find(folder: Path, name: str) -> Path | None:
    for inner in FOLDERS:
        path = folder / inner / name
        if path.is_file():
            return path
    return None


def _note_other_images(
    folder: Path, used: set[Path], left_out: LeftOut
) -> None:
    ignored = LeftOut(left_out.root)
    for path in file_tree.files_below(folder, ignored):
        if path.suffix.lower() in images.PICTURES and path not in used:
            left_out.add(path, "images without a caption")
