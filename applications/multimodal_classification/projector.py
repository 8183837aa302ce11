"""The fused vectors in TensorBoard: graphs, signs of collapse, projector."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorboard.plugins import projector

from applications import files
from applications.multimodal_classification import figures
from applications.multimodal_classification import frozen
from applications.multimodal_classification import graphs
from applications.multimodal_classification import phases
from applications.multimodal_classification.config import LATE
from applications.multimodal_classification.config import Config
from applications.multimodal_classification.sources import UNLABELLED

# How often in a training.
TIMES = 5


def callbacks(
    config: Config, batch: Any, run_dir: Path
) -> list[keras.callbacks.Callback]:
    found = [frozen.CheckFeatures(batch, config), *phases.callbacks(config)]
    if config.fusion != LATE:
        log_dir = run_dir / "logs" / "fused"
        found.append(FusedVectors(log_dir, batch, config))
    return found


class FusedVectors(keras.callbacks.Callback):
    """Looks at the fused vectors of a validation batch at about five epochs.

    Into `log_dir` go the neighbors as a picture and, with a refiner, the
    modality graph, and of each modality the cosines and the effective rank;
    at the end of the training the vectors for TensorBoard's projector, with
    their classes.
    """

    def __init__(self, log_dir: Path, batch: Any, config: Config) -> None:
        super().__init__()
        self.log_dir = log_dir
        self.batch = batch
        self.config = config
        self.every = max(1, config.epochs // TIMES)

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.writer = tf.summary.create_file_writer(str(self.log_dir))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if (epoch + 1) % self.every:
            return
        described = graphs.describe(self.model, [self.batch], self.config)
        part = frozen.classifier(self.model)
        fused, labels = graphs.fused_vectors(part, [self.batch])
        classes, names = self.config.classes, self.config.modalities
        drawn = {"neighbors": figures.sample_graph(fused, labels, classes)}
        if graph := described.get("modality_graph"):
            drawn["modality_graph"] = figures.modality_graph(graph, names)
        with self.writer.as_default(step=epoch):
            for name, picture in drawn.items():
                tf.summary.image(f"fused/{name}", picture[None])
            for name, value in _numbers(described):
                tf.summary.scalar(f"fused/{name}", value)
        self.writer.flush()

    def on_train_end(self, logs: dict | None = None) -> None:
        self.writer.close()
        part = frozen.classifier(self.model)
        fused, labels = graphs.fused_vectors(part, [self.batch])
        _write_projector(self.log_dir, fused, labels, self.config)


def _numbers(described: dict[str, Any]) -> list[tuple[str, float]]:
    found = [("effective_rank", described["effective_rank_fused"])]
    if described["label_homophily"] is not None:
        found.append(("label_homophily", described["label_homophily"]))
    for modality, values in described["modalities"].items():
        found += [(f"{modality}_{key}", x) for key, x in values.items()]
    return found


def _write_projector(
    log_dir: Path, fused: np.ndarray, labels: np.ndarray, config: Config
) -> None:
    lines = ["\t".join(f"{x:.6g}" for x in vector) for vector in fused]
    files.write(log_dir / "fused.tsv", "\n".join(lines) + "\n")
    names = [_as_field(label, config) for label in labels]
    files.write(log_dir / "classes.tsv", "\n".join(names) + "\n")
    settings = projector.ProjectorConfig()
    embedding = settings.embeddings.add()
    embedding.tensor_name = "fused vectors of validation rows"
    embedding.tensor_path = "fused.tsv"
    embedding.metadata_path = "classes.tsv"
    text = text_format.MessageToString(settings)
    files.write(log_dir / "projector_config.pbtxt", text)


def _as_field(label: np.ndarray, config: Config) -> str:
    """The classes of a row in a line; a tab or line break would end it."""
    if np.any(label == UNLABELLED):
        return "no label"
    places = np.flatnonzero(label) if label.ndim else [label]
    return "|".join(" ".join(config.classes[p].split()) for p in places) or "-"
