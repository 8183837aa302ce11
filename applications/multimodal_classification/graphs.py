"""What refining left in the fused vectors: two graphs, and checks on them.

The modality graph says how much of each rebuilt modality depends on each
modality; the sample graph joins each row to its nearest in the fused space.
Both are this project's reading of the paper, whose theorem we have not seen.
"""

from typing import Any

import keras
import numpy as np
import sklearn.neighbors
import tensorflow as tf

from applications.multimodal_classification import frozen
from applications.multimodal_classification.config import Config
from applications.multimodal_classification.model import LABEL
from applications.multimodal_classification.sources import UNLABELLED
from keras_fusion.layers import Refiner

NEIGHBORS = 10
# Rows on which derivatives are measured.
LOOKED_AT = 64


def describe(
    model: keras.Model, dataset: tf.data.Dataset, config: Config
) -> dict[str, Any]:
    """Both graphs in numbers, and whether the reconstructions are honest.

    For each modality: the cosine of reconstruction and target, that of the
    best constant vector, that of both less their means, and the effective
    rank of the targets, which falls where encoders make it easy.

    Raises ValueError for a model without a refiner.
    """
    dataset = frozen.encoded(model, dataset, config)
    model = frozen.classifier(model)
    refiner = find_refiner(model)
    vectors, fused, labels = _vectors(model, dataset, config)
    graph = refiner.modality_graph([v[:LOOKED_AT] for v in vectors])
    rebuilt = [keras.ops.convert_to_numpy(x) for x in refiner.defuse(fused)]
    found = zip(config.modalities, vectors, rebuilt, strict=True)
    return {
        "modality_graph": graph.tolist(),
        "label_homophily": homophily(fused, labels),
        "effective_rank_fused": effective_rank(fused),
        "modalities": {
            name: {
                "cosine": cosine(target, decoded),
                "constant_cosine": constant_cosine(target),
                "centred_cosine": cosine(
                    target - target.mean(axis=0), decoded - decoded.mean(axis=0)
                ),
                "effective_rank": effective_rank(target),
            }
            for name, target, decoded in found
        },
    }


def find_refiner(model: keras.Model) -> Refiner:
    for layer in frozen.classifier(model).layers:
        if isinstance(layer, Refiner):
            return layer
    raise ValueError(
        "the run has no refiner, so there are no graphs of it; train one with "
        "two or more modalities and a --refiner-weight above 0"
    )


def _vectors(
    model: keras.Model, dataset: tf.data.Dataset, config: Config
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """The modalities' vectors, the fused ones, and the classes of the rows."""
    outputs = [model.get_layer(f"{n}_vector").output for n in config.modalities]
    outputs.append(find_refiner(model).output)
    inner = keras.Model(model.inputs, outputs)
    found, labels = [], []
    for inputs, targets in dataset:
        inputs = frozen.behind(inputs)
        inputs = {name: inputs[name] for name in model.input}
        found.append([np.asarray(x) for x in inner(inputs, training=False)])
        labels.append(np.asarray(targets[LABEL]))
    *vectors, fused = (np.concatenate(x) for x in zip(*found, strict=True))
    return vectors, fused, np.concatenate(labels)


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
    names = config.modalities
    width = max(len("modality"), *map(len, names))
    titles = ("cosine", "constant", "centred", "rank")
    keys = ("cosine", "constant_cosine", "centred_cosine", "effective_rank")
    lines = [" ".join([f"{'modality':<{width}}", *(f"{t:>9}" for t in titles)])]
    for name in names:
        values = described["modalities"][name]
        cells = (f"{values[key]:9.3f}" for key in keys)
        lines.append(" ".join([f"{name:<{width}}", *cells]))
    lines += ["", "rebuilt from" + "".join(f"{name:>12}" for name in names)]
    for name, row in zip(names, described["modality_graph"], strict=True):
        lines.append(f"{name:<12}" + "".join(f"{value:12.3f}" for value in row))
    share = described["label_homophily"]
    if share is not None:
        lines += ["", f"neighbors of the same class: {100 * share:.1f} %"]
    return "\n".join(lines)
