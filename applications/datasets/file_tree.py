"""Which folders and files below a user's data folder are meant."""

import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path

SPLITS = ("train", "validation", "test")
OTHER_NAMES = {
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "testing": "test",
}
# Made by systems and programs, beside names that start with a dot.
CLUTTER = ("__macosx", "thumbs.db", "desktop.ini", "@eadir")
SHOWN = 3


class LeftOut:
    """Files and folders that a reader passes over, and why.

    Args:
        root: Folder below which they are.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        # Each path once, in their order.
        self.paths: dict[str, dict[Path, None]] = {}

    def add(self, path: Path, reason: str) -> None:
        self.paths.setdefault(reason, {})[path] = None

    def lines(self) -> tuple[str, ...]:
        """A line for each reason: how many there are, and the first names."""
        return tuple(
            f"left out, {reason}: {self._names(list(paths))}"
            for reason, paths in self.paths.items()
        )

    def _names(self, paths: list[Path]) -> str:
        names = [str(path.relative_to(self.root)) for path in paths[:SHOWN]]
        more = len(paths) - len(names)
        return ", ".join(names) + (f" and {more:,} more" if more else "")


def find_splits(root: Path, left_out: LeftOut) -> dict[str, Path]:
    """The folders of the splits; their names may be short, in any case.

    What else is there is left out, if there is a split at all.
    """
    paths = entries(root, left_out)
    found = by_split(
        (split_of(path.name), path) for path in paths if path.is_dir()
    )
    for path in paths if found else ():
        if path.is_dir() and path not in found.values():
            left_out.add(path, "folders beside those of the splits")
    return found


def find_split_files(
    root: Path, suffixes: Sequence[str], left_out: LeftOut
) -> dict[str, Path]:
    """The file of each split, of any of its names; others are left out."""
    paths = entries(root, left_out)
    found = by_split(
        (split_of(path.stem), path)
        for path in paths
        if path.suffix.lower() in suffixes and not path.is_dir()
    )
    for path in paths:
        if path not in found.values():
            left_out.add(path, "beside the files of the splits")
    return found


def by_split(named: Iterable[tuple[str | None, Path]]) -> dict[str, Path]:
    """What means a split, of which there may be one of each."""
    found: dict[str, Path] = {}
    for split, path in named:
        if split in found:
            raise ValueError(
                f"{path} and {found[split]} are both the {split} part; keep "
                "one of them"
            )
        if split is not None:
            found[split] = path
    return {name: found[name] for name in SPLITS if name in found}


def split_of(name: str) -> str | None:
    """The split that a name means, in any case; None: it means none."""
    split = OTHER_NAMES.get(name.lower(), name.lower())
    return split if split in SPLITS else None


def entries(folder: Path, left_out: LeftOut) -> list[Path]:
    """What is in a folder, in order, without what systems leave there."""
    kept = []
    for path in sorted(folder.iterdir()):
        if _is_clutter(path.name):
            left_out.add(path, "hidden or made by a system")
        else:
            kept.append(path)
    return kept


def files_below(folder: Path, left_out: LeftOut) -> Iterator[Path]:
    """All files under a folder, however deep."""
    for path in entries(folder, left_out):
        if path.is_dir():
            yield from files_below(path, left_out)
        else:
            yield path


def further_down(root: Path) -> str:
    """A hint where the splits are one folder deeper than they should be."""
    ignored = LeftOut(root)
    for folder in entries(root, ignored) if root.is_dir() else ():
        # One alone may be a class of that name.
        if folder.is_dir() and len(find_splits(folder, ignored)) > 1:
            return f"; {folder} has such folders: give it as --data-dir"
    return ""


def natural_order(identifier: str) -> list[tuple[int, int, str]]:
    """Sort key under which `frame9` comes before `frame10`."""
    parts = re.findall(r"[0-9]+|[^0-9]+", identifier)
    return [
        (0, int(part), part) if part[0] in "0123456789" else (1, 0, part)
        for part in parts
    ]


def _is_clutter(name: str) -> bool:
    return name.startswith(".") or name.lower() in CLUTTER


def listing(folder: Path) -> str:
    """The first names in a folder, for messages."""
    if not folder.is_dir():
        return "nothing (there is no such folder)"
    names = [path.name for path in entries(folder, LeftOut(folder))]
    return ", ".join(names[:12]) + (", ..." if names[12:] else "") or "nothing"
