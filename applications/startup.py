"""Imports TensorFlow without its start-up notes on the screen."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator


def import_tensorflow() -> None:
    """Call it before the first import of keras or tensorflow.

    A TF_CPP_MIN_LOG_LEVEL that is set outside is kept.
    """
    # 3, because a machine without a GPU counts as an error.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _native_stderr_hidden():
        import tensorflow as tf

    tf.get_logger().setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)


@contextlib.contextmanager
def _native_stderr_hidden() -> Iterator[None]:
    """Catches what C++ writes before its own log level takes effect."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
