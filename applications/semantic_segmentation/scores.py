"""How well a model segments: every branch, and without each modality."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from applications import branch_fusion_report
from applications.inputs.mask import IGNORE
from applications.reports import percent
from applications.semantic_segmentation.config import Config
from applications.semantic_segmentation.config import output_names


def measure(
    model: keras.Model, dataset: tf.data.Dataset, config: Config
) -> dict[str, Any]:
    """The contents of `metrics.json` that are about segmentation.

    Pixel accuracy, mean class accuracy and mean intersection over union, each
    a dict keyed by the model's outputs; `without` holds the same with one
    modality's images set to zero.
    """
    count = _counter(model, config)
    metrics = _scores(count, dataset, config)
    if len(config.modalities) > 1:
        metrics["without"] = {
            modality: _scores(count, dataset, config, zeroed=modality)
            for modality in config.modalities
        }
    metrics |= branch_fusion_report.measure(model, config.modalities)
    return metrics


def score_outputs(
    model: keras.Model, dataset: tf.data.Dataset, config: Config
) -> dict[str, Any]:
    """The scores of `measure`, without what zeroed modalities cost."""
    return _scores(_counter(model, config), dataset, config)


def table(metrics: dict[str, Any]) -> str:
    """The result as text: a line for each output, and what zeroing costs."""
    lines = [f"{'output':<12} {'mean IoU':>9} {'pixel acc':>9} {'mean acc':>9}"]
    for name in metrics["mean_iou"]:
        values = [
            metrics[key][name]
            for key in ("mean_iou", "pixel_accuracy", "mean_accuracy")
        ]
        lines.append(
            f"{name:<12} " + " ".join(f"{100 * value:9.2f}" for value in values)
        )
    last = list(metrics["mean_iou"])[-1]
    classes = metrics["iou_by_class"][last]
    lines += [
        "",
        f"IoU of each class ({last}): "
        + ", ".join(f"{name} {percent(iou)}" for name, iou in classes.items()),
    ]
    for modality, scores in metrics.get("without", {}).items():
        value = percent(scores["mean_iou"][last])
        lines.append(f"mean IoU without {modality} ({last}): {value}")
    lines += branch_fusion_report.lines(metrics)
    return "\n".join(lines)


def _scores(
    count: Callable,
    dataset: tf.data.Dataset,
    config: Config,
    zeroed: str | None = None,
) -> dict[str, Any]:
    counts = _confusions(count, dataset, config, zeroed)
    scores = {
        "mean_iou": {},
        "pixel_accuracy": {},
        "mean_accuracy": {},
        "iou_by_class": {},
    }
    for name, count in counts.items():
        right = np.diag(count)
        labeled = count.sum(axis=1)
        union = labeled + count.sum(axis=0) - right
        ious = [
            float(r / u) if u else None
            for r, u in zip(right, union, strict=True)
        ]
        present = labeled > 0
        scores["mean_iou"][name] = float(
            np.mean([iou for iou in ious if iou is not None])
        )
        scores["pixel_accuracy"][name] = float(right.sum() / labeled.sum())
        scores["mean_accuracy"][name] = float(
            np.mean(right[present] / labeled[present])
        )
        scores["iou_by_class"][name] = dict(
            zip(config.classes, ious, strict=True)
        )
    return scores


def _counter(model: keras.Model, config: Config) -> Callable:
    """Counts the pixels of a batch by [label, prediction], for each output."""

    @tf.function(reduce_retracing=True)
    def count(inputs: dict, targets: dict) -> dict:
        outputs = model(inputs, training=False)
        confusions = {}
        for name in output_names(config):
            label = tf.reshape(targets[name], [-1])
            guess = tf.reshape(tf.argmax(outputs[name], axis=-1), [-1])
            labeled = label != IGNORE
            confusions[name] = tf.math.confusion_matrix(
                label[labeled],
                guess[labeled],
                len(config.classes),
                dtype=tf.int64,
            )
        return confusions

    return count


def _confusions(
    count: Callable,
    dataset: tf.data.Dataset,
    config: Config,
    zeroed: str | None,
) -> dict[str, np.ndarray]:
    size = len(config.classes)
    total = {
        name: np.zeros((size, size), "int64") for name in output_names(config)
    }
    for inputs, targets in dataset:
        if zeroed is not None:
            inputs = inputs | {zeroed: tf.zeros_like(inputs[zeroed])}
        for name, confusion in count(inputs, targets).items():
            total[name] += confusion.numpy()
    if not any(matrix.any() for matrix in total.values()):
        raise ValueError(
            "The split has no labeled pixel; expected masks with classes "
            f"0 to {size - 1}, and {IGNORE} only where nothing is to be said."
        )
    return total
