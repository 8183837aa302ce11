"""NLVR: statements about drawn images, of which the true ones are captions.

```
DIR/train/train.json          one JSON object a line: sentence, label,
DIR/train/images/3/train-3776-0-0.png     identifier and, in most parts,
                                          directory
```
"""

import json
from collections.abc import Iterable
from pathlib import Path

from applications import files
from applications.datasets.file_tree import LeftOut

IMAGES = "images"


def statements_file(folder: Path) -> Path | None:
    """The JSON file of a folder, where it has one and images beside it."""
    found = sorted(folder.glob("*.json"))
    return found[0] if len(found) == 1 and (folder / IMAGES).is_dir() else None


def pairs(file: Path, left_out: LeftOut) -> Iterable[tuple[Path, str]]:
    """Image and sentence of each true statement."""
    by_name = {path.name: path for path in (file.parent / IMAGES).rglob("*")}
    for number, line in enumerate(files.read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        sentence, label, identifier = _statement(file, number, line)
        place = file.with_name(f"{file.name}, line {number}")
        if label != "true":
            left_out.add(place, "statements that are not true")
            continue
        # The boxes of an image stand in six orders; one is enough.
        path = by_name.get(f"{file.stem}-{identifier}-0.png")
        if path is None:
            left_out.add(place, "statements whose image is not there")
        else:
            yield path, sentence


def _statement(file: Path, number: int, line: str) -> tuple[str, str, str]:
    try:
        row = json.loads(line)
        found = (row["sentence"], str(row["label"]).lower(), row["identifier"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{file}, line {number} must be a JSON object with sentence, "
            f"label and identifier ({type(error).__name__}: {error})"
        ) from error
    return found
