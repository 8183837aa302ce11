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

import keras
import numpy as np
import tyro
from PIL import Image

from applications.multimodal_classification import Config
from applications.multimodal_classification import build_model
from applications.multimodal_classification import graphs
from applications.multimodal_classification import load_data
from applications.multimodal_classification import measure
from applications.multimodal_classification.model import learning_rate
from applications.task import Data
from benchmarks.tables import percent
from benchmarks.tables import write_table

IMAGES, LABELS = "images-idx3-ubyte.gz", "labels-idx1-ubyte.gz"
TEST = 300
WITHOUT = {"refiner_weight": (0.0,)}
# Whether the first epochs are without labels, and changes of the config.
METHODS = {
    "cross-entropy": (False, WITHOUT),
    "+ refiner": (False, {}),
    "pre-training, then cross-entropy": (True, WITHOUT),
    "pre-training, then both": (True, {}),
    "+ multi-similarity": (True, {"similarity_weight": 0.1}),
}


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
    pretrain_epochs: int = 40
    """Without labels, where there are any such epochs."""
    config: Config = Config(epochs=20, batch_size=64, image_side=28)
    """Settings of every row but for the method, the share and the seed."""
    name: str = "few_labels"
    """Of the files under benchmarks/results."""


def main(comparison: Comparison) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_pairs(Path(folder), comparison)
        bench = Bench(Path(folder), comparison)
        bench.methods()
        bench.fusions()
        bench.robustness()


class Bench:
    """The tables of a comparison, on pairs in a folder."""

    def __init__(self, folder: Path, comparison: Comparison) -> None:
        self.folder = folder
        self.of = comparison
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
        ways = list(METHODS.items())[:4]
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
            found = [
                self.scores(False, {"modality_dropout": rate}, seed)
                for seed in self.of.seeds
            ]
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
        found = [self.scores(pretrain, changes, s) for s in self.of.seeds]
        return [(x["accuracy"], x["homophily"]) for x in found]

    def scores(self, pretrain: bool, changes: dict, seed: int) -> dict:
        """Of a model on the test part, after its last epoch."""
        config = self.config(changes, seed)
        data = load_data(config)
        if pretrain:
            # The refiner of the pre-training stays in the model, idle.
            refined = dataclasses.replace(
                data.config, refiner_weight=self.of.config.refiner_weight
            )
            model = build_model(refined)
            model.set_weights(self.pretrained(seed, config.fusion))
            if not any(config.refiner_weight):
                model.get_layer("refiner").loss_weights = 0.0
        else:
            model = build_model(data.config)
        fit(model, data, config.epochs)
        _, test = data.split("test")
        fused, labels = graphs.fused_vectors(model, test)
        return measure(model, test, data.config) | {
            "homophily": graphs.homophily(fused, labels)
        }

    def config(self, changes: dict, seed: int) -> Config:
        keras.utils.set_random_seed(seed)
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
        config = self.config(
            {
                "fusion": fusion,
                "epochs": epochs + 1,
                "pretrain_epochs": epochs,
            },
            seed,
        )
        data = load_data(config)
        model = build_model(data.config)
        fit(model, data, epochs)
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


def fit(model: keras.Model, data: Data, epochs: int) -> None:
    train, steps = data.train()
    model.fit(
        train,
        steps_per_epoch=steps,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[
            keras.callbacks.LearningRateScheduler(
                lambda epoch: learning_rate(epoch, data.config)
            )
        ],
    )


if __name__ == "__main__":
    main(tyro.cli(Comparison, description=__doc__))
