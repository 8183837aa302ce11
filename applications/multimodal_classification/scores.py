"""How well a model classifies, and what each modality is worth."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import sklearn.metrics
import tensorflow as tf

from applications.multimodal_classification import frozen
from applications.multimodal_classification.config import Config
from applications.multimodal_classification.model import LABEL
from applications.multimodal_classification.model import PRESENCE
from applications.multimodal_classification.sources import UNLABELLED
from applications.reports import percent

BINS = 15


def measure(
    model: keras.Model, dataset: tf.data.Dataset, config: Config
) -> dict[str, Any]:
    """Scores of the rows that have a label.

    `without` and `alone` hold them with one modality missing, and with one
    there; `majority` is the accuracy of the most frequent class.
    """
    call = predictor(model, config)
    names = frozenset(config.modalities)
    dataset = frozen.encoded(model, dataset, config)

    # Of two, one is alone where the other is missing.
    @functools.cache
    def score(kept: frozenset[str]) -> dict[str, Any]:
        return _scores(call, dataset, config, kept)

    metrics = dict(score(names))
    if len(names) > 1:
        ordered = config.modalities
        metrics["without"] = {n: score(names - {n}) for n in ordered}
        metrics["alone"] = {n: score(frozenset({n})) for n in ordered}
    return metrics


def predictor(model: keras.Model, config: Config) -> Callable:
    """A function from inputs to the probabilities of the classes."""

    @tf.function(reduce_retracing=True)
    def call(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        logits = model(inputs, training=False)[LABEL]
        squash = tf.sigmoid if config.multilabel else tf.nn.softmax
        return squash(tf.cast(logits, "float32"))

    return call


def seen(
    inputs: dict[str, Any], config: Config, kept: frozenset[str]
) -> dict[str, Any]:
    """Inputs of which only some modalities are there."""
    mask = [float(name in kept) for name in config.modalities]
    hidden = {
        name: x if frozen.modality_of(name) in kept else tf.zeros_like(x)
        for name, x in inputs.items()
    }
    return hidden | {PRESENCE: inputs[PRESENCE] * tf.constant([mask])}


def _scores(
    call: Callable,
    dataset: tf.data.Dataset,
    config: Config,
    kept: frozenset[str],
) -> dict[str, Any]:
    chance, label, known = classified(
        lambda inputs: call(seen(inputs, config, kept)), dataset
    )
    score = scores_of_lists if config.multilabel else scores_of_classes
    return score(chance[known].astype("float64"), label[known])


def classified(
    call: Callable, dataset: tf.data.Dataset
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of all rows the probabilities, the labels, and which have a label.

    Raises ValueError where none has.
    """
    chances, labels = [], []
    for inputs, targets in dataset:
        chances.append(call(inputs).numpy())
        labels.append(np.asarray(next(iter(targets.values()))))
    chance, label = np.concatenate(chances), np.concatenate(labels)
    known = (label.reshape(len(label), -1) != UNLABELLED).all(axis=1)
    if not known.any():
        raise ValueError(
            "no row has a label, so there is nothing to compare with; use "
            "`predict` for rows without labels"
        )
    return chance, label, known


def scores_of_classes(chance: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """Scores where a row has one class."""
    count = chance.shape[1]
    guess = chance.argmax(axis=1)
    f1 = sklearn.metrics.f1_score
    counts = confusion(label, guess, count)
    totals = counts.sum(axis=1)
    recall = np.diag(counts)[totals > 0] / totals[totals > 0]
    likelihood = chance[np.arange(len(label)), label]
    return {
        "accuracy": float(np.mean(guess == label)),
        "balanced_accuracy": float(recall.mean()),
        "micro_f1": float(f1(label, guess, average="micro")),
        "macro_f1": float(f1(label, guess, average="macro", zero_division=0)),
        "roc_auc": _roc_auc(chance, np.eye(count)[label]),
        "log_loss": float(-np.mean(np.log(np.clip(likelihood, 1e-12, 1)))),
        "calibration_error": calibration_error(
            chance.max(axis=1), guess == label
        ),
        "majority": float(np.bincount(label).max() / len(label)),
        "confusion": counts.tolist(),
    }


def confusion(label: np.ndarray, guess: np.ndarray, count: int) -> np.ndarray:
    """How many rows of each class (first axis) are taken for which."""
    counts = np.zeros((count, count), "int64")
    np.add.at(counts, (label, guess), 1)
    return counts


def scores_of_lists(chance: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """Scores where a row has any number of classes."""
    guess, truth = chance > 0.5, label > 0.5
    f1 = sklearn.metrics.f1_score
    likelihood = np.where(truth, chance, 1 - chance)
    return {
        "accuracy": float(np.mean(guess == truth)),
        "micro_f1": float(f1(truth, guess, average="micro", zero_division=0)),
        "macro_f1": float(f1(truth, guess, average="macro", zero_division=0)),
        "roc_auc": _roc_auc(chance, truth),
        "log_loss": float(-np.mean(np.log(np.clip(likelihood, 1e-12, 1)))),
        "calibration_error": calibration_error(
            np.maximum(chance, 1 - chance).ravel(), (guess == truth).ravel()
        ),
        "majority": float(
            np.mean(np.maximum(truth.mean(axis=0), 1 - truth.mean(axis=0)))
        ),
    }


def _roc_auc(chance: np.ndarray, truth: np.ndarray) -> float | None:
    """The mean over classes that some rows have and some have not."""
    share = np.asarray(truth, float).mean(axis=0)
    usable = (share > 0) & (share < 1)
    if not usable.any():
        return None
    return float(
        sklearn.metrics.roc_auc_score(
            np.asarray(truth)[:, usable], chance[:, usable], average="macro"
        )
    )


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """How far confidence and accuracy are apart, in 15 equal bins."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    weight = np.bincount(bins, minlength=BINS)
    gap = np.bincount(bins, confidence - right, minlength=BINS)
    return float(np.abs(gap).sum() / weight.sum())


def table(metrics: dict[str, Any]) -> str:
    """The result as text: all modalities, and what each is worth."""
    titles = {
        "accuracy": "accuracy",
        "balanced_accuracy": "balanced",
        "micro_f1": "micro F1",
        "macro_f1": "macro F1",
        "roc_auc": "ROC-AUC",
    }
    # Of one class a row, micro F1 is the accuracy; of lists of classes there
    # is no balanced accuracy.
    unused = (
        "micro_f1" if "balanced_accuracy" in metrics else "balanced_accuracy"
    )
    del titles[unused]
    rows = [("all modalities", metrics)]
    rows += [(f"without {n}", m) for n, m in metrics.get("without", {}).items()]
    rows += [(f"{n} alone", m) for n, m in metrics.get("alone", {}).items()]
    width = max(len(name) for name, _ in rows)
    lines = [" ".join([" " * width, *(f"{t:>9}" for t in titles.values())])]
    lines += [
        " ".join([f"{name:<{width}}", *(f"{percent(m[n]):>9}" for n in titles)])
        for name, m in rows
    ]
    beside = [f"most frequent class {percent(metrics['majority'])}"]
    if alone := metrics.get("alone"):
        best = max(alone, key=lambda name: alone[name]["accuracy"])
        beside.append(f"{best} alone {percent(alone[best]['accuracy'])}")
    last = [
        f"log-loss {metrics['log_loss']:.3f}",
        f"calibration error {percent(metrics['calibration_error'])}",
    ]
    return "\n".join(
        [
            *lines,
            "",
            f"accuracy beside {percent(metrics['accuracy'])}: "
            + ", ".join(beside),
            ", ".join(last),
        ]
    )
