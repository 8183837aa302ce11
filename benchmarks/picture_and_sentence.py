"""Whether a picture helps to tell if a sentence is true of it (NLVR).

    python -m benchmarks.picture_and_sentence --data NLVR

The folder holds `hidden` and `test` as they are published. Every row learns
from `hidden` and is measured on `test`, on which nothing was chosen; the
settings were chosen on a tenth of `hidden`.
"""

import csv
import dataclasses
import json
import tempfile
from pathlib import Path

import keras
import tyro

from applications.multimodal_classification import Config
from applications.multimodal_classification import build_model
from applications.multimodal_classification import load_data
from applications.multimodal_classification import measure
from applications.multimodal_classification import phases
from benchmarks.fitting import fit
from benchmarks.tables import percent
from benchmarks.tables import write_table

BOTH = {"images": ("picture",), "texts": ("sentence",)}
# Rows of the table: changes of the config.
ROWS = {
    "sentence alone": {"texts": ("sentence",)},
    "sentence alone, words in their order": {
        "texts": ("sentence",),
        "text_encoder": "convolution",
    },
    "picture alone": {"images": ("picture",)},
    "concat": BOTH,
    "concat, no refiner": BOTH | {"refiner_weight": (0.0,)},
    "concat, pre-trained 10 epochs": BOTH
    | {"pretrain_epochs": 10, "epochs": 20},
    "concat, words in their order": BOTH | {"text_encoder": "convolution"},
    "concat, two convolutions of pictures": BOTH | {"filters": (16, 32)},
    "gated": BOTH | {"fusion": "gated"},
    "low_rank_bilinear": BOTH | {"fusion": "low_rank_bilinear"},
    "factorized_bilinear": BOTH | {"fusion": "factorized_bilinear"},
    "transformer": BOTH | {"fusion": "transformer"},
    "late": BOTH | {"fusion": "late"},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Compares sentence, picture, and ways to fuse them."""

    data: Path
    """Folder of NLVR, with hidden/ and test/."""
    rows: tuple[str, ...] = tuple(ROWS)
    """Rows of the table."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds over which mean and deviation are taken."""
    split: str = "test"
    """test, or validation: a tenth of hidden, to choose settings by."""
    config: Config = Config(
        epochs=10,
        image_side=64,
        filters=(16, 32, 64, 64),
        text_encoder="bag",
        units=32,
        dropout=0.5,
        weight_decay=0.01,
    )
    """Settings of every row."""


def main(comparison: Comparison) -> None:
    table, sentence = [], None
    with tempfile.TemporaryDirectory() as folder:
        for name, split in (("train", "hidden"), ("test", "test")):
            write_rows(comparison.data / split, split, Path(folder), name)
        for name in comparison.rows:
            found = [
                scores(Path(folder), ROWS[name], seed, comparison)
                for seed in comparison.seeds
            ]
            accuracy = [score["accuracy"] for score in found]
            sentence = sentence or accuracy
            gain = [a - b for a, b in zip(accuracy, sentence, strict=True)]
            auc = percent([score["roc_auc"] for score in found])
            table.append([name, percent(accuracy), percent(gain), auc])
            print(table[-1], flush=True)
    majority = 100 * found[0]["majority"]
    table.append(["most frequent label", f"{majority:.1f}", "", "50.0"])
    note = (
        "NLVR, 985 rows of its hidden part to learn from, accuracy and "
        f"ROC-AUC on {comparison.split}, in per cent: mean and deviation over "
        f"seeds {', '.join(map(str, comparison.seeds))}. The gain is over the "
        "first row, seed by seed."
    )
    write_table(
        "picture_and_sentence",
        "Is the sentence true of the picture?",
        [note, "", "Command: `python -m benchmarks.picture_and_sentence`."],
        ["input", "accuracy", "gain", "ROC-AUC"],
        table,
    )


def write_rows(source: Path, split: str, folder: Path, name: str) -> None:
    """A CSV file with picture, sentence and label of each row."""
    pictures = {path.name: path for path in source.rglob("*.png")}
    rows = []
    for line in (source / f"{split}.json").read_text().splitlines():
        entry = json.loads(line)
        picture = pictures[f"{split}-{entry['identifier']}-0.png"]
        rows.append(
            {
                "picture": str(picture.resolve()),
                "sentence": entry["sentence"],
                "label": entry["label"],
            }
        )
    with open(folder / f"{name}.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def scores(
    folder: Path, changes: dict, seed: int, comparison: Comparison
) -> dict:
    """Of a model after its last epoch."""
    held_out = 0.1 if comparison.split == "validation" else 0.0
    config = dataclasses.replace(
        comparison.config,
        data_dir=str(folder),
        label="label",
        held_out=held_out,
        seed=seed,
        **changes,
    )
    keras.utils.set_random_seed(seed)
    data = load_data(config)
    model = build_model(data.config)
    fit(model, data.train(), config.epochs, phases.callbacks(data.config))
    _, dataset = data.split(comparison.split)
    return measure(model, dataset, data.config)


if __name__ == "__main__":
    main(tyro.cli(Comparison, description=__doc__))
