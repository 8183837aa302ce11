from pathlib import Path
from typing import Any

from keras_fusion.types import Tensor


class SummaryWriter:
    """Writes numbers for TensorBoard; without a folder it writes nothing.

    TensorFlow is imported at the first number, so that callbacks run on any
    backend as long as nobody asks for summaries.

    Args:
        log_dir: Folder for TensorBoard, or `None`.

    Example:

    >>> writer = keras_fusion.callbacks.SummaryWriter(None)
    >>> writer.scalar("loss", 0.5, step=1)
    >>> writer.histogram("weights", np.ones(3), step=1)
    >>> writer.close()
    """

    def __init__(self, log_dir: str | Path | None = None) -> None:
        self.log_dir = log_dir
        self.writer: Any = None

    def scalar(self, name: str, value: float, step: int) -> None:
        self._write("scalar", name, value, step)

    def histogram(self, name: str, values: Tensor, step: int) -> None:
        self._write("histogram", name, values, step)

    def _write(self, kind: str, name: str, value: Any, step: int) -> None:
        if self.log_dir is None:
            return
        import tensorflow as tf

        if self.writer is None:
            self.writer = tf.summary.create_file_writer(str(self.log_dir))
        with self.writer.as_default():
            getattr(tf.summary, kind)(name, value, step=step)

    def flush(self) -> None:
        if self.writer is not None:
            self.writer.flush()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None
