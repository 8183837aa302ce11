"""Preparing a TFDS set once, whoever else may be at it."""

from collections.abc import Callable

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
