"""Files that are there whole or not at all, and locks on folders."""

import contextlib
import csv
import errno
import fcntl
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FULL = "No space left on device"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` when all went well.

    The temporary name keeps the suffix and starts with a dot. Until the last
    moment `path` is what it was. A file takes the place of a file, a folder
    that of a folder with the same kind of content; anything else that is
    there already stays, and is an error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".tmp-", dir=path.parent))
    try:
        temporary = scratch / path.name
        yield temporary
        _check_replaceable(path, temporary)
        _flush(temporary)
        if path.is_dir():
            path.rename(scratch / "old")
        os.replace(temporary, path)
        _flush_one(path.parent)
    except Exception as error:
        # h5py and TensorFlow have kinds of errors of their own for it.
        if FULL in str(error):
            raise OSError(errno.ENOSPC, FULL, str(path)) from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check_places(
    folder: Path, folders: Iterable[str], files: Iterable[str]
) -> None:
    """Raises FileExistsError where these could not be written later."""
    for path in (folder / name for name in folders):
        if path.exists() and not path.is_dir():
            raise FileExistsError(
                f"{path} is a file, in whose place a folder is to be "
                "written; move it away, or give another --name"
            )
    for path in (folder / name for name in files):
        if path.is_dir():
            raise FileExistsError(
                f"{path} is a folder, in whose place a file is to be "
                "written; move it away, or give another --name"
            )


def _check_replaceable(path: Path, new: Path) -> None:
    if not path.exists():
        return
    kind = "folder" if path.is_dir() else "file"
    if path.is_dir() != new.is_dir():
        other = "folder" if new.is_dir() else "file"
        raise FileExistsError(
            f"{path} is a {kind}, in whose place a {other} was to be written; "
            "it was left as it is: move it away, or write elsewhere"
        )
    inner = {entry.name for entry in path.iterdir()} if path.is_dir() else ()
    if inner and inner.isdisjoint(entry.name for entry in new.iterdir()):
        raise FileExistsError(
            f"{path} is a folder with other content ({min(inner)}, ...); it "
            "was left as it is: move it away, or write elsewhere"
        )


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


def write_json(path: Path, content: dict[str, Any]) -> None:
    write(path, json.dumps(content, indent=2) + "\n")


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, with a byte order mark or without."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not text in UTF-8 ({error.reason} at byte "
            f"{error.start}); save it as UTF-8"
        ) from error


def read_json(path: Path) -> dict:
    text = read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object")
    return content


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """A table with a column for every key; what a row lacks is empty."""
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

    The lock belongs to the process and ends with it, however it ends. Folders
    that were made for the lock alone go with it.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    file = path / ".lock"
    with open(file, "w") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed the file that was opened here.
            is_current = os.path.samestat(
                os.fstat(opened.fileno()), file.stat()
            )
        except OSError:
            is_current = False
        if not is_current:
            raise FileExistsError(
                f"{path} is being trained by another process; wait for it or "
                "give another --name"
            )
        try:
            yield
        finally:
            if made and [entry.name for entry in path.iterdir()] == [".lock"]:
                file.unlink()
                # Another process may have put something beside it.
                with contextlib.suppress(OSError):
                    for folder in made:
                        folder.rmdir()


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock of a folder."""
    try:
        with lock(path):
            return False
    except FileExistsError:
        return True
