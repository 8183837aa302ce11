"""Images with lists of categories: `DIR/labels.csv` or `DIR/labels.jsonl`.

```
DIR/labels.csv                image,labels
DIR/images/0001.jpg           images/0001.jpg,cat|red ball
```

```
DIR/labels.jsonl              {"image": "0001.jpg", "labels": ["cat"],
                               "unknown": ["dog"],
                               "boxes": {"cat": [[10, 20, 60, 90]]}}
```

Paths are relative to the file. A part each is `train.csv`, `validation.csv`
and `test.csv`, or `train/labels.csv` and so on, or a column `split`; without
a validation part blocks of the training part are held out. No labels mean that
none of the categories is there; `unknown` ones count for nothing. Boxes are
left, top, right, bottom in pixels. `DIR/classes.txt`, a name a line, is
optional; without it the training part names the categories.
"""

from collections.abc import Sequence
from pathlib import Path

from applications.datasets import file_tree
from applications.datasets import paired_folder
from applications.datasets import rows
from applications.datasets.file_tree import LeftOut
from applications.datasets.file_tree import natural_order
from applications.datasets.label_sets import Entry
from applications.inputs import image as images

NAME = "labels"
COLUMNS = ("image", "labels", "unknown", "boxes", "split")
SEPARATOR = "|"


def files_of(root: Path) -> dict[str, Path]:
    """The file of each split; under "" the one of all."""
    ignored = LeftOut(root)
    files = _named(root)
    if files:
        return {"": files}
    parts = file_tree.find_split_files(root, rows.SUFFIXES, ignored)
    if parts:
        return parts
    folders = file_tree.find_splits(root, ignored)
    found = {name: _named(folder) for name, folder in folders.items()}
    return {name: file for name, file in found.items() if file}


def _named(folder: Path) -> Path | None:
    found = [
        folder / f"{NAME}{suffix}"
        for suffix in rows.SUFFIXES
        if (folder / f"{NAME}{suffix}").is_file()
    ]
    if len(found) > 1:
        raise ValueError(f"{found[0]} and {found[1].name}: keep one of them")
    return found[0] if found else None


def scan(root: Path, left_out: LeftOut) -> dict[str, tuple[Entry, ...]]:
    """The entries of every split, in the order of their rows."""
    splits: dict[str, list[Entry]] = {}
    for part, file in files_of(root).items():
        table = rows.read(file)
        _check_columns(table)
        for number, row in enumerate(table.rows, 1):
            where = f"{file}, row {number}"
            name = part or _split(row, where)
            splits.setdefault(name, []).append(_entry(row, where, file.parent))
    known: dict[Path, str] = {}
    for entry in (e for entries in splits.values() for e in entries):
        if entry.image in known:
            raise ValueError(
                f"{entry.source} and {known[entry.image]} have the same image "
                f"{entry.image.name}; put its labels into one row"
            )
        known[entry.image] = entry.source
    for path in file_tree.files_below(root, left_out):
        is_image = path.suffix.lower() in images.PICTURES
        if is_image and path.resolve() not in known:
            left_out.add(path, "images without a row")
    ordered = [name for name in file_tree.SPLITS if name in splits]
    return {name: tuple(splits[name]) for name in ordered}


def classes_of(
    root: Path, splits: dict[str, tuple[Entry, ...]]
) -> tuple[str, ...]:
    """Those of `classes.txt`, or of the first part."""
    if listed := paired_folder.class_names(root):
        return listed
    first = next(iter(splits.values()))
    found = {name for e in first for name in (*e.present, *e.unknown)}
    if not found:
        raise ValueError(
            f"no row of {root} has a category; expected {NAME} as "
            f"cat{SEPARATOR}dog"
        )
    return tuple(sorted(found, key=natural_order))


def _check_columns(table: rows.Table) -> None:
    missing = [name for name in COLUMNS[:2] if name not in table.columns]
    if missing:
        raise ValueError(
            f"{table.file} has the columns {', '.join(table.columns)}; "
            f"expected {', '.join(COLUMNS[:2])}, and optionally "
            f"{', '.join(COLUMNS[2:])}"
        )


def _split(row: rows.Row, where: str) -> str:
    given = row.get("split")
    if given is None:
        return "train"
    split = file_tree.split_of(str(given))
    if split is None:
        raise ValueError(
            f"{where} has the split {given!r}; expected one of "
            f"{', '.join(file_tree.SPLITS)}"
        )
    return split


def _entry(row: rows.Row, where: str, folder: Path) -> Entry:
    image = row["image"]
    if not isinstance(image, str):
        raise ValueError(f"{where} names no image; received {image!r}")
    # An absolute path stays what it is.
    path = folder / image
    if not path.is_file():
        raise ValueError(
            f"{where} names the image {image}, but there is no file {path}"
        )
    present = _list(row["labels"], f"{where}, labels")
    unknown = _list(row.get("unknown"), f"{where}, unknown")
    if both := sorted(set(present) & set(unknown)):
        raise ValueError(
            f"{where} has {both[0]!r} among the labels and the unknown ones"
        )
    boxes = _boxes(row.get("boxes"), path, where)
    if lacking := sorted(set(boxes) - set(present)):
        raise ValueError(
            f"{where} has a box of {lacking[0]!r}, which is not among its "
            "labels"
        )
    return Entry(where, path.resolve(), present, unknown, boxes)


def _list(value: object, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        value = value.split(SEPARATOR)
    named = isinstance(value, list) and all(
        isinstance(name, str) and name.strip() for name in value
    )
    if not named:
        raise ValueError(
            f"{where} must be names, as cat{SEPARATOR}dog or a list of texts; "
            f"received {value!r}"
        )
    return tuple(dict.fromkeys(name.strip() for name in value))


def _boxes(value: object, image: Path, where: str) -> dict[str, Sequence]:
    if value is None:
        return {}
    height, width = images.read_header(image).size
    boxes: dict[str, list] = {}
    for name, given in value.items() if isinstance(value, dict) else ():
        for box in given if isinstance(given, list) else ():
            numbers = isinstance(box, list) and len(box) == 4
            if not numbers or not all(_is_number(x) for x in box):
                break
            left, top, right, bottom = box
            if not (0 <= left < right <= width and 0 <= top < bottom <= height):
                break
            shares = (
                left / width,
                top / height,
                right / width,
                bottom / height,
            )
            boxes.setdefault(name, []).append(shares)
        else:
            continue
        break
    else:
        if isinstance(value, dict):
            return boxes
    raise ValueError(
        f"{where}: boxes must be lists of left, top, right and bottom by "
        f"category, in pixels of {width} x {height} (width x height); "
        f"received {str(value)[:80]}"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
