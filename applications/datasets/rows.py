"""Rows of mixed data in files: `DIR/train.csv` or `DIR/train.jsonl`.

```
DIR/train.csv                 or train.jsonl; the first line names the columns
DIR/validation.csv            optional, as val, valid or dev too
DIR/test.csv                  optional
DIR/pictures/0001.jpg         files that a column names, relative to DIR
```

An empty field, `null` and a column that a row lacks are missing values; an
empty list is a list.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import NamedTuple

from applications import files

SUFFIXES = (".csv", ".jsonl")
# Beyond this a field of a CSV file is no text that anyone wrote.
LONGEST_FIELD = 2**24
Row = dict[str, Any]


class Table(NamedTuple):
    """The rows of a file."""

    file: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    """By column: text, or what JSON has; None is missing."""


def read(file: Path) -> Table:
    """All rows of a JSON Lines file, or of a CSV file of another suffix."""
    text = files.read_text(file)
    if file.suffix.lower() != ".jsonl":
        rows = _read_csv(file, text)
    else:
        rows = _read_json_lines(file, text)
    if not rows:
        raise ValueError(f"{file} holds no row")
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    return Table(
        file,
        columns,
        tuple({name: row.get(name) for name in columns} for row in rows),
    )


def _read_csv(file: Path, text: str) -> list[Row]:
    csv.field_size_limit(LONGEST_FIELD)
    # Line breaks inside of quotes are part of a text.
    reader = csv.DictReader(text.splitlines(keepends=True), strict=True)
    rows = []
    try:
        names: Sequence[str] = reader.fieldnames or ()
        if len(set(names)) < len(names) or not all(names):
            raise ValueError(
                f"{file} must name its columns in its first line, each once; "
                f"received {', '.join(map(repr, names)) or 'nothing'}"
            )
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(
                    f"{file}, row {len(rows) + 1} must have {len(names)} "
                    "fields, as many as the first line names; put texts with "
                    "commas or line breaks into quotes"
                )
            rows.append({name: value or None for name, value in row.items()})
    except csv.Error as error:
        raise ValueError(
            f"{file}, row {len(rows) + 1}: {error}; write it as CSV with "
            "double quotes"
        ) from error
    return rows


def _read_json_lines(file: Path, text: str) -> list[Row]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{file}, line {number} is not readable JSON: {error}"
            ) from error
        if not isinstance(row, dict):
            raise ValueError(
                f"{file}, line {number} must be a JSON object, a value for "
                "each column"
            )
        rows.append({n: None if v == "" else v for n, v in row.items()})
    return rows
