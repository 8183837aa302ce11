"""Forms of data that people have: memes, films, and what lacks everything."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from applications import cli
from applications.multimodal_classification import Config
from applications.multimodal_classification import load_data
from applications.multimodal_classification import sources
from applications.multimodal_classification.sources import UNLABELLED

TASK = "multimodal_classification"
TINY = ("--epochs", "1", "--units", "4", "--filters", "4", "--image-side", "8")


def write_lines(path, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")


def write_pictures(folder, names, rng):
    folder.mkdir()
    for name in names:
        pixels = rng.integers(0, 255, (20, 30, 3)).astype("uint8")
        Image.fromarray(pixels).save(folder / name)


def train(root, runs_dir, *flags):
    places = ("--data-dir", str(root), "--runs-dir", str(runs_dir))
    assert cli.main([TASK, "train", *TINY, *places, *flags]) == 0
    return json.loads((runs_dir / TASK / "default/metrics.json").read_text())


def test_the_form_of_hateful_memes(tmp_path, rng):
    """JSON lines of id, img, text and label; test rows have no label."""
    root = tmp_path / "memes"
    root.mkdir()
    names = [f"{number:05d}.png" for number in range(60)]
    write_pictures(root / "img", names, rng)
    rows = [
        {
            "id": 42953 + place,
            "img": f"img/{name}",
            "label": place % 2,
            "text": f"its their character not their color number {place}",
        }
        for place, name in enumerate(names)
    ]
    write_lines(root / "train.jsonl", rows[:40])
    # The set calls it so.
    write_lines(root / "dev.jsonl", rows[40:50])
    write_lines(
        root / "test.jsonl",
        [{k: v for k, v in row.items() if k != "label"} for row in rows[50:]],
    )
    data = load_data(Config(data_dir=str(root)))
    assert data.config.images == ("img",)
    assert data.config.texts == ("text",)
    assert data.config.classes == ("0", "1")
    assert data.sizes == {"train": 40, "validation": 10, "test": 10}
    flags = ("--images", "img", "--texts", "text", "--label", "label")
    metrics = train(root, tmp_path / "runs", *flags)
    assert metrics["split"] == "validation"
    assert set(metrics["alone"]) == {"img", "text"}


def test_the_form_of_mm_imdb(tmp_path, rng):
    """A poster, a plot and a list of genres for each film."""
    root = tmp_path / "films"
    root.mkdir()
    names = [f"{number:07d}.jpeg" for number in range(80)]
    write_pictures(root / "dataset", names, rng)
    genres = [["Drama"], ["Comedy", "Drama"], ["Sci-Fi"], ["Film-Noir"]]
    rows = [
        {
            "image": f"dataset/{name}",
            "plot": 'A man, a plan;\na "canal". ' * 20,
            "genres": genres[place % 4],
            "year": 1930 + place,
        }
        for place, name in enumerate(names)
    ]
    write_lines(root / "train.jsonl", rows)
    data = load_data(Config(data_dir=str(root)))
    assert data.config.labels == "genres"
    assert data.config.classes == ("Comedy", "Drama", "Film-Noir", "Sci-Fi")
    flags = (
        *("--images", "image", "--texts", "plot", "--labels", "genres"),
        *("--similarity-weight", "0.1"),
    )
    metrics = train(root, tmp_path / "runs", *flags)
    assert set(metrics["alone"]) == {"image", "plot"}
    assert 0 <= metrics["micro_f1"] <= 1 and 0 <= metrics["macro_f1"] <= 1
    assert "confusion" not in metrics


def test_every_field_that_can_be_empty_is(tmp_path):
    """Case 2 of the task: nothing is left out, and nothing is invented."""
    root = tmp_path / "rows"
    root.mkdir()
    fields = ("says", "weight", "city", "label")
    rows = [
        ("", "", "", "yes"),
        ('a "b",\nc ü', "1e3", "Köln", "no"),
        ("d", "nan", " ", ""),
        (" ", "-2.5", "Ulm", "yes"),
        ("e", "7", "Ulm", "no"),
    ] * 6
    with open(root / "train.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(fields)
        writer.writerows(rows)
    kinds = {"texts": ("says",), "table": ("weight", "city"), "held_out": 0.0}
    config = load_data(
        Config(data_dir=str(root), label="label", **kinds)
    ).config
    train_rows = sources.find(config).read("train")
    says, table = train_rows.presence.T
    np.testing.assert_array_equal(says[:5], [False, True, True, False, True])
    np.testing.assert_array_equal(table[:5], [False, True, False, True, True])
    assert (train_rows.labels == UNLABELLED).sum() == 6
    assert np.isfinite(train_rows.inputs["table"]).all()


@pytest.mark.parametrize("fraction", ["0.1", "1"])
def test_two_runs_of_a_seed_are_equal(tmp_path, rng, fraction):
    root = tmp_path / "rows"
    root.mkdir()
    rows = [
        {"a": float(x), "b": str(rng.choice(["u", "v"])), "y": int(x > 0)}
        for x in rng.normal(size=120)
    ]
    write_lines(root / "train.jsonl", rows)
    flags = ("--labelled-fraction", fraction, "--pretrain-epochs", "0")
    losses = [train(root, tmp_path / name, *flags)["log_loss"] for name in "ab"]
    assert losses[0] == losses[1]
