from pathlib import Path
from typing import Any

import keras

from keras_fusion.callbacks.summary_writer import SummaryWriter
from keras_fusion.types import Tensor


class ModalityBalance(keras.callbacks.Callback):
    """Measures how strongly the loss depends on each modality.

    At the end of every epoch it computes, on one fixed batch in inference
    mode, for each input `m` of a model with a dict of inputs

        gradient_norm_<m> = || d loss / d inputs[m] ||   (over the batch)

    and the loss with that input set to zero, `loss_without_<m>`, beside the
    `loss_with_all`. A modality whose norm and whose difference both fade away
    is being ignored. An input of integers, like words, has no gradient and so
    no norm; zeros are its padding.

    The numbers are added to the logs and, with `log_dir`, sent to
    TensorBoard under `balance/`. Gradients need the TensorFlow backend.

    Args:
        batch: A pair `(inputs, targets)` as `fit` takes it, `inputs` a dict.
        log_dir: Folder for TensorBoard, or `None` for logs only.

    Raises:
        ValueError: If the inputs are not a dict, or if the backend is not
            TensorFlow.
    """

    def __init__(
        self,
        batch: tuple[dict[str, Tensor], Any],
        log_dir: str | Path | None = None,
    ) -> None:
        super().__init__()
        inputs, targets = batch
        if not isinstance(inputs, dict):
            raise ValueError(
                "`batch` must hold a dict of inputs keyed by modality. "
                f"Received: inputs of type {type(inputs).__name__}"
            )
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                "`KERAS_BACKEND` must be tensorflow for ModalityBalance. "
                f"Received: KERAS_BACKEND={keras.backend.backend()}"
            )
        self.inputs = inputs
        self.targets = targets
        self.summaries = SummaryWriter(log_dir)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        import tensorflow as tf

        # Compiled once: every epoch asks N + 1 times.
        self._measure = tf.function(self._loss_and_norms, reduce_retracing=True)

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        loss, norms = self._measure(self.inputs)
        named = {"loss_with_all": loss}
        for name in self.inputs:
            if name in norms:
                named[f"gradient_norm_{name}"] = norms[name]
            zeros = keras.ops.zeros_like(self.inputs[name])
            named[f"loss_without_{name}"], _ = self._measure(
                self.inputs | {name: zeros}
            )
        for name, value in named.items():
            value = float(value)
            (logs if logs is not None else {})[name] = value
            self.summaries.scalar(f"balance/{name}", value, epoch)
        self.summaries.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.summaries.close()

    def _loss_and_norms(
        self, inputs: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        import tensorflow as tf

        watched = {name: x for name, x in inputs.items() if x.dtype.is_floating}
        with tf.GradientTape() as tape:
            tape.watch(watched)
            outputs = self.model(inputs, training=False)
            loss = self.model.compute_loss(
                x=inputs, y=self.targets, y_pred=outputs, training=False
            )
        gradients = tape.gradient(
            loss, watched, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return loss, {name: tf.norm(g) for name, g in gradients.items()}
