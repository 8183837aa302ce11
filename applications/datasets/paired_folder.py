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
from PIL import Image
from PIL import ImageFile

IGNORE = 255
SPLITS = ("train", "validation", "test")
LABEL = "label"
EXTENSIONS = (".png", ".jpg", ".jpeg", ".npy")
LABEL_EXTENSIONS = (".png", ".npy")


class Example(NamedTuple):
    """The files of one example; sizes are (height, width)."""

    id: str
    images: dict[str, Path]
    label: Path | None
    size: tuple[int, int]
    channels: dict[str, int]


class Header(NamedTuple):
    size: tuple[int, int]
    channels: int


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
            f"{', '.join(EXTENSIONS)} file."
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


def as_color(channels: int) -> int:
    """A gray image is read as three equal channels, and may stand by color."""
    return 3 if channels == 1 else channels


def class_names(root: str | Path) -> tuple[str, ...]:
    """The names in `classes.txt`, or one made up for each label value."""
    root = Path(root)
    listed = root / "classes.txt"
    if not listed.is_file():
        return tuple(f"class {value}" for value in range(_count_classes(root)))
    lines = listed.read_text(encoding="utf-8").splitlines()
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

    def __init__(self, examples: Sequence[Example], num_classes: int):
        self.examples = examples
        self.num_classes = num_classes

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        example = self.examples[index]
        arrays = {name: read_image(p) for name, p in example.images.items()}
        if example.label is not None:
            arrays[LABEL] = read_label(example.label, self.num_classes)
        return arrays


def read_image(path: Path) -> np.ndarray:
    """One image as (height, width, channels), uint8, uint16 or float32."""
    if path.suffix.lower() == ".npy":
        return _read_array(path)
    if _is_16_bit(path):
        return _read_16_bit(path)
    image = _decode(path)
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))[..., None]
    return np.asarray(image.convert("RGB"))


def read_label(path: Path, num_classes: int) -> np.ndarray:
    """One mask of class indices as (height, width) uint8."""
    label = _read_indices(path)
    wrong = (label < 0) | ((label >= num_classes) & (label != IGNORE))
    if wrong.any():
        raise ValueError(
            f"{path} holds the label {label[wrong].flat[0]}; expected 0 to "
            f"{num_classes - 1} ({num_classes} classes) or {IGNORE} for "
            "pixels to ignore. List every class in classes.txt."
        )
    return label.astype("uint8")


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
    allowed = LABEL_EXTENSIONS if name == LABEL else EXTENSIONS
    files: dict[str, Path] = {}
    for path in sorted((folder / name).iterdir()):
        if path.name[0] == "." or path.suffix.lower() not in EXTENSIONS:
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
                f"{present} has no partner in {folder / missing[0]}/: expected "
                f"a file {identifier} with one of {', '.join(EXTENSIONS)}."
            )


def _example(
    identifier: str, files: dict[str, dict[str, Path]], labeled: bool
) -> Example:
    paths = {name: by_id[identifier] for name, by_id in files.items()}
    headers = {name: _read_header(path) for name, path in paths.items()}
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


def _size_text(header: Header) -> str:
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


def _read_header(path: Path) -> Header:
    if path.suffix.lower() == ".npy":
        shape = _open_array(path).shape
        return Header(shape[:2], shape[2] if len(shape) == 3 else 1)
    with _open(path) as image:
        gray = image.mode in ("1", "L", "LA") or image.mode[0] == "I"
        return Header((image.height, image.width), 1 if gray else 3)


def _open(path: Path) -> ImageFile.ImageFile:
    try:
        return Image.open(path)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as an image.") from error


def _decode(path: Path) -> ImageFile.ImageFile:
    with _open(path) as image:
        try:
            image.load()
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(
                f"{path} is damaged or cut short: {error}"
            ) from error
        return image


def _open_array(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as an array.") from error
    numeric = array.dtype.kind in "fui"
    if not numeric or array.ndim not in (2, 3) or 0 in array.shape:
        raise ValueError(
            f"{path} is {array.dtype} of shape {array.shape}; expected numbers "
            "of shape (height, width) or (height, width, channels)."
        )
    return array


def _read_array(path: Path) -> np.ndarray:
    array = _open_array(path)
    if array.dtype not in ("uint8", "uint16"):
        array = array.astype("float32")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{path} holds values that are not finite; write 0 for missing."
        )
    return np.array(array).reshape(*array.shape[:2], -1)


def _is_16_bit(path: Path) -> bool:
    # Byte 24 of a PNG is its bit depth. Pillow does not tell it: it cuts
    # 16-bit color down to 8 bits in silence.
    with path.open("rb") as file:
        start = file.read(25)
    return start[:4] == b"\x89PNG" and start[24:] == b"\x10"


def _read_16_bit(path: Path) -> np.ndarray:
    import tensorflow as tf

    try:
        image = tf.io.decode_png(path.read_bytes(), dtype="uint16")
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(f"{path} is damaged or cut short.") from error
    image = image.numpy()
    return image[..., : 1 if image.shape[-1] < 3 else 3]


def _read_indices(path: Path) -> np.ndarray:
    if path.suffix.lower() == ".npy":
        array = np.array(_open_array(path))
        flat = array.ndim == 2 or array.shape[2] == 1
        if array.dtype.kind in "ui" and flat:
            return array.reshape(array.shape[:2])
        received = f"{array.dtype} of shape {array.shape}"
    else:
        image = _decode(path)
        if image.mode in ("1", "L", "P") or image.mode[0] == "I":
            return np.asarray(image)
        received = f"an image of mode {image.mode}"
    raise ValueError(
        f"{path} is {received}; a mask holds one class index a pixel: a "
        "palette or gray PNG, or whole numbers of shape (height, width)."
    )


def _count_classes(root: Path) -> int:
    highest = 0
    for split in SPLITS:
        if not (root / split).is_dir():
            continue
        for path in _files_by_id(root / split, LABEL).values():
            label = _read_indices(path)
            known = label[label != IGNORE]
            highest = max(highest, int(known.max(initial=0)))
    if highest >= IGNORE:
        raise ValueError(
            f"{root} has a label of {highest}; expected 0 to {IGNORE - 1}, "
            f"or {IGNORE} for pixels to ignore."
        )
    return highest + 1
