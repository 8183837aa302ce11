"""What the fusion of a network's branches has come to, as numbers and lines."""

from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

import keras

from applications.reports import percent
from keras_fusion.callbacks import exchanged_shares
from keras_fusion.callbacks import find_exchanges
from keras_fusion.callbacks import find_layers
from keras_fusion.layers import LearnedEnsemble


def measure(model: keras.Model, modalities: Sequence[str]) -> dict[str, Any]:
    """Exchanged shares and channels, and the weights of the ensemble."""
    shares = exchanged_shares(model)
    none = [0.0] * len(modalities)
    metrics: dict[str, Any] = {
        "exchanged_share": _by_modality(
            modalities, none if shares is None else shares
        )
    }
    if shares is not None:
        metrics["exchanged_channels"] = {
            layer.name: _by_modality(modalities, layer.exchanged.sum(axis=1))
            for layer in find_exchanges(model)
        }
    for layer in find_layers(model, LearnedEnsemble):
        # A network of one modality inside has a weight that is always 1.
        if len(layer.mixing_weights) == len(modalities) > 1:
            metrics["ensemble_weights"] = _by_modality(
                modalities, layer.mixing_weights
            )
    return metrics


def lines(metrics: dict[str, Any]) -> list[str]:
    """The same for the table of a task."""
    told = []
    if "exchanged_channels" in metrics:
        shares = metrics["exchanged_share"]
        told.append(
            "exchanged share of the penalized channels: " + _percents(shares)
        )
        if not any(shares.values()):
            told.append(
                "warning: no channel is exchanged, so this is a network "
                "without exchange. The share grows with --l1 x "
                "--learning-rate x steps and with a smaller --gamma."
            )
    if "ensemble_weights" in metrics:
        told.append("ensemble: " + _percents(metrics["ensemble_weights"]))
    return told


def _percents(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {percent(v)}" for name, v in values.items())


def _by_modality(
    modalities: Sequence[str], values: Iterable[Any]
) -> dict[str, float]:
    return {
        name: value.item() if hasattr(value, "item") else value
        for name, value in zip(modalities, values, strict=True)
    }
