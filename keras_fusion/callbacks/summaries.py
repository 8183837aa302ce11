class Summaries:
    """Writes to TensorBoard; without a folder it writes nothing.

    TensorFlow is imported at the first number, so that callbacks run on any
    backend as long as nobody asks for summaries.
    """

    def __init__(self, log_dir=None):
        self.log_dir = log_dir
        self.writer = None

    def scalar(self, name, value, step):
        self._write("scalar", name, value, step)

    def histogram(self, name, values, step):
        self._write("histogram", name, values, step)

    def _write(self, kind, name, value, step):
        if self.log_dir is None:
            return
        import tensorflow as tf

        if self.writer is None:
            self.writer = tf.summary.create_file_writer(str(self.log_dir))
        with self.writer.as_default():
            getattr(tf.summary, kind)(name, value, step=step)

    def flush(self):
        if self.writer is not None:
            self.writer.flush()

    def close(self):
        if self.writer is not None:
            self.writer.close()
            self.writer = None
