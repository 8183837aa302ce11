"""What pre-training without labels and the refiner are worth with few labels.

    python -m benchmarks.few_labels --sounds SPOKEN_DIGITS/recordings \\
        --digits WRITTEN_DIGITS

Spoken digits are paired with written ones of the same class, from the seed;
no recording and no image is in two parts. Noise is added to the images, so
that neither modality is enough. Every row is trained on the same rows with the
same labels, and measured on the test part, on which nothing was chosen. Three
tables: ways to learn from few labels, fusions with and without the refiner,
and each modality missing at test time after training with and without
modality dropout.
"""

import collections
import csv
import dataclasses
import functools
import gzip
import tempfile
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
import tyro
from PIL import Image

from applications.multimodal_classification import Config
from applications.multimodal_classification import build_model
from applications.multimodal_classification import graphs
from applications.multimodal_classification import measure
from applications.multimodal_classification import phases
from applications.multimodal_classification import sources
from applications.multimodal_classification.data import data_of
from applications.task import Data
from benchmarks.fitting import fit
from benchmarks.tables import percent
from benchmarks.tables import write_table

IMAGES, LABELS = "images-idx3-ubyte.gz", "labels-idx1-ubyte.gz"
TEST = 300
# What the rows decide, the same for all settings of the table.
DECIDED = ("images", "sounds", "label", "classes")
WITHOUT = {"refiner_weight": (0.0,)}
# Whether the first epochs are without labels, and changes of the config.
METHODS = {
    "cross-entropy": (False, WITHOUT),
    "+ refiner": (False, {}),
    "pre-training, then cross-entropy": (True, WITHOUT),
    "pre-training, then both": (True, {}),
    "+ multi-similarity": (True, {"similarity_weight": 0.1}),
}
# Those of the second table.
OF_FUSIONS = ("cross-entropy", "+ refiner", "pre-training, then both")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Compares ways to learn from few labels."""

    sounds: Path
    """Folder of <digit>_<speaker>_<index>.wav."""
    digits: Path
    """Folder of MNIST's images-idx3-ubyte.gz and labels-idx1-ubyte.gz."""
    fractions: tuple[float, ...] = (0.005, 0.01, 0.02, 0.05, 0.1, 1.0)
    """Shares of the labels of each class."""
    fusions: tuple[str, ...] = (
        "concat",
        "gated",
        "low_rank_bilinear",
        "transformer",
    )
    """Of the second table."""
    fusion_fraction: float = 0.02
    """Share of the labels in the second table."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds over which mean and deviation are taken."""
    noise: float = 120.0
    """Deviation of the noise on the images, in gray levels."""
    speaker: str | None = None
    """Speaker of the test part; None: drawn from all."""
    pretrain_epochs: int = 20
    """Without labels, where there are any such epochs."""
    config: Config = Config(
        epochs=8,
        batch_size=64,
        image_side=28,
        sound_rate=4000,
        filters=(8, 16),
        refiner_targets="raw",
        refiner_loss="contrastive",
    )
    """Settings of every row but for the method, the share and the seed."""
    tables: tuple[Literal["methods", "fusions", "robustness"], ...] = (
        "methods",
        "fusions",
        "robustness",
    )
    """Which tables are made."""
    name: str = "few_labels"
    """Of the files under benchmarks/results."""


def main(comparison: Comparison) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_pairs(Path(folder), comparison)
        bench = Bench(Path(folder), comparison)
        for table in comparison.tables:
            getattr(bench, table)()


