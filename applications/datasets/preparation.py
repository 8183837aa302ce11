"""Preparing a TFDS set once, whoever else may be at it, and opening it."""

import contextlib
import importlib.util
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds

# Where sets that are known by a name lie.
TFDS_DIR = "data/tfds"


def open_named(name: str, embedded: str) -> tfds.core.DatasetBuilder:
    """The builder of a set that TFDS knows, prepared or not.

    Raises ValueError, which points to the embedded data too.
    """
    with _explained(name, embedded):
        return tfds.builder(name, data_dir=TFDS_DIR)


def prepare_named(
    name: str, embedded: str, file_format: str = "tfrecord"
) -> tfds.core.DatasetBuilder:
    """The same, downloaded and prepared on first use."""
    with _explained(name, embedded):
        return prepare_once(
            lambda: tfds.builder(name, data_dir=TFDS_DIR), file_format
        )


@contextlib.contextmanager
def _explained(name: str, embedded: str) -> Iterator[None]:
    try:
        yield
    # A name that is wrong, or a network that is away, may raise anything.
    except Exception as error:
        raise ValueError(
            f"the TFDS set {name!r} could not be loaded "
            f"({_first_line(error)}); give the name of a set that can be, "
            f"{embedded}, or --data-dir"
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


def prepare_once(
    make_builder: Callable[[], tfds.core.DatasetBuilder],
    file_format: str = "tfrecord",
) -> tfds.core.DatasetBuilder:
    """A builder whose data are there, made without any network.

    TFDS writes into a folder of another name and renames it at the end, so a
    run that was cut short leaves nothing that would be taken for the whole.
    """
    builder = make_builder()
    if builder.is_prepared():
        return builder
    try:
        builder.download_and_prepare(
            file_format=file_format,
            download_config=tfds.download.DownloadConfig(
                try_download_gcs=False
            ),
        )
    except OSError:
        # Another process that prepared the same data was first to rename.
        builder = make_builder()
        if not builder.is_prepared():
            raise
    return builder


def random_access_format() -> str:
    """The format whose examples can be read by number, if TFDS has it here.

    It spares a set that is larger than memory from being held.
    """
    there = importlib.util.find_spec("array_record") is not None
    return "array_record" if there else "tfrecord"


def has_random_access(builder: tfds.core.DatasetBuilder) -> bool:
    """Whether the examples of a prepared set can be read by number."""
    return builder.info.file_format.file_suffix == "array_record"


INFO = "dataset_info.json"


def is_prepared(folder: Path) -> bool:
    return (folder / INFO).is_file()


def open_prepared(folder: Path) -> tfds.core.DatasetBuilder:
    """The builder of a prepared set; it need not be known to TFDS."""
    try:
        return tfds.builder_from_directory(folder)
    # A damaged file may raise anything.
    except Exception as error:
        raise ValueError(
            f"{folder / INFO} could not be read as that of a prepared TFDS "
            f"set ({_first_line(error)}); prepare the set again"
        ) from error
