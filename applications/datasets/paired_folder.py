"""Aligned images in folders: `DIR/<split>/<modality>/<id>.<png|jpg|npy>`.

```
DIR/classes.txt               optional, a name a line
DIR/train/rgb/0001.jpg        8 or 16 bit, 1 or 3 channels; alpha is dropped
DIR/train/depth/0001.png
DIR/train/label/0001.png      palette or gray, the class index; 255: ignore
DIR/validation/...            optional: else blocks of train are held out
DIR/test/...                  optional
```

Headers are read for every file before anything else happens, pixels when an
example is asked for. Whatever does not fit is one `ValueError` that names the
file.
"""

import re
from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from applications import files
from applications.inputs import image as images
from applications.inputs import mask as masks
from applications.inputs.image import as_color
from applications.inputs.mask import IGNORE

SPLITS = ("train", "validation", "test")
LABEL = "label"


class Example(NamedTuple):
    """The files of one example; sizes are (height, width)."""

    id: str
    images: dict[str, Path]
    label: Path | None
    size: tuple[int, int]
    channels: dict[str, int]


def has_splits(root: str | Path) -> bool:
    return any((Path(root) / split).is_dir() for split in SPLITS)


def scan(
    root: str | Path, modalities: Sequence[str], block: int = 12
) -> dict[str, tuple[Example, ...]]:
    """The labeled examples of every split that `root` has.

    Without `validation/`, every fifth block of `block` consecutive ids of
    `train/` becomes it: neighbors in a recording can be near-copies, so a
    random choice would let the validation part leak into training.
    """
    root = Path(root)
    splits = {
        split: scan_split(root / split, modalities)
        for split in SPLITS
        if (root / split).is_dir()
    }
    if not splits:
        raise ValueError(
            f"{root} has no {'/, '.join(SPLITS)}/ folder; it holds "
            f"{_listing(root)}. Expected "
            f"{root / 'train' / modalities[0]}/<id>.png and so on."
        )
    _check_channels(splits)
    if "train" in splits and "validation" not in splits:
        kept, held = hold_out(splits["train"], block)
        splits["train"] = kept
        if held:
            splits["validation"] = held
    return splits


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
    folder: str | Path, modalities: Sequence[str], labeled: bool = True
) -> tuple[Example, ...]:
    """The examples of one split in the natural order of their ids."""
    folder = Path(folder)
    names = (*modalities, LABEL) if labeled else tuple(modalities)
    files = {name: _files_by_id(folder, name) for name in names}
    ids = set().union(*files.values())
    if not ids:
        raise ValueError(
            f"{folder} is empty: {folder / names[0]} holds no "
            f"{', '.join(images.EXTENSIONS)} file."
        )
    _check_partners(folder, files, ids)
    return tuple(
        _example(identifier, files, labeled)
        for identifier in sorted(ids, key=natural_order)
    )


def natural_order(identifier: str) -> list[tuple[int, int, str]]:
    """Sort key under which `frame9` comes before `frame10`."""
    parts = re.findall(r"[0-9]+|[^0-9]+", identifier)
    return [
        (0, int(part), part) if part[0] in "0123456789" else (1, 0, part)
        for part in parts
    ]


def class_names(root: str | Path) -> tuple[str, ...]:
    """The names in `classes.txt`, or one made up for each label value."""
    root = Path(root)
    listed = root / "classes.txt"
    if not listed.is_file():
        return tuple(f"class {value}" for value in range(_count_classes(root)))
    lines = files.read_text(listed).splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    if not 0 < len(names) <= IGNORE or len(set(names)) < len(names):
        raise ValueError(
            f"{listed} must hold 1 to {IGNORE} different names, one a line; "
            f"it holds {len(names)}, {len(set(names))} of them different."
        )
    return names


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


def _listing(folder: Path) -> str:
    if not folder.is_dir():
        return "nothing (there is no such folder)"
    names = sorted(p.name for p in folder.iterdir() if p.name[0] != ".")
    return ", ".join(names[:12]) + (", ..." if names[12:] else "") or "nothing"


def _files_by_id(folder: Path, name: str) -> dict[str, Path]:
    if not (folder / name).is_dir():
        raise ValueError(
            f"{folder} has no folder {name}/; it holds {_listing(folder)}. "
            "Name the modalities that are there (--modalities), or add it."
        )
    allowed = masks.EXTENSIONS if name == LABEL else images.EXTENSIONS
    files: dict[str, Path] = {}
    for path in sorted((folder / name).iterdir()):
        if path.name[0] == "." or path.suffix.lower() not in images.EXTENSIONS:
            continue
        if path.suffix.lower() not in allowed:
            raise ValueError(
                f"{path}: a mask must be lossless, {' or '.join(allowed)}."
            )
        if path.stem in files:
            raise ValueError(
                f"{path} and {files[path.stem].name} have the same id "
                f"{path.stem!r}; keep one of them."
            )
        files[path.stem] = path
    return files


def _check_partners(
    folder: Path, files: dict[str, dict[str, Path]], ids: Iterable[str]
) -> None:
    for identifier in sorted(ids, key=natural_order):
        missing = [name for name in files if identifier not in files[name]]
        if missing:
            present = next(
                by_id[identifier]
                for by_id in files.values()
                if identifier in by_id
            )
            raise ValueError(
                f"{present} has no partner in {folder / missing[0]}/: "
                f"expected a file {identifier} with one of "
                f"{', '.join(images.EXTENSIONS)}."
            )


def _example(
    identifier: str, files: dict[str, dict[str, Path]], labeled: bool
) -> Example:
    paths = {name: by_id[identifier] for name, by_id in files.items()}
    headers = {name: images.read_header(path) for name, path in paths.items()}
    first = next(iter(paths))
    for name, header in headers.items():
        if header.size != headers[first].size:
            raise ValueError(
                f"{paths[name]} is {_size_text(header)}, but {paths[first]} is "
                f"{_size_text(headers[first])} (height x width); the images "
                "of an example must be aligned pixel by pixel."
            )
    label = paths.pop(LABEL) if labeled else None
    channels = {name: headers[name].channels for name in paths}
    return Example(identifier, paths, label, headers[first].size, channels)


def _size_text(header: images.Header) -> str:
    return "{} x {}".format(*header.size)


def _check_channels(splits: dict[str, tuple[Example, ...]]) -> None:
    examples = [example for split in splits.values() for example in split]
    for name, count in examples[0].channels.items():
        for example in examples:
            if as_color(example.channels[name]) != as_color(count):
                raise ValueError(
                    f"{example.images[name]} has {example.channels[name]} "
                    f"channels, but {examples[0].images[name]} has {count}."
                )


def _count_classes(root: Path) -> int:
    highest = 0
    for split in SPLITS:
        if not (root / split).is_dir():
            continue
        for path in _files_by_id(root / split, LABEL).values():
            label = masks.read_indices(path)
            known = label[label != IGNORE]
            highest = max(highest, int(known.max(initial=0)))
    if highest >= IGNORE:
        raise ValueError(
            f"{root} has a label of {highest}; expected 0 to {IGNORE - 1}, "
            f"or {IGNORE} for pixels to ignore."
        )
    return highest + 1
