"""Preparing a TFDS set once, whoever else may be at it, and opening it."""

from collections.abc import Callable
from pathlib import Path

import tensorflow_datasets as tfds


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


INFO = "dataset_info.json"


def is_prepared(folder: Path) -> bool:
    return (folder / INFO).is_file()


def open_prepared(folder: Path) -> tfds.core.DatasetBuilder:
    """The builder of a prepared set; it need not be known to TFDS."""
    try:
        return tfds.builder_from_directory(folder)
    # A damaged file may raise anything.
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise ValueError(
            f"{folder / INFO} could not be read as that of a prepared TFDS "
            f"set ({reason}); prepare the set again"
        ) from error
