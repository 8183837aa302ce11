"""From rows of mixed data to arrays.

| data_dir | rows |
|---|---|
| None | handwritten digits, their upper half a picture, the ink of their
lower half a table |
| a folder | `train.csv` or `train.jsonl`, `validation` and `test` alike |
"""

import dataclasses
import functools
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import NamedTuple

import numpy as np
from PIL import Image

from applications.datasets import class_folders
from applications.datasets import digits
from applications.datasets import file_tree
from applications.datasets import rows as row_files
from applications.datasets.file_tree import LeftOut
from applications.datasets.rows import Row
from applications.datasets.rows import Table
from applications.inputs import image as images
from applications.inputs import sound as sounds
from applications.inputs import table as tables
from applications.inputs import text as texts
from applications.multimodal_classification import columns
from applications.multimodal_classification import text_encoders
from applications.multimodal_classification.config import TABLE
from applications.multimodal_classification.config import Config

# Class of a row without a label.
UNLABELLED = -1


EMBEDDED = (
    "upper: the upper halves of scikit-learn's handwritten digits",
    "table: of the lower halves the ink of each row and each column",
)


# Of the embedded data.
COLUMNS: dict[str, Any] = {
    "images": ("upper",),
    "table": tuple(f"ink_{place}" for place in range(12)),
    "label": "digit",
}


class Examples(NamedTuple):
    """The rows of a split."""

    inputs: dict[str, np.ndarray]
    """Of every modality uint8 pictures, float32 sounds, int32 words or
    float32 vectors; nothing that counts where it is missing."""
    presence: np.ndarray
    """bool (rows, modalities)."""
    labels: np.ndarray
    """int64 (rows,), or float32 (rows, classes) of 0 and 1; -1: unlabelled."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def labelled(self) -> np.ndarray:
        """bool (rows,)."""
        flat = self.labels.reshape(len(self.labels), -1)
        return (flat != UNLABELLED).all(axis=1)


class Source(NamedTuple):
    """What was found where a config says that its data are."""

    config: Config
    """With what the data decide."""
    sizes: dict[str, int]
    read: Callable[[str], Examples]
    """The rows of a split, read once."""
    notes: tuple[str, ...]


def find(config: Config) -> Source:
    return _embedded(config) if config.data_dir is None else _rows(config)


def _rows(config: Config) -> Source:
    root = Path(config.data_dir)
    left_out = LeftOut(root)
    found = file_tree.find_split_files(root, row_files.SUFFIXES, left_out)
    if not found:
        raise ValueError(
            f"{root} has no file of rows; expected train.csv or train.jsonl, "
            f"and validation and test alike"
        )
    read = {name: row_files.read(file) for name, file in found.items()}
    config = columns.resolve(config, list(read.values()))
    config = _learned(config, read)
    names = dict.fromkeys(c for t in read.values() for c in t.columns)
    notes = (*columns.described(config, names), *left_out.lines())
    splits, held = _hold_out(config, read)

    @functools.cache
    def examples(name: str) -> Examples:
        table, chosen = splits[name]
        return of_rows(config, table, chosen, root)

    sizes = {name: len(chosen) for name, (_, chosen) in splits.items()}
    return Source(config, sizes, examples, (*held, *notes))


def _hold_out(
    config: Config, read: dict[str, Table]
) -> tuple[dict[str, tuple[Table, np.ndarray]], tuple[str, ...]]:
    """Which rows of which table each split has."""
    splits = {n: (t, np.arange(len(t.rows))) for n, t in read.items()}
    if "train" not in read or "validation" in read or not config.held_out:
        return splits, ()
    table = read["train"]
    labels = np.array(
        [str(columns.classes_of(config, row)) for row in table.rows]
    )
    # Which ones are held out is drawn, as rows often come in an order.
    order = np.random.default_rng(config.seed).permutation(len(labels))
    kept, held = class_folders.hold_out(labels[order], config.held_out)
    # A row without a label measures nothing.
    labelled = labels != "None"
    held = order[held][labelled[order[held]]]
    kept = np.setdiff1d(np.arange(len(labels)), held)
    if not len(held):
        return splits, ()
    splits |= {"train": (table, kept), "validation": (table, np.sort(held))}
    every = class_folders.every(config.held_out)
    return splits, (f"validation is 1 in {every} of train, by class",)


def _learned(config: Config, read: dict[str, Table]) -> Config:
    """The config with classes, words and the table's columns in it."""
    learned_from = read.get("train") or next(iter(read.values()))
    rows = learned_from.rows
    filled: dict[str, Any] = {}
    if not config.classes:
        found = [columns.classes_of(config, row) or () for row in rows]
        filled["classes"] = tuple(sorted({c for names in found for c in names}))
        if len(filled["classes"]) < 2:
            raise ValueError(
                f"{learned_from.file} has {len(filled['classes'])} classes in "
                f"its column {config.label or config.labels!r}; expected two "
                "or more"
            )
    if config.texts and not (config.words or text_encoders.is_preset(config)):
        said = [str(row[c]) for row in rows for c in config.texts if row.get(c)]
        filled["words"] = texts.vocabulary(said, config.vocabulary)
    if config.table and not (config.numbers or config.categories):
        found = tables.learn(rows, config.table)
        filled |= found._asdict()
    return dataclasses.replace(config, **filled)


