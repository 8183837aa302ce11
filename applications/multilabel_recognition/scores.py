"""How well a model recognizes categories, and whether it looks at them.

* `average_precision`: area under the envelope of precision over recall at
  all points, for each category; its mean is `mean_average_precision`.
* `CP CR CF1`: precision, recall and F1, the first two as means over
  categories; `OP OR OF1`: over all labels together. A category that is never
  predicted has precision 0.
* `pointing_accuracy`: of the present categories whose place is known, the
  share whose map is largest at a cell that their object touches;
  `pointing_chance` is the share of such cells.

Unknown labels, and categories without an example, count for nothing.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from applications.datasets.label_sets import on_grid
from applications.multilabel_recognition.config import Config
from applications.multilabel_recognition.data import ATTENTION
from applications.multilabel_recognition.data import LABEL
from applications.reports import percent

THRESHOLD, TOP = 0.5, 3
NAMES = ("CP", "CR", "CF1", "OP", "OR", "OF1")


def predictor(model: keras.Model) -> Callable:
    """A function from inputs to probabilities and maps, or None."""

    @tf.function(reduce_retracing=True)
    def call(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = dict(model(inputs, training=False))
        chance = tf.sigmoid(tf.cast(outputs[LABEL], "float32"))
        return outputs | {LABEL: chance}

    return call


def measure(
    model: keras.Model, dataset: tf.data.Dataset, config: Config
) -> dict[str, Any]:
    """The contents of `metrics.json` that are about recognition."""
    call, chances, labels, points = predictor(model), [], [], []
    for inputs, targets in dataset:
        outputs = call(inputs)
        chances.append(outputs[LABEL].numpy())
        labels.append(targets[LABEL].numpy())
        if ATTENTION in outputs and ATTENTION in targets:
            maps = outputs[ATTENTION].numpy()
            regions = targets[ATTENTION].numpy()
            points += pointed(maps, regions, labels[-1])
    chance, label = np.concatenate(chances), np.concatenate(labels)
    if not (label == 1).any():
        raise ValueError(
            "no image has a category, so there is nothing to compare with; "
            "use `predict` for images without labels"
        )
    return scores(chance, label, config) | pointing(points, config)


def scores(
    chance: np.ndarray, label: np.ndarray, config: Config
) -> dict[str, Any]:
    """Scores of probabilities, both arrays (examples, categories)."""
    precisions = {
        name: average_precision(chance[:, place], label[:, place])
        for place, name in enumerate(config.classes)
    }
    shares = [prevalence(label[:, c]) for c in range(label.shape[1])]
    top = np.zeros(chance.shape, bool)
    best = np.argsort(-chance, axis=1, kind="stable")[:, :TOP]
    np.put_along_axis(top, best, True, axis=1)
    return {
        "mean_average_precision": _mean(precisions.values()),
        "prevalence": _mean(shares),
        "average_precision": precisions,
        "at_half": counted(chance > THRESHOLD, label),
        "top_3": counted(top, label),
    }


def average_precision(chance: np.ndarray, label: np.ndarray) -> float | None:
    """Of one category; None if it has no example. Ties count as one point."""
    known = label >= 0
    chance, truth = chance[known], label[known] == 1
    if not truth.any():
        return None
    order = np.argsort(-chance, kind="stable")
    chance, truth = chance[order], truth[order]
    last = np.append(np.flatnonzero(np.diff(chance)), len(chance) - 1)
    hits = np.cumsum(truth)[last]
    precision, recall = hits / (last + 1), hits / truth.sum()
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * envelope))


def prevalence(label: np.ndarray) -> float | None:
    """The share of examples that have a category, which chance reaches."""
    if not (label == 1).any():
        return None
    return float((label == 1).sum() / (label >= 0).sum())


def counted(guess: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """The six scores of predicted sets."""
    guess = guess & (label >= 0)
    truth = label == 1
    hits, said, there = (x.sum(axis=0) for x in (guess & truth, guess, truth))
    measured = there > 0
    precision = hits / np.maximum(said, 1)
    recall = hits / np.maximum(there, 1)
    by_category = precision[measured].mean(), recall[measured].mean()
    overall = hits.sum() / max(said.sum(), 1), hits.sum() / there.sum()
    values = (*_with_f1(*by_category), *_with_f1(*overall))
    return dict(zip(NAMES, map(float, values), strict=True))


def _with_f1(precision: float, recall: float) -> tuple[float, float, float]:
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total else 0.0


def pointed(
    maps: np.ndarray, regions: np.ndarray, label: np.ndarray
) -> list[tuple[int, bool, float]]:
    """For each present category: its number, hit or miss, chance of a hit.

    Categories of which no place is known are left out.
    """
    found = []
    size = maps.shape[2:]
    for example, category in np.argwhere(label == 1):
        if regions.shape[1] != label.shape[1]:
            break
        region = regions[example, category]
        if not region.any():
            continue
        cells = on_grid(region, size)
        best = maps[example, category].argmax()
        found.append(
            (int(category), bool(cells.flat[best]), float(cells.mean()))
        )
    return found


def pointing(
    points: list[tuple[int, bool, float]], config: Config
) -> dict[str, Any]:
    """The means of what `pointed` found; nothing where there is none."""
    if not points:
        return {}
    by_class = {
        name: _mean([hit for number, hit, _ in points if number == place])
        for place, name in enumerate(config.classes)
    }
    return {
        "pointing_accuracy": _mean([hit for _, hit, _ in points]),
        "pointing_chance": _mean([chance for _, _, chance in points]),
        "pointing_by_category": by_class,
    }


def _mean(values: Any) -> float | None:
    known = [float(value) for value in values if value is not None]
    return float(np.mean(known)) if known else None


def table(metrics: dict[str, Any]) -> str:
    """The result as text."""
    found, chance = metrics["mean_average_precision"], metrics["prevalence"]
    lines = [
        f"mAP {percent(found)}, by chance {percent(chance)}",
        "",
        f"{'':<8}" + "".join(f"{name:>8}" for name in NAMES),
    ]
    for title, key in (("at 0.5", "at_half"), ("top 3", "top_3")):
        values = metrics[key]
        cells = "".join(f"{100 * values[name]:8.2f}" for name in NAMES)
        lines.append(f"{title:<8}{cells}")
    precisions = metrics["average_precision"].items()
    lines += [
        "",
        "AP of each category: "
        + ", ".join(f"{name} {percent(value)}" for name, value in precisions),
    ]
    if "pointing_accuracy" in metrics:
        lines.append(
            f"pointing at it: {percent(metrics['pointing_accuracy'])} of the "
            "present categories, by chance "
            f"{percent(metrics['pointing_chance'])}"
        )
    return "\n".join(lines)
