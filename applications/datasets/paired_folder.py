"""Aligned images in folders: `DIR/<split>/<modality>/<id>.<png|jpg|npy>`.

```
DIR/classes.txt               optional, a name a line
DIR/train/rgb/0001.jpg        8 or 16 bit, 1 or 3 channels; alpha is dropped
DIR/train/depth/0001.png
DIR/train/label/0001.png      palette or gray, the class index; 255: ignore
DIR/validation/...            optional: else blocks of train are held out
DIR/test/...                  optional
```

`val/`, `valid/` and `dev/` are `validation/` too, in any case. Headers are read
for every file before anything else happens, pixels when an example is asked
for. Whatever does not fit is one `ValueError` that names the
file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from applications import files
from applications.datasets import file_tree
from applications.datasets.file_tree import LeftOut
from applications.datasets.file_tree import listing
from applications.datasets.file_tree import natural_order
from applications.inputs import image as images
from applications.inputs import mask as masks
from applications.inputs.image import as_color
from applications.inputs.mask import IGNORE

CLASSES = "classes.txt"
LABEL = "label"


class Example(NamedTuple):
    """The files of one example; sizes are (height, width)."""

    id: str
    images: dict[str, Path]
    label: Path | None
    size: tuple[int, int]
    channels: dict[str, int]


class Scan(NamedTuple):
    """What is in a folder of splits."""

    splits: dict[str, tuple[Example, ...]]
    notes: tuple[str, ...]
    """What was left out, and how a validation part was made."""


def has_splits(root: str | Path) -> bool:
    return bool(file_tree.find_splits(Path(root), LeftOut(Path(root))))


def scan(
    root: str | Path,
    modalities: Sequence[str],
    block: int = 12,
    label: str | None = LABEL,
) -> Scan:
    """The labeled examples of every split that `root` has.

    Their masks are in the folders `label`; None: they have none.

    Without `validation/`, every fifth block of `block` consecutive ids of
    `train/` becomes it: neighbors in a recording can be near-copies, so a
    random choice would let the validation part leak into training.
    """
    root, left_out = Path(root), LeftOut(Path(root))
    parts = file_tree.find_splits(root, left_out)
    if not parts:
        raise ValueError(
            f"{root} has no {'/, '.join(file_tree.SPLITS)}/ folder; it holds "
            f"{listing(root)}. Expected "
            f"{root / 'train' / modalities[0]}/<id>.png and so on"
        )
    # What is to be predicted: without masks, the last of the images.
    truth = modalities[-1] if label is None else label
    if "test" in parts and not (parts["test"] / truth).is_dir():
        left_out.add(parts.pop("test"), f"a test part without {truth}/")
    splits = {
        name: scan_split(folder, modalities, left_out, label=label)
        for name, folder in parts.items()
    }
    check_channels(splits)
    notes = left_out.lines()
    if "train" in splits and "validation" not in splits:
        kept, held = hold_out(splits["train"], block)
        splits["train"] = kept
        if held:
            splits["validation"] = held
            notes = ("validation is every fifth block of train", *notes)
    return Scan(splits, notes)


def hold_out(examples: Sequence, block: int = 12) -> tuple[tuple, tuple]:
    """Splits a sequence into (kept, held): every fifth block is held out.

    Blocks shrink until there are five of them, so that small sets have a
    validation part too; fewer than five examples are all kept.
    """
    block = min(block, max(1, len(examples) // 5))
    kept, held = [], []
    for index, example in enumerate(examples):
        (held if index // block % 5 == 4 else kept).append(example)
    return tuple(kept), tuple(held)


def scan_split(
    folder: Path,
    modalities: Sequence[str],
    left_out: LeftOut,
    problems: list[str] | None = None,
    label: str | None = LABEL,
) -> tuple[Example, ...]:
    """The examples of one split in the natural order of their ids.

    With None for `label`, or with a list for `problems`, they need no labels;
    with the list, those that do not fit are left out, and it says why.
    """
    labeled = problems is None and label is not None
    names = (*modalities, label) if labeled else tuple(modalities)
    for path in file_tree.entries(folder, left_out):
        if path.name not in (*names, label):
            reason = "folders of no modality that was asked for"
            left_out.add(path, reason if path.is_dir() else "beside folders")
    files = {
        name: _files_by_id(folder, name, left_out, name == label)
        for name in names
    }
    ids = set().union(*files.values())
    if not ids:
        raise ValueError(
            f"{folder} is empty: {folder / names[0]} holds no "
            f"{', '.join(images.EXTENSIONS)} file"
        )
    examples = []
    for identifier in sorted(ids, key=natural_order):
        try:
            check_partners(folder, files, identifier)
            mask = label if labeled else None
            examples.append(example_of(identifier, files, mask))
        except ValueError as error:
            if problems is None:
                raise
            problems.append(str(error))
    return tuple(examples)


def class_names(root: str | Path) -> tuple[str, ...] | None:
    """The names in `classes.txt`; None where there is no such file."""
    listed = Path(root) / CLASSES
    if not listed.is_file():
        return None
    lines = files.read_text(listed).splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    if not 0 < len(names) <= IGNORE or len(set(names)) < len(names):
        raise ValueError(
            f"{listed} must hold 1 to {IGNORE} different names, one a line; "
            f"it holds {len(names)}, {len(set(names))} of them different"
        )
    return names


def numbered_classes(
    splits: dict[str, tuple[Example, ...]],
) -> tuple[str, ...]:
    """A name for each number up to the highest in any mask."""
    highest = 0
    for example in (e for split in splits.values() for e in split):
        indices = masks.read_indices(example.label)
        known = indices[indices != IGNORE]
        highest = max(highest, int(known.max(initial=0)))
        if highest >= IGNORE:
            raise ValueError(
                f"{example.label} holds the label {highest}; expected 0 to "
                f"{IGNORE - 1}, or {IGNORE} for pixels to ignore"
            )
    return tuple(f"class {value}" for value in range(highest + 1))


class PairedFolder(Sequence):
    """Decoded examples: a dict of (height, width, channels) arrays each.

    The arrays are uint8, uint16 or float32 under the names of the modalities;
    `label` is (height, width) uint8, and absent where there is no mask.
    """

    def __init__(self, examples: Sequence[Example], num_classes: int = 0):
        self.examples = examples
        self.num_classes = num_classes

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        example = self.examples[index]
        arrays = {name: images.read(p) for name, p in example.images.items()}
        if example.label is not None:
            arrays[LABEL] = masks.read(example.label, self.num_classes)
        return arrays


def _files_by_id(
    folder: Path, name: str, left_out: LeftOut, are_masks: bool
) -> dict[str, Path]:
    if not (folder / name).is_dir():
        raise ValueError(
            f"{folder} has no folder {name}/; it holds {listing(folder)}. "
            "Its folders have to be named as the modalities, and label"
        )
    allowed = masks.EXTENSIONS if are_masks else images.EXTENSIONS
    files: dict[str, Path] = {}
    for path in file_tree.entries(folder / name, left_out):
        if path.suffix.lower() not in images.EXTENSIONS:
            left_out.add(path, "not images")
            continue
        if path.suffix.lower() not in allowed:
            raise ValueError(
                f"{path}: a mask must be lossless, one of {', '.join(allowed)}"
            )
        if path.stem in files:
            raise ValueError(
                f"{path} and {files[path.stem].name} have the same id "
                f"{path.stem!r}; keep one of them"
            )
        files[path.stem] = path
    return files


def check_partners(
    folder: Path, files: dict[str, dict[str, Path]], identifier: str
) -> None:
    """Raises ValueError where an id has no file in one of the folders."""
    missing = [name for name in files if identifier not in files[name]]
    if missing:
        present = next(
            by_id[identifier] for by_id in files.values() if identifier in by_id
        )
        raise ValueError(
            f"{present} has no partner in {folder / missing[0]}/: "
            f"expected a file {identifier} with one of "
            f"{', '.join(images.EXTENSIONS)}"
        )


def example_of(
    identifier: str, files: dict[str, dict[str, Path]], mask: str | None
) -> Example:
    """An example whose images are as large as each other, by their headers."""
    paths = {name: by_id[identifier] for name, by_id in files.items()}
    headers = {name: images.read_header(path) for name, path in paths.items()}
    first = next(iter(paths))
    for name, header in headers.items():
        if header.size != headers[first].size:
            raise ValueError(
                f"{paths[name]} is {_size_text(header)}, but {paths[first]} is "
                f"{_size_text(headers[first])} (height x width); the images "
                "of an example must be aligned pixel by pixel"
            )
    label = paths.pop(mask) if mask else None
    channels = {name: headers[name].channels for name in paths}
    return Example(identifier, paths, label, headers[first].size, channels)


def _size_text(header: images.Header) -> str:
    return "{} x {}".format(*header.size)


def check_channels(splits: dict[str, tuple[Example, ...]]) -> None:
    """Raises ValueError where images of a modality differ in channels."""
    examples = [example for split in splits.values() for example in split]
    for name, count in examples[0].channels.items():
        for example in examples:
            if as_color(example.channels[name]) != as_color(count):
                raise ValueError(
                    f"{example.images[name]} has {example.channels[name]} "
                    f"channels, but {examples[0].images[name]} has {count}"
                )
