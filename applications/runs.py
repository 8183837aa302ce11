"""The folder of a run: where things stand in it and how they get there."""

import contextlib
import csv
import dataclasses
import fcntl
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from applications import settings

# Fields that may differ when a run is continued: where it runs does not
# change what it computes.
MAY_DIFFER = ("runs_dir", "strategy", "devices")


def folder(task: str, config: settings.Settings) -> Path:
    return Path(config.runs_dir) / task / config.name


def find(task: str, run: str, runs_dir: str = "runs") -> Path:
    """The folder of a run that is given as a path or by its name."""
    for path in (Path(run), Path(runs_dir) / task / run):
        if (path / "config.json").is_file():
            return path
    home = Path(runs_dir) / task
    there = sorted(path.parent.name for path in home.glob("*/config.json"))
    known = f"the runs there are: {', '.join(there)}" if there else "none yet"
    raise FileNotFoundError(
        f"there is no run {run!r}, neither as a folder nor in {home} ({known})"
    )


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` when all went well.

    The temporary name keeps the suffix and starts with a dot. Until the last
    moment `path` is what it was; files and folders alike.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=".tmp-", dir=path.parent))
    try:
        written = place / path.name
        yield written
        _flush(written)
        if path.is_dir():
            path.rename(place / "old")
        os.replace(written, path)
        _flush_one(path.parent)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _flush(path: Path) -> None:
    for inner in path.rglob("*") if path.is_dir() else ():
        _flush_one(inner)
    _flush_one(path)


def _flush_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: dict) -> None:
    write(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object")
    return content


def write_csv(path: Path, rows: list[dict]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write(path, text.getvalue())


def remove_leftovers(path: Path) -> None:
    """Removes what a killed process was still writing."""
    for leftover in path.rglob(".tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Keeps a second process from training the same run.

    The lock belongs to the process and ends with it, however it ends.
    """
    path.mkdir(parents=True, exist_ok=True)
    with open(path / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FileExistsError(
                f"{path} is being trained by another process; wait for it or "
                "give another --name"
            ) from error
        yield


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock of a folder."""
    try:
        with lock(path):
            return False
    except FileExistsError:
        return True


def read_config(
    path: Path, config_class: type[settings.Config]
) -> settings.Config:
    """The config of the run in folder `path`."""
    file = path / "config.json"
    return settings.from_json(
        file.read_text(encoding="utf-8"), config_class, file
    )


def check_continues(
    path: Path, old: settings.Settings, new: settings.Settings
) -> None:
    """Raises ValueError where `new` would make another run of `old`."""
    before, after = dataclasses.asdict(old), dataclasses.asdict(new)
    different = [
        f"{name} {before[name]!r} -> {after[name]!r}"
        for name in after
        if name not in MAY_DIFFER and not _same(name, before, after)
    ]
    if different:
        raise ValueError(
            f"the run {path} exists with other settings: "
            f"{', '.join(different)}; give another --name, or the same "
            "settings (only epochs may grow)"
        )


def _same(name: str, before: dict, after: dict) -> bool:
    old, new = before[name], after[name]
    if name == "epochs":
        return new >= old
    if name == "data_dir" and old and new:
        return os.path.realpath(old) == os.path.realpath(new)
    return old == new
