"""How well a model classifies, and which branches it uses."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from applications.image_classification.branches import Branches
from applications.image_classification.branches import has_branches
from applications.image_classification.config import Config
from applications.reports import percent

TOP = 5
SHOWN = 20
CONFUSIONS = 5


def measure(
    model: keras.Model, dataset: tf.data.Dataset, config: Config
) -> dict[str, Any]:
    """The contents of `metrics.json` that are about classification.

    `confusion` counts examples by [class, prediction]; `branches` says how
    much each branch counts, where they meet in a weighted sum.
    """
    logits, labels = outputs(model, dataset)
    count = len(config.classes)
    confusion = np.zeros((count, count), "int64")
    np.add.at(confusion, (labels, logits.argmax(axis=1)), 1)
    totals = confusion.sum(axis=1)
    right = np.diag(confusion)
    recall = {
        name: float(r / n) if n else None
        for name, r, n in zip(config.classes, right, totals, strict=True)
    }
    known = [value for value in recall.values() if value is not None]
    metrics = {
        "accuracy": float(right.sum() / totals.sum()),
        "mean_accuracy": float(np.mean(known)),
        "cross_entropy": cross_entropy(logits, labels),
        "accuracy_by_class": recall,
        "confusion": confusion.tolist(),
        "standardize": constants(config),
    }
    if count > TOP:
        best = np.argsort(-logits, axis=1, kind="stable")[:, :TOP]
        hits = (best == labels[:, None]).any(axis=1)
        metrics["top_5_accuracy"] = float(hits.mean())
    if has_branches(config):
        metrics["branches"] = Branches(model, config).describe(dataset)
    return metrics


def outputs(
    model: keras.Model, dataset: tf.data.Dataset
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (count, classes) and labels (count,) of a data set."""
    call = tf.function(
        lambda inputs: model(inputs, training=False)["label"],
        reduce_retracing=True,
    )
    logits, labels = [], []
    for inputs, targets in dataset:
        logits.append(call(inputs).numpy())
        labels.append(targets["label"].numpy())
    return np.concatenate(logits), np.concatenate(labels)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    logits = logits.astype("float64")
    highest = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - highest).sum(axis=1)) + highest[:, 0]
    return float(np.mean(total - logits[np.arange(len(labels)), labels]))


def constants(config: Config) -> dict[str, Any]:
    """What was done to the gray levels of every image."""
    if config.standardize != "contrast":
        return {"method": config.standardize}
    return {
        "method": "contrast",
        "scale": config.contrast_scale,
        "floor": config.contrast_floor,
    }


def table(metrics: dict[str, Any]) -> str:
    """The result as text: scores, classes, confusions and branches."""
    confusion = np.array(metrics["confusion"])
    accuracy = metrics["accuracy"]
    first = f"accuracy {percent(accuracy)}, error {percent(1 - accuracy)}"
    if "top_5_accuracy" in metrics:
        first += f", top 5 {percent(metrics['top_5_accuracy'])}"
    lines = [f"{first} of {confusion.sum():,} images"]
    classes = metrics["accuracy_by_class"]
    if len(classes) <= SHOWN:
        lines += ["", *_class_rows(classes)]
    if confusions := _confusions(list(classes), confusion):
        lines.append("most confused: " + ", ".join(confusions))
    if "branches" in metrics:
        lines += ["", branch_table(metrics["branches"])]
    return "\n".join(lines)


def branch_table(branches: dict[str, dict[str, float]]) -> str:
    """A line for each branch: its weights, and its part in the fusion."""
    titles = ("mean weight", "mean |w|", "share of |w|", "contribution")
    lines = [" ".join([f"{'branch':<10}", *(f"{t:>13}" for t in titles)])]
    for name in branches["mean"]:
        mean, size, share, part = (
            branches[key][name]
            for key in ("mean", "mean_absolute", "share", "contribution")
        )
        lines.append(
            f"{name:<10} {mean:13.3f} {size:13.3f} {percent(share):>13} "
            f"{percent(part):>13}"
        )
    return "\n".join(lines)


def _class_rows(classes: dict[str, float | None]) -> list[str]:
    width = max(len("class"), *map(len, classes))
    return [
        f"{'class':<{width}} {'accuracy':>9}",
        *(
            f"{name:<{width}} {percent(value):>9}"
            for name, value in classes.items()
        ),
    ]


def _confusions(names: list[str], confusion: np.ndarray) -> list[str]:
    wrong = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    return [
        f"{names[truth]} as {names[guess]} ({wrong[truth, guess]})"
        for truth, guess in zip(
            *np.unravel_index(order, wrong.shape), strict=True
        )
        if wrong[truth, guess]
    ]
