"""Which kind of input each column of the rows is."""

import dataclasses
from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from applications.datasets.rows import Row
from applications.datasets.rows import Table
from applications.inputs import image as images
from applications.inputs import sound as sounds
from applications.inputs import table as tables
from applications.multimodal_classification.config import Config

LABELS = ("label", "class", "target", "y")
LISTS = ("labels", "classes", "genres", "tags")
# Numbers of rows, from which nothing can be learned.
NUMBERS_OF_ROWS = ("id", "index", "unnamed: 0", "row")
# A column with more different texts than this, or longer ones, is no category.
MOST_CATEGORIES = 50
LONGEST_CATEGORY = 40


def resolve(config: Config, tables_read: Sequence[Table]) -> Config:
    """The config with the kinds of all columns that are used."""
    columns = dict.fromkeys(c for table in tables_read for c in table.columns)
    config = _with_label(config, columns)
    named = (*config.images, *config.sounds, *config.texts, *config.table)
    wanted = [*named, config.label, config.labels]
    if missing := [name for name in wanted if name and name not in columns]:
        raise ValueError(
            f"{tables_read[0].file} has no column {missing[0]!r}; its columns "
            f"are {', '.join(columns)}"
        )
    if named:
        return config
    rows = [row for table in tables_read for row in table.rows]
    kinds: dict[str, list[str]] = {}
    for name in columns:
        if name not in (config.label, config.labels):
            cells = [row.get(name) for row in rows]
            values = [cell for cell in cells if not tables.is_missing(cell)]
            kinds.setdefault(_kind(name, values), []).append(name)
    kinds.pop("", None)
    if not kinds:
        raise ValueError(
            f"{tables_read[0].file} has no column to learn from beside the "
            f"label; its columns are {', '.join(columns)}"
        )
    return dataclasses.replace(
        config, **{kind: tuple(names) for kind, names in kinds.items()}
    )


def described(config: Config, columns: Iterable[str]) -> tuple[str, ...]:
    """A line for each kind, and one for the columns that are not used."""
    kinds = {
        kind: getattr(config, kind)
        for kind in ("images", "sounds", "texts", "table")
    }
    kinds["label"] = tuple(n for n in (config.label, config.labels) if n)
    used = {name for names in kinds.values() for name in names}
    kinds["left out"] = tuple(name for name in columns if name not in used)
    return tuple(
        f"columns, {kind}: {', '.join(names)}"
        for kind, names in kinds.items()
        if names
    )


def _with_label(config: Config, columns: Iterable[str]) -> Config:
    if config.label is not None or config.labels is not None:
        return config
    by_name = {name.lower(): name for name in columns}
    for names, field in ((LABELS, "label"), (LISTS, "labels")):
        for name in names:
            if name in by_name:
                return dataclasses.replace(config, **{field: by_name[name]})
    raise ValueError(
        "no column is named label, class, target or y; give --label NAME, or "
        f"--labels NAME for a list of classes; the columns are "
        f"{', '.join(by_name.values())}"
    )


def _kind(name: str, values: list[Any]) -> str:
    """What a column is by its name and contents; "": nothing to learn from."""
    if not values or name.lower() in NUMBERS_OF_ROWS:
        return ""
    if tables.are_numbers(values):
        return "table"
    if not all(isinstance(value, str) for value in values):
        return ""
    suffixes = {Path(value).suffix.lower() for value in values}
    if suffixes <= {*images.PICTURES}:
        return "images"
    if suffixes <= {*sounds.EXTENSIONS}:
        return "sounds"
    different = {*values}
    few = len(different) <= min(MOST_CATEGORIES, max(2, len(values) // 2))
    short = max(map(len, different)) <= LONGEST_CATEGORY
    return "table" if few and short else "texts"


def classes_of(config: Config, row: Row) -> tuple[str, ...] | None:
    """The classes of a row; None: it has no label."""
    value = row.get(config.labels or config.label)
    if config.multilabel:
        if value is None:
            return None
        values = value if isinstance(value, list) else str(value).split("|")
        return tuple(str(v).strip() for v in values)
    return None if tables.is_missing(value) else (_as_text(value),)


def _as_text(value: Any) -> str:
    """JSON's 1.0 and True are the classes 1 and true."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
