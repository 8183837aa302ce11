"""IAPR TC-12: photos, each with a description of one sentence or several.

```
DIR/images/00/25.jpg
DIR/annotations_complete_eng/00/25.eng    <DESCRIPTION> and <IMAGE>, ISO-8859-1
DIR/iaprtc12_train_list.txt               optional, 00/25 a line
DIR/iaprtc12_test_list.txt                optional
```

A sentence ends with a semicolon, and is a caption. A list is a text file with
a split in its name, as `train` between the signs `_` or `-`.
"""

import re
from pathlib import Path
from pathlib import PurePosixPath

from applications import files
from applications.datasets import file_tree
from applications.datasets.file_tree import LeftOut
from applications.datasets.file_tree import natural_order

IMAGES, ANNOTATIONS, SUFFIX = "images", "annotations_complete_eng", ".eng"
# The files are not quite XML: signs such as & stand as they are.
FIELD = "<{0}>(.*?)</{0}>"
Pairs = list[tuple[Path, str]]


def are_here(root: Path) -> bool:
    return (root / ANNOTATIONS).is_dir()


def pairs(root: Path, left_out: LeftOut) -> dict[str, Pairs]:
    """Photo and sentence of each split; without lists all are for training."""
    lists = _lists(root, left_out)
    named = _named(lists)
    found: dict[str, Pairs] = {split: [] for split in lists or ("train",)}
    annotations = file_tree.files_below(root / ANNOTATIONS, left_out)
    for file in sorted(annotations, key=lambda path: natural_order(str(path))):
        if file.suffix.lower() != SUFFIX:
            left_out.add(file, "not annotations")
            continue
        split = named.pop(_name(str(file)), None) if lists else "train"
        if split is None:
            left_out.add(file, "annotations that are on no list")
            continue
        found[split] += _sentences(root, file, left_out)
    for name, split in named.items():
        place = root / f"{lists[split].name} ({name})"
        left_out.add(place, "listed photos without an annotation")
    return found


def _lists(root: Path, left_out: LeftOut) -> dict[str, Path]:
    named = []
    for path in file_tree.entries(root, left_out):
        parts = re.split("[_-]", path.stem)
        splits = [s for s in map(file_tree.split_of, parts) if s is not None]
        if path.suffix.lower() == ".txt" and len(splits) == 1:
            named.append((splits[0], path))
        elif path.name not in (IMAGES, ANNOTATIONS):
            left_out.add(path, "beside photos, annotations and lists")
    return file_tree.by_split(named)


def _named(lists: dict[str, Path]) -> dict[str, str]:
    """The split of each photo that is on a list."""
    named: dict[str, str] = {}
    for split, file in lists.items():
        for line in files.read_text(file).split():
            name = _name(line)
            if named.setdefault(name, split) != split:
                raise ValueError(
                    f"{file} and {lists[named[name]]} both have {name}; a "
                    "photo must be on one list"
                )
    return named


def _name(path: str) -> str:
    """`00/25` of whatever path of the photo or its annotation."""
    return "/".join(PurePosixPath(path).with_suffix("").parts[-2:])


def _sentences(root: Path, file: Path, left_out: LeftOut) -> Pairs:
    text = _text(file)
    if text is None:
        left_out.add(file, "annotations that are no text in ISO-8859-1")
        return []
    image, description = (_field(text, n) for n in ("IMAGE", "DESCRIPTION"))
    path = root / image
    if not image or not path.is_file():
        place = file.parent / f"{file.name} ({image or 'names none'})"
        left_out.add(place, "annotations whose photo is not there")
        return []
    sentences = [part for part in description.split(";") if part.strip()]
    if not sentences:
        left_out.add(file, "annotations without a description")
    return [(path, " ".join(sentence.split())) for sentence in sentences]


def _text(file: Path) -> str | None:
    """Its text; copies in UTF-8 are known by what else would be no text."""
    content = file.read_bytes()
    if b"\0" in content:
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("iso-8859-1")


def _field(text: str, name: str) -> str:
    found = re.search(FIELD.format(name), text, re.DOTALL | re.IGNORECASE)
    return found[1].strip() if found else ""
