from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_fusion.callbacks.exchanged_channels import exchanged_shares
from keras_fusion.callbacks.exchanged_channels import find_exchanges
from keras_fusion.callbacks.exchanged_channels import find_layers
from keras_fusion.callbacks.summary_writer import SummaryWriter
from keras_fusion.layers import ChannelExchange
from keras_fusion.layers import LearnedEnsemble


class FusionMonitor(keras.callbacks.Callback):
    """Watches channel exchange and ensemble weights during `fit`.

    At the end of every epoch it adds to the logs, and so to the progress bar,
    the history and every later callback:

    - `exchanged_share_<modality>`: the share of a modality's penalized
      channels that is exchanged, over all layers with a penalty or, if none
      has one, over all layers that exchange.
    - `ensemble_weight_<modality>`: its weight in the learned ensemble.

    With `log_dir` it also writes for TensorBoard, for every exchanging layer
    and modality, the share (`exchange/<layer>/<modality>`) and a histogram of
    `|gamma|` (`gamma/<layer>/<modality>`) beside the threshold
    (`threshold/<layer>`).

    Args:
        modalities: Names, in the order in which the model's layers get their
            inputs, as many as each of them gets.
        log_dir: Folder for TensorBoard, or `None` for logs only. Writing
            needs TensorFlow.

    Raises:
        ValueError: If a layer that exchanges, or an ensemble, is over another
            number of modalities, when `fit` starts.

    Example:

    >>> rgb, depth = keras.Input((4,)), keras.Input((4,))
    >>> layer = keras_fusion.layers.ChannelExchange()
    >>> model = keras.Model([rgb, depth], layer([rgb, depth]))
    >>> model.compile("sgd", loss=["mse", "mse"])
    >>> x = np.ones((2, 4))
    >>> monitor = keras_fusion.callbacks.FusionMonitor(["rgb", "depth"])
    >>> history = model.fit([x, x], [x, x], callbacks=[monitor], verbose=0)
    >>> history.history["exchanged_share_depth"]
    [0.0]
    """

    def __init__(
        self, modalities: Sequence[str], log_dir: str | Path | None = None
    ) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.summaries = SummaryWriter(log_dir)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._check_modalities()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        for name, value in self.values().items():
            (logs if logs is not None else {})[name] = value
            self.summaries.scalar(f"fusion/{name}", value, epoch)
        for layer in find_exchanges(self.model):
            self._write_layer(layer, epoch)
        self.summaries.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.summaries.close()

    def values(self) -> dict[str, float]:
        """The numbers that go to the logs, by name."""
        self._check_modalities()
        named: dict[str, float] = {}
        shares = exchanged_shares(self.model)
        if shares is not None:
            named |= self._by_modality("exchanged_share", shares)
        for layer in self._ensembles():
            named |= self._by_modality("ensemble_weight", layer.mixing_weights)
        return named

    def _ensembles(self) -> list[LearnedEnsemble]:
        return [
            layer
            for layer in find_layers(self.model, LearnedEnsemble)
            if layer.built and layer.alpha.shape[0] > 1
        ]

    def _check_modalities(self) -> None:
        counts = {
            layer.name: layer.gamma.shape[0]
            for layer in find_exchanges(self.model)
        }
        counts |= {
            layer.name: layer.alpha.shape[0] for layer in self._ensembles()
        }
        for name, count in counts.items():
            if count != len(self.modalities):
                raise ValueError(
                    "`modalities` of FusionMonitor must name what every layer "
                    f"fuses, but {name} fuses {count}. "
                    f"Received: modalities={self.modalities}"
                )

    def _by_modality(
        self, name: str, values: Iterable[float]
    ) -> dict[str, float]:
        return {
            f"{name}_{modality}": float(value)
            for modality, value in zip(self.modalities, values, strict=True)
        }

    def _write_layer(self, layer: ChannelExchange, epoch: int) -> None:
        gamma = np.abs(keras.ops.convert_to_numpy(layer.gamma))
        for modality, row, share in zip(
            self.modalities, gamma, layer.exchanged_share, strict=True
        ):
            tag = f"{layer.name}/{modality}"
            self.summaries.scalar(f"exchange/{tag}", share, epoch)
            self.summaries.histogram(f"gamma/{tag}", row, epoch)
        self.summaries.scalar(f"threshold/{layer.name}", layer.threshold, epoch)