class Bench:
    """The tables of a comparison, on pairs in a folder."""

    def __init__(self, folder: Path, comparison: Comparison) -> None:
        self.folder = folder
        self.of = comparison
        self.source = sources.find(self.config({}, 0))
        self.models: dict[tuple, keras.Model] = {}
        # A pre-training is the same for all that follows it.
        self.pretrained = functools.cache(self._pretrained)

    def methods(self) -> None:
        """Methods by shares of labels, and how many neighbors agree."""
        rows, neighbors = [], []
        for name, (pretrain, changes) in METHODS.items():
            cells, same = [], []
            for share in self.of.fractions:
                found = self.over_seeds(
                    pretrain, changes | {"labelled_fraction": share}
                )
                print(name, share, found, flush=True)
                cells.append(percent([score for score, _ in found]))
                same.append(percent([share for _, share in found]))
            rows.append([name, *cells])
            neighbors.append([f"neighbors: {name}", *same])
        shares = [f"{100 * share:g} %" for share in self.of.fractions]
        self.write(
            "",
            "Few labels",
            "Below: of the ten nearest fused vectors of the test part, how "
            "many have the same class.",
            ["method", *shares],
            [*rows, *neighbors],
        )

    def fusions(self) -> None:
        """Fusions without refiner, with it, and pre-trained too."""
        rows = []
        share = {"labelled_fraction": self.of.fusion_fraction}
        ways = [(name, METHODS[name]) for name in OF_FUSIONS]
        for fusion in self.of.fusions:
            cells = []
            for name, (pretrain, changes) in ways:
                changes = changes | share | {"fusion": fusion}
                found = self.over_seeds(pretrain, changes)
                print(fusion, name, found, flush=True)
                cells.append(percent([score for score, _ in found]))
            rows.append([fusion, *cells])
        self.write(
            "_fusions",
            "Fusions with few labels",
            f"{100 * self.of.fusion_fraction:g} % of the labels.",
            ["fusion", *(name for name, _ in ways)],
            rows,
        )

    def robustness(self) -> None:
        """Each modality missing, with and without modality dropout."""
        rows = []
        for rate in (0.0, 0.2, 0.5):
            changes = {"modality_dropout": rate}
            found = []
            for seed in self.of.seeds:
                model, config, test = self.trained(False, changes, seed)
                found.append(measure(model, test, config))
            whole = [scores["accuracy"] for scores in found]
            cells = [percent(whole)]
            for name in found[0]["without"]:
                left = [scores["without"][name]["accuracy"] for scores in found]
                lost = [w - x for w, x in zip(whole, left, strict=True)]
                cells += [percent(left), percent(lost)]
            print(rate, cells, flush=True)
            rows.append([f"{rate:g}", *cells])
        names = [
            title
            for name in found[0]["without"]
            for title in (f"without {name}", "lost")
        ]
        self.write(
            "_robustness",
            "A modality missing at test time",
            "All labels.",
            ["modality dropout", "all modalities", *names],
            rows,
        )

    def write(
        self,
        suffix: str,
        title: str,
        about: str,
        columns: list[str],
        rows: list[list[str]],
    ) -> None:
        of = self.of
        note = (
            "Spoken and written digits in pairs; noise of deviation "
            f"{of.noise:g} on the images; test part: {TEST} pairs, speakers: "
            f"{of.speaker or 'of all'}; {of.config.epochs} epochs, before them "
            f"{of.pretrain_epochs} without labels where there is pre-training; "
            f"seeds {', '.join(map(str, of.seeds))}. Test accuracy in per "
            "cent, mean and deviation over seeds of weights, order and labels."
        )
        command = "Command: `python -m benchmarks.few_labels`."
        write_table(
            of.name + suffix,
            title,
            [f"{note} {about}", "", command],
            columns,
            rows,
        )

    def over_seeds(
        self, pretrain: bool, changes: dict
    ) -> list[tuple[float, float]]:
        """Accuracy and share of neighbors of the same class, by seed."""
        found = []
        for seed in self.of.seeds:
            model, _, test = self.trained(pretrain, changes, seed)
            fused, labels = graphs.fused_vectors(model, test)
            kernel, bias = model.get_layer("label").get_weights()
            right = np.argmax(fused @ kernel + bias, axis=1) == labels
            found.append((np.mean(right), graphs.homophily(fused, labels)))
        return found

    def trained(
        self, pretrain: bool, changes: dict, seed: int
    ) -> tuple[keras.Model, Config, tf.data.Dataset]:
        """A model after its last epoch, and the test part."""
        config = self.config(changes, seed)
        model = self.model(config, pretrain)
        if pretrain:
            model.set_weights(self.pretrained(seed, config.fusion))
        data = self.data(config)
        fit(model, data.train(), config.epochs, phases.callbacks(config))
        return model, data.config, data.split("test")[1]

    def data(self, config: Config) -> Data:
        """The same rows for all, read once."""
        found = self.source
        source = found._replace(
            config=dataclasses.replace(
                config,
                **{name: getattr(found.config, name) for name in DECIDED},
            )
        )
        return data_of(source)

    def model(self, config: Config, pretrain: bool) -> keras.Model:
        """With the first weights of the seed; compiled once for all seeds."""
        refined = self.of.config.refiner_weight if pretrain else None
        config = self.data(config).config
        # The refiner of the pre-training stays in the model, idle.
        whole = dataclasses.replace(
            config, refiner_weight=refined or config.refiner_weight
        )
        keras.utils.set_random_seed(config.seed)
        fresh = build_model(whole)
        if pretrain and not config.refined:
            fresh.get_layer("refiner").loss_weights = 0.0
        key = (
            config.fusion,
            config.similarity_weight,
            config.refiner_weight,
            pretrain,
        )
        model = self.models.setdefault(key, fresh)
        model.set_weights(fresh.get_weights())
        for variable in model.optimizer.variables:
            variable.assign(keras.ops.zeros_like(variable))
        return model

    def config(self, changes: dict, seed: int) -> Config:
        return dataclasses.replace(
            self.of.config,
            data_dir=str(self.folder),
            held_out=0.0,
            seed=seed,
            **changes,
        )

    def _pretrained(self, seed: int, fusion: str) -> list[np.ndarray]:
        """Weights after the epochs without labels."""
        epochs = self.of.pretrain_epochs
        changes = {
            "fusion": fusion,
            "epochs": epochs + 1,
            "pretrain_epochs": epochs,
        }
        config = self.config(changes, seed)
        model = self.model(config, False)
        batches = self.data(config).train()
        fit(model, batches, epochs, phases.callbacks(config))
        return model.get_weights()


