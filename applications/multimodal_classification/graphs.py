"""What is in the fused vectors: two graphs, and signs of collapse.

The modality graph says how much of each modality that the refiner rebuilds
depends on each modality; the sample graph joins each row to its nearest in the
fused space. Both are propositions of this project: the paper's theorem on
graphs that refining induces is not known to us.
"""

from typing import Any

import keras
import numpy as np
import sklearn.neighbors
import tensorflow as tf

from applications.multimodal_classification import frozen
from applications.multimodal_classification.config import LATE
from applications.multimodal_classification.config import Config
from applications.multimodal_classification.model import FUSED
from applications.multimodal_classification.model import target_name
from applications.multimodal_classification.sources import UNLABELLED
from keras_fusion.layers import Refiner

NEIGHBORS = 10
# Rows on which derivatives are measured.
LOOKED_AT = 64
HALF = ("float16", "bfloat16")


def describe(
    model: keras.Model, dataset: tf.data.Dataset, config: Config
) -> dict[str, Any]:
    """Both graphs in numbers, and whether the reconstructions are honest.

    For each modality of a model with a refiner: the cosine of reconstruction
    and target, that of the best constant vector, that of both less their
    means, and the effective rank of the targets, which falls where encoders
    make it easy.

    Raises ValueError for late fusion, which has no fused vector.
    """
    check_fused(config)
    dataset = frozen.encoded(model, dataset, config)
    model = frozen.classifier(model)
    fused, labels = fused_vectors(model, dataset)
    described: dict[str, Any] = {
        "label_homophily": homophily(fused, labels),
        "effective_rank_fused": effective_rank(fused),
        "modalities": {},
    }
    refiner = find_refiner(model)
    if refiner is None:
        return described
    names = config.modalities
    vectors = outputs_of(model, dataset, [f"{n}_vector" for n in names])
    targets = outputs_of(
        model, dataset, [target_name(n, config) for n in names]
    )
    if refiner.compute_dtype in HALF:
        described["left_out"] = (
            "the modality graph, as half precision rounds away the small "
            "differences that measure it"
        )
    else:
        graph = refiner.modality_graph([v[:LOOKED_AT] for v in vectors])
        described["modality_graph"] = graph.tolist()
    rebuilt = map(_numbers, refiner.defuse(fused))
    for name, target, decoded in zip(names, targets, rebuilt, strict=True):
        described["modalities"][name] = {
            "cosine": cosine(target, decoded),
            "constant_cosine": constant_cosine(target),
            "centred_cosine": cosine(
                target - target.mean(axis=0), decoded - decoded.mean(axis=0)
            ),
            "effective_rank": effective_rank(target),
        }
    return described


def check_fused(config: Config) -> None:
    if config.fusion == LATE:
        raise ValueError(
            f"the fusion {LATE} has no fused vector, so there is no graph; "
            "train a run with another --fusion"
        )


def find_refiner(model: keras.Model) -> Refiner | None:
    for layer in frozen.classifier(model).layers:
        if isinstance(layer, Refiner):
            return layer
    return None


def fused_vectors(
    model: keras.Model, dataset: tf.data.Dataset
) -> tuple[np.ndarray, np.ndarray]:
    """The fused vectors of the rows, and their labels."""
    (fused,) = outputs_of(model, dataset, [FUSED])
    labels = [
        np.asarray(next(iter(targets.values()))) for _, targets in dataset
    ]
    return fused, np.concatenate(labels)


def outputs_of(
    model: keras.Model, dataset: tf.data.Dataset, names: list[str]
) -> list[np.ndarray]:
    """What some layers give for all rows."""
    inner = keras.Model(
        model.inputs, {name: model.get_layer(name).output for name in names}
    )
    found = []
    for inputs, _ in dataset:
        inputs = frozen.behind(inputs)
        given = {name: inputs[name] for name in model.input}
        found.append(inner(given, training=False))
    return [
        np.concatenate([_numbers(part[name]) for part in found])
        for name in names
    ]


def _numbers(tensor: Any) -> np.ndarray:
    """As float32, also of half precision."""
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def cosine(targets: np.ndarray, others: np.ndarray) -> float:
    """The mean cosine of the rows."""
    sizes = np.linalg.norm(targets, axis=1) * np.linalg.norm(others, axis=1)
    return float(np.mean((targets * others).sum(axis=1) / (sizes + 1e-8)))


def constant_cosine(targets: np.ndarray) -> float:
    """The mean cosine with the one vector that comes nearest to all."""
    directions = targets / (np.linalg.norm(targets, axis=1)[:, None] + 1e-8)
    return float(np.linalg.norm(directions.mean(axis=0)))


def effective_rank(vectors: np.ndarray) -> float:
    """exp of the entropy of the shares of variance of principal axes."""
    values = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False)
    shares = values**2 / max(float((values**2).sum()), 1e-12)
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def homophily(fused: np.ndarray, labels: np.ndarray) -> float | None:
    """The share of the nearest ten rows, by cosine, with a row's class.

    None where rows have several classes, or too few have one.
    """
    if labels.ndim > 1:
        return None
    fused, labels = fused[labels != UNLABELLED], labels[labels != UNLABELLED]
    if len(labels) <= NEIGHBORS:
        return None
    nearest = neighbors(fused)
    return float(np.mean(labels[nearest] == labels[:, None]))


def neighbors(vectors: np.ndarray) -> np.ndarray:
    """The indices (rows, 10) of the nearest other rows, by cosine."""
    search = sklearn.neighbors.NearestNeighbors(
        n_neighbors=NEIGHBORS, metric="cosine"
    )
    return search.fit(vectors).kneighbors(return_distance=False)


def report(described: dict[str, Any], config: Config) -> str:
    """The numbers as text."""
    lines = []
    if described["modalities"]:
        lines = [*_of_modalities(described, config), ""]
    share = described["label_homophily"]
    if share is not None:
        lines += [f"neighbors of the same class: {100 * share:.1f} %"]
    rank = described["effective_rank_fused"]
    return "\n".join(
        [*lines, f"effective rank of the fused vectors: {rank:.1f}"]
    )


def _of_modalities(described: dict[str, Any], config: Config) -> list[str]:
    names = config.modalities
    width = max(len("rebuilt from"), *map(len, names))
    titles = ("cosine", "constant", "centred", "rank")
    keys = ("cosine", "constant_cosine", "centred_cosine", "effective_rank")
    lines = [" ".join([f"{'modality':<{width}}", *(f"{t:>9}" for t in titles)])]
    for name in names:
        values = described["modalities"][name]
        cells = (f"{values[key]:9.3f}" for key in keys)
        lines.append(" ".join([f"{name:<{width}}", *cells]))
    if "modality_graph" not in described:
        return [*lines, "", f"left out: {described['left_out']}"]
    space = max(10, *map(len, names))
    cells = (f"{name:>{space}}" for name in names)
    lines += ["", " ".join([f"{'rebuilt from':<{width}}", *cells])]
    for name, row in zip(names, described["modality_graph"], strict=True):
        cells = (f"{value:{space}.3f}" for value in row)
        lines.append(" ".join([f"{name:<{width}}", *cells]))
    return lines