def of_rows(
    config: Config,
    table: Table,
    chosen: Sequence[int],
    root: Path,
    problems: list[str] | None = None,
) -> Examples:
    """The arrays of some rows of a table.

    A file that is not there is a missing modality. One that cannot be read is
    a ValueError with the row, or, with a list for `problems`, missing too;
    labels are not looked at then.
    """
    rows = tuple(table.rows[index] for index in chosen)
    part = table._replace(rows=rows)
    numbers = [int(index) for index in chosen]
    arrays = {}
    for name in config.modalities:
        kind = config.kind(name)
        if kind == "table":
            arrays[name] = tables.encode(rows, config.table, config.columns)
        elif kind == "texts":
            arrays[name] = _words(config, part, name)
        else:
            arrays[name] = _files(config, part, name, root, numbers, problems)
    labels = [
        columns.classes_of(config, row) if problems is None else None
        for row in rows
    ]
    return Examples(
        {name: values for name, (values, _) in arrays.items()},
        np.stack([present for _, present in arrays.values()], axis=1),
        _labels(config, table, labels),
    )


def _words(
    config: Config, table: Table, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of a column's words, and in which rows there is a text."""
    cells = [row.get(name) for row in table.rows]
    said = ["" if cell is None else str(cell).strip() for cell in cells]
    values = text_encoders.encode(said, config)
    return values, np.array([text != "" for text in said], bool)


def _files(
    config: Config,
    table: Table,
    name: str,
    root: Path,
    numbers: Sequence[int],
    problems: list[str] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """What a column's files hold, and in which rows there is one."""
    read, shape, kind = _reader(config, name)
    values = np.zeros((len(table.rows), *shape), kind)
    present = np.zeros(len(table.rows), bool)
    for place, row in enumerate(table.rows):
        path = _path(row, name, root)
        if path is None:
            continue
        try:
            values[place] = read(path)
            present[place] = True
        except ValueError as error:
            text = f"{table.file}, row {numbers[place] + 1}, column {name}: "
            if problems is None:
                raise ValueError(f"{text}{error}") from error
            problems.append(f"{text}{error}")
    return values, present


def _path(row: Row, name: str, root: Path) -> Path | None:
    value = row.get(name)
    if value is None:
        return None
    path = root / str(value)
    return path if path.is_file() else None


def _reader(config: Config, name: str) -> tuple[Callable, tuple, str]:
    """A function of a file, and the shape and type of what it gives."""
    if config.kind(name) == "sounds":
        length = round(config.sound_rate * config.sound_seconds)
        return (
            lambda path: sounds.read(
                path, config.sound_rate, config.sound_seconds
            ),
            (length,),
            "float32",
        )
    side = config.image_side
    return lambda path: picture(path, side), (side, side, 3), "uint8"


def picture(path: Path, side: int) -> np.ndarray:
    """A picture of any size in color, squeezed to a square, uint8."""
    image = images.read(path)
    if image.dtype != np.uint8 or image.shape[2] not in (1, 3):
        raise ValueError(
            f"{path} has {image.dtype} values in {image.shape[2]} channels; "
            "expected 8 bits in gray or color"
        )
    color = images.three_channels(image)
    if color.shape[:2] == (side, side):
        return color
    resized = Image.fromarray(color).resize(
        (side, side), Image.Resampling.BILINEAR
    )
    return np.asarray(resized)


def _labels(
    config: Config, table: Table, found: list[tuple[str, ...] | None]
) -> np.ndarray:
    places = {name: place for place, name in enumerate(config.classes)}
    unknown = {c for names in found for c in names or () if c not in places}
    if unknown:
        raise ValueError(
            f"{table.file} has the class {min(unknown)!r}; the known classes "
            f"are {', '.join(config.classes)}"
        )
    if not config.multilabel:
        return np.array(
            [UNLABELLED if n is None else places[n[0]] for n in found], "int64"
        )
    labels = np.zeros((len(found), len(config.classes)), "float32")
    for row, names in enumerate(found):
        if names is None:
            labels[row] = UNLABELLED
        else:
            labels[row, [places[name] for name in names]] = 1
    return labels


def _embedded(config: Config) -> Source:
    """Digits whose upper half is a picture, and whose lower half is ink."""
    parts = digits.load()
    for name in ("sounds", "texts", "labels", *COLUMNS):
        given, has = getattr(config, name), COLUMNS.get(name)
        if given and given != has:
            raise ValueError(
                f"{name} names columns of your own data, received {given!r}; "
                "give their folder as --data-dir"
            )
    classes = config.classes or digits.CLASSES
    config = dataclasses.replace(config, **COLUMNS, classes=classes)
    rows = {name: _ink(part.images) for name, part in parts.items()}
    if not config.numbers:
        found = tables.learn(rows["train"], config.table)
        config = dataclasses.replace(config, **found._asdict())

    @functools.cache
    def read(name: str) -> Examples:
        part = parts[name]
        side = config.image_side
        upper = [
            np.asarray(Image.fromarray(image[:4, :, 0]).resize((side, side)))
            for image in part.images
        ]
        vectors, _ = tables.encode(rows[name], config.table, config.columns)
        pictures = np.repeat(np.stack(upper)[..., None], 3, axis=-1)
        return Examples(
            {"upper": pictures, TABLE: vectors},
            np.ones((len(pictures), 2), bool),
            part.labels,
        )

    sizes = {name: len(part.labels) for name, part in parts.items()}
    return Source(config, sizes, read, EMBEDDED)


def _ink(pixels: np.ndarray) -> list[Row]:
    """Of lower halves (count, 4, 8) the sums of rows, then of columns."""
    lower = pixels[:, 4:, :, 0].astype("float64")
    sums = np.concatenate([lower.sum(axis=2), lower.sum(axis=1)], axis=1)
    return [
        {f"ink_{place}": value for place, value in enumerate(row)}
        for row in sums.tolist()
    ]
