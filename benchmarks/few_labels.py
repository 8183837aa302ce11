"""What pre-training without labels and the refiner are worth with few labels.

    python -m benchmarks.few_labels --sounds SPOKEN_DIGITS/recordings \\
        --digits WRITTEN_DIGITS

Spoken digits are paired with written ones of the same class, from the seed;
no recording and no image is in two parts. Noise is added to the images, so
that neither modality is enough. Every row is trained on the same rows with the
same labels, and measured on the test part, on which nothing was chosen.
"""

import collections
import csv
import dataclasses
import gzip
import tempfile
from pathlib import Path

import keras
import numpy as np
import tyro
from PIL import Image

from applications.multimodal_classification import Config
from applications.multimodal_classification import build_model
from applications.multimodal_classification import callbacks
from applications.multimodal_classification import load_data
from applications.multimodal_classification import measure
from applications.multimodal_classification.model import compile_model
from applications.task import Data
from benchmarks.tables import percent
from benchmarks.tables import write_table

IMAGES, LABELS = "images-idx3-ubyte.gz", "labels-idx1-ubyte.gz"
TEST = 300
# Changes of the config that make a row.
METHODS = {
    "cross-entropy": {"refiner_weight": 0.0},
    "+ refiner": {},
    "pre-training, then cross-entropy": {"pretrain": True, "alone": True},
    "pre-training, then both": {"pretrain": True},
    "+ multi-similarity": {"pretrain": True, "similarity_weight": 0.1},
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
    methods: tuple[str, ...] = tuple(METHODS)
    """Rows of the table."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds over which mean and deviation are taken."""
    noise: float = 120.0
    """Deviation of the noise on the images, in gray levels."""
    speaker: str | None = None
    """Speaker of the test part; None: drawn from all."""
    pretrain_epochs: int = 20
    """Without labels, where there are any such epochs."""
    config: Config = Config(epochs=20, batch_size=64, modality_dropout=0.2)
    """Settings of every row but for the method, the share and the seed."""
    name: str = "few_labels"
    """Of the file under benchmarks/results."""


def main(comparison: Comparison) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_pairs(Path(folder), comparison)
        for method in comparison.methods:
            cells = []
            for fraction in comparison.fractions:
                values = [
                    accuracy(Path(folder), method, fraction, seed, comparison)
                    for seed in comparison.seeds
                ]
                cells.append(percent(values))
                print(method, fraction, *values, flush=True)
            rows.append([method, *cells])
    write_table(
        comparison.name,
        "Few labels",
        [note(comparison)],
        ["method", *(f"{100 * share:g} %" for share in comparison.fractions)],
        rows,
    )


def note(comparison: Comparison) -> str:
    speakers = comparison.speaker or "speakers of all"
    return (
        "Spoken and written digits in pairs; noise of deviation "
        f"{comparison.noise:g} on the images; test part: {TEST} pairs, "
        f"{speakers}; seeds {', '.join(map(str, comparison.seeds))}. Test "
        "accuracy in per cent, mean and deviation over seeds of weights, order "
        "and labels."
    )


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


def accuracy(
    folder: Path,
    method: str,
    fraction: float,
    seed: int,
    comparison: Comparison,
) -> float:
    """Of a model on the test part, after its last epoch."""
    changes = dict(METHODS[method])
    pretrain = comparison.pretrain_epochs * changes.pop("pretrain", False)
    alone = changes.pop("alone", False)
    config = dataclasses.replace(
        comparison.config,
        data_dir=str(folder),
        held_out=0.0,
        labelled_fraction=fraction,
        seed=seed,
        pretrain_epochs=pretrain,
        epochs=comparison.config.epochs + pretrain,
        image_side=28,
        **changes,
    )
    keras.utils.set_random_seed(seed)
    data = load_data(config)
    model = build_model(data.config)
    if alone:
        fit(model, data, 0, pretrain)
        model.get_layer("refiner").loss_weights = 0.0
        compile_model(model, data.config)
    fit(model, data, pretrain if alone else 0, config.epochs)
    return measure(model, data.split("test")[1], data.config)["accuracy"]


def fit(model: keras.Model, data: Data, first: int, last: int) -> None:
    train, steps = data.train(first)
    model.fit(
        train,
        steps_per_epoch=steps,
        initial_epoch=first,
        epochs=last,
        shuffle=False,
        verbose=0,
        callbacks=callbacks(data.config, None, Path()),
    )


if __name__ == "__main__":
    main(tyro.cli(Comparison, description=__doc__))
