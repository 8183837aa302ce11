"""How much each branch counts: weights, and what they are on data."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from applications.image_classification.config import FUSING
from applications.image_classification.config import Config
from applications.image_classification.config import branch_names
from keras_fusion.callbacks import SummaryWriter
from keras_fusion.models import CLASSIFICATION_HEADS
from keras_fusion.statistics import branch_statistics

FUSION = "fusion"
WEIGHING = [h.name for h in CLASSIFICATION_HEADS.values() if h.weighs]


def has_branches(config: Config) -> bool:
    """Whether a run's branches meet in a weighted sum."""
    return config.architecture in FUSING and config.head in WEIGHING


def check_branches(config: Config) -> None:
    if not has_branches(config):
        raise ValueError(
            "branches are explained where they meet in a weighted sum: --head "
            f"{', '.join(WEIGHING)} over {' or '.join(FUSING)}; received head="
            f"{config.head} with architecture={config.architecture}"
        )


class Branches:
    """Measures the branches of a model, compiled once."""

    def __init__(self, model: keras.Model, config: Config) -> None:
        check_branches(config)
        self.model = model
        self.config = config
        self.head = CLASSIFICATION_HEADS[config.head]
        kind = "classifier" if self.head.fuses_scores else "branch"
        tensors = [
            model.get_layer(f"{name}_{kind}").output
            for name in branch_names(config)
        ]
        if self.head.branch_weights is None:
            tensors.append(model.get_layer(FUSION).output)
        watched = keras.Model(model.input, tensors)
        self._sums = tf.function(
            lambda inputs: [
                tf.reduce_sum(tf.abs(tf.cast(tensor, tf.float32)), axis=0)
                for tensor in watched(inputs, training=False)
            ],
            reduce_retracing=True,
        )

    def measure(self, dataset: Any) -> tuple[np.ndarray, np.ndarray]:
        """Weights and mean absolute activations, each (K, S).

        `dataset` yields (inputs, targets).
        """
        total, count = None, 0
        for inputs, _ in dataset:
            sums = [np.asarray(part, "float64") for part in self._sums(inputs)]
            total = sums if total is None else list(map(np.add, total, sums))
            count += len(inputs["image"])
        means = [part / count for part in total]
        branches = len(branch_names(self.config))
        activations = np.stack(means[:branches], axis=-1)
        return self._weights(activations.shape, means[branches:]), activations

    def _weights(
        self, shape: tuple[int, int], gates: list[np.ndarray]
    ) -> np.ndarray:
        if self.head.branch_weights is None:
            # They differ from example to example: their mean.
            return gates[0].T
        return self.head.branch_weights(self.model.get_layer(FUSION), shape)

    def describe(self, dataset: Any) -> dict[str, dict[str, float]]:
        """The statistics, each a dict keyed by branch."""
        names = branch_names(self.config)
        return {
            key: dict(zip(names, map(float, values), strict=True))
            for key, values in branch_statistics(*self.measure(dataset)).items()
        }


class BranchMonitor(keras.callbacks.Callback):
    """Logs shares and contributions of branches at the end of every epoch.

    For TensorBoard also a histogram of each branch's weights.
    """

    def __init__(self, batch: Any, config: Config, log_dir: Any) -> None:
        super().__init__()
        self.batch = batch
        self.config = config
        self.summaries = SummaryWriter(log_dir)

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.branches = Branches(self.model, self.config)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        weights, activations = self.branches.measure([self.batch])
        names = branch_names(self.config)
        for key, values in branch_statistics(weights, activations).items():
            for name, value in zip(names, map(float, values), strict=True):
                self.summaries.scalar(f"branches/{key}/{name}", value, epoch)
                if key in ("share", "contribution"):
                    (logs if logs is not None else {})[f"{key}_{name}"] = value
        for name, column in zip(names, weights.T, strict=True):
            self.summaries.histogram(f"weights/{name}", column, epoch)
        self.summaries.flush()

    def on_train_end(self, logs: dict | None = None) -> None:
        self.summaries.close()
