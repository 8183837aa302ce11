"""The folder of Pascal VOC, with the boxes of its objects.

```
DIR/JPEGImages/000005.jpg
DIR/Annotations/000005.xml         objects: name, difficult, box
DIR/ImageSets/Main/train.txt       ids; val.txt, trainval.txt, test.txt
```

`DIR` may be the folder above, as `VOCdevkit/VOC2007`, too. A category of which
an image has only objects marked as difficult is unknown there, as in the
challenge.
"""

import xml.etree.ElementTree
from pathlib import Path

from applications import files
from applications.datasets.file_tree import LeftOut
from applications.datasets.file_tree import natural_order
from applications.datasets.label_sets import Entry
from applications.inputs import image as images

LISTS = Path("ImageSets") / "Main"
NAMES = {
    "train": ("train.txt",),
    "validation": ("val.txt", "validation.txt"),
    "test": ("test.txt",),
}


def find(root: Path) -> Path | None:
    """The folder of the set itself; None where there is none."""
    below = [root, *sorted(root.glob("VOC2*")), *sorted(root.glob("*/VOC2*"))]
    found = [folder for folder in below if (folder / LISTS).is_dir()]
    if len(found) > 1:
        raise ValueError(
            f"{root} holds several sets of Pascal VOC: "
            f"{', '.join(str(f.relative_to(root)) for f in found)}; give one "
            "of them as --data-dir"
        )
    return found[0] if found else None


def scan(root: Path, left_out: LeftOut) -> dict[str, tuple[Entry, ...]]:
    """The entries of every split that has a list of ids."""
    lists: dict[str, list[str]] = {}
    for split, names in NAMES.items():
        for name in names:
            if (root / LISTS / name).is_file():
                lists[split] = _ids(root / LISTS / name)
    if "train" not in lists and (root / LISTS / "trainval.txt").is_file():
        held_out = set(lists.get("validation", ()))
        both = _ids(root / LISTS / "trainval.txt")
        lists = {"train": [i for i in both if i not in held_out], **lists}
    if not lists:
        raise ValueError(
            f"{root / LISTS} has none of train.txt, trainval.txt, val.txt and "
            "test.txt"
        )
    listed = {name for ids in lists.values() for name in ids}
    for path in sorted((root / "JPEGImages").glob("*")):
        if path.stem not in listed:
            left_out.add(path, "images in no list of ids")
    return {
        split: tuple(_entry(root, name, split) for name in ids)
        for split, ids in lists.items()
    }


def classes_of(splits: dict[str, tuple[Entry, ...]]) -> tuple[str, ...]:
    found = {
        name
        for entries in splits.values()
        for entry in entries
        for name in (*entry.present, *entry.unknown)
    }
    return tuple(sorted(found, key=natural_order))


def _ids(file: Path) -> list[str]:
    """The first word of each line; lists of one class have a second."""
    lines = [line.split() for line in files.read_text(file).splitlines()]
    ids = [words[0] for words in lines if words]
    if not ids:
        raise ValueError(f"{file} holds no id of an image")
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise ValueError(f"{file} holds the id {twice} twice; keep one of them")
    return ids


def _entry(root: Path, name: str, split: str) -> Entry:
    file = root / "Annotations" / f"{name}.xml"
    where = f"the {split} list in {root / LISTS}"
    if not file.is_file():
        raise ValueError(f"{where} names {name}, but there is no file {file}")
    image = next(
        (
            path
            for suffix in images.PICTURES
            for path in [root / "JPEGImages" / f"{name}{suffix}"]
            if path.is_file()
        ),
        None,
    )
    if image is None:
        raise ValueError(
            f"{where} names {name}, but there is no image "
            f"{root / 'JPEGImages' / name}.jpg"
        )
    try:
        return _parsed(file, image)
    except (xml.etree.ElementTree.ParseError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file} is no annotation of Pascal VOC ({error}); expected "
            "objects with name and bndbox, and the size of the image"
        ) from error


def _parsed(file: Path, image: Path) -> Entry:
    tree = xml.etree.ElementTree.fromstring(file.read_bytes())
    width, height = (
        float(tree.findtext(f"size/{side}") or "no size")
        for side in ("width", "height")
    )
    boxes: dict[str, list] = {}
    present, difficult = [], []
    for thing in tree.iter("object"):
        name = (thing.findtext("name") or "").strip()
        if not name:
            raise ValueError("an object has no name")
        edges = [
            float(thing.findtext(f"bndbox/{edge}") or "no box")
            for edge in ("xmin", "ymin", "xmax", "ymax")
        ]
        if (thing.findtext("difficult") or "0").strip() == "1":
            difficult.append(name)
            continue
        present.append(name)
        # Pixels are counted from 1, and the last is part of the box.
        left, top, right, bottom = edges
        boxes.setdefault(name, []).append(
            (
                (left - 1) / width,
                (top - 1) / height,
                right / width,
                bottom / height,
            )
        )
    unknown = [name for name in difficult if name not in present]
    return Entry(
        str(file),
        image,
        tuple(dict.fromkeys(present)),
        tuple(dict.fromkeys(unknown)),
        boxes,
    )