def write_pairs(folder: Path, comparison: Comparison) -> None:
    """A row a recording, with an image of its class beside it."""
    rng = np.random.default_rng(0)
    images, labels = read_digits(comparison.digits)
    order = rng.permutation(len(labels))
    unused = collections.defaultdict(list)
    for index in order:
        unused[int(labels[index])].append(index)
    recordings = sorted(comparison.sounds.glob("*.wav"))
    recordings = [recordings[i] for i in rng.permutation(len(recordings))]
    parts = {"test": [], "train": []}
    for recording in recordings:
        digit, speaker, _ = recording.stem.split("_")
        wanted = comparison.speaker in (None, speaker)
        is_test = wanted and len(parts["test"]) < TEST
        pixels = images[unused[int(digit)].pop()].astype("float32")
        pixels += comparison.noise * rng.normal(size=pixels.shape)
        file = folder / f"{recording.stem}.png"
        Image.fromarray(np.clip(pixels, 0, 255).astype("uint8")).save(file)
        parts["test" if is_test else "train"].append(
            {
                "seen": file.name,
                "heard": str(recording.resolve()),
                "label": digit,
            }
        )
    for name, rows in parts.items():
        with open(folder / f"{name}.csv", "w", newline="") as opened:
            writer = csv.DictWriter(opened, rows[0])
            writer.writeheader()
            writer.writerows(rows)


def read_digits(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, 28, 28) and labels of MNIST's own format."""
    with gzip.open(folder / IMAGES) as file:
        images = np.frombuffer(file.read()[16:], "uint8").reshape(-1, 28, 28)
    with gzip.open(folder / LABELS) as file:
        labels = np.frombuffer(file.read()[8:], "uint8")
    return images, labels


if __name__ == "__main__":
    main(tyro.cli(Comparison, description=__doc__))
