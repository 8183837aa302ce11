"""A folder with data and finished runs of every task, to be attacked."""

import contextlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from applications import cli

# What makes a training of a task small.
SMALL = {
    "semantic_segmentation": (
        *("--epochs", "1", "--batch-size", "2", "--width", "4", "--crop", "32"),
        *("--decoder-width", "4", "--pools", "0", "--data-dir", "frames"),
    ),
    "image_translation": (
        *("--epochs", "1", "--batch-size", "2", "--width", "2", "--depth", "2"),
        *("--judge-width", "2", "--judge-stages", "1", "--side", "16"),
        *("--margin", "2", "--modalities", "depth", "label_edges"),
        *("--data-dir", "frames"),
    ),
    "image_classification": (
        *("--epochs", "1", "--batch-size", "4", "--data-dir", "animals"),
        *("--widths", "4", "4", "4", "--branch-width", "4"),
    ),
    "multimodal_classification": (
        *("--epochs", "1", "--batch-size", "4", "--data-dir", "rows"),
        *("--units", "4", "--filters", "4", "--text-length", "4"),
        *("--image-side", "8"),
    ),
    "multilabel_recognition": (
        *("--epochs", "1", "--batch-size", "4", "--data-dir", "labels"),
        *("--side", "32", "--blocks", "1", "--width", "4", "--units", "4"),
        *("--rank", "4", "--query-units", "4"),
    ),
    "captioning": (
        *("--epochs", "1", "--batch-size", "4", "--data-dir", "captions"),
        *("--image-side", "32", "--image-units", "4", "--units", "4"),
        *("--embedding-size", "4", "--measured", "2", "--length", "6"),
    ),
    "instruction_following": (
        *("--epochs", "1", "--batch-size", "4", "--data-dir", "blocks"),
        *("--image-units", "8", "--text-units", "8", "--joint-units", "8"),
        *("--fusion-units", "4", "--word-units", "4", "--filters", "4", "4"),
    ),
}


def write_frames(root):
    rng = np.random.default_rng(0)
    for split in ("train", "validation"):
        for name in ("rgb", "depth", "label"):
            (root / split / name).mkdir(parents=True)
            for index in range(2):
                shape = (32, 32, 3) if name == "rgb" else (32, 32)
                pixels = rng.integers(0, 2, shape).astype("uint8")
                image = Image.fromarray(pixels)
                image.save(root / split / name / f"{index}.png")


def write_animals(root):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for index in range(10):
            pixels = rng.integers(0, 256, (8, 8)).astype("uint8")
            Image.fromarray(pixels).save(root / name / f"{index}.png")


def write_rows(root):
    root.mkdir()
    lines = ["says,size,label"]
    for index in range(24):
        lines.append(f"word {index} of {index % 7},{index},{index % 2}")
    (root / "train.csv").write_text("\n".join(lines))


def write_labels(root):
    rng = np.random.default_rng(0)
    root.mkdir()
    lines = ["image,labels"]
    for index in range(10):
        pixels = rng.integers(0, 256, (32, 32, 3)).astype("uint8")
        Image.fromarray(pixels).save(root / f"{index}.png")
        lines.append(f"{index}.png,{('cat', 'cat|dog')[index % 2]}")
    (root / "labels.csv").write_text("\n".join(lines))


def write_blocks(root):
    root.mkdir()
    for name, count in (("train", 8), ("dev", 2)):
        episodes = []
        for index in range(count):
            start = [[0.2 * block - 0.4, 0.1, 0.0] for block in range(4)]
            finish = [*start[:3], [0.2, 0.1, 0.2 + 0.01 * index]]
            note = {
                "type": "A0",
                "start": 0,
                "finish": 1,
                "notes": [f"move block {index % 4} up"],
            }
            episodes.append({"states": [start, finish], "notes": [note]})
        (root / f"{name}.json").write_text(json.dumps(episodes))


def write_captions(root):
    (root / "images").mkdir(parents=True)
    lines = ["image,caption"]
    for index in range(12):
        pixels = np.full((8, 8, 3), 20 * index, "uint8")
        Image.fromarray(pixels).save(root / "images" / f"{index}.png")
        lines.append(f"{index}.png,a gray of {index % 3}")
    (root / "captions.txt").write_text("\n".join(lines))


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    write_frames(home / "frames")
    write_animals(home / "animals")
    write_rows(home / "rows")
    write_labels(home / "labels")
    write_blocks(home / "blocks")
    write_captions(home / "captions")
    (home / "empty").mkdir()
    (home / "a_file").write_text("a file\n")
    with contextlib.chdir(home):
        for task, flags in SMALL.items():
            assert cli.main([task, "train", *flags]) == 0
    return home


def tree(folder):
    """Every file and folder below, with content and time of change."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else None,
        )
        for path in folder.rglob("*")
    }


@pytest.fixture
def refuse(home, monkeypatch):
    """Runs a wrong command and returns the one line that refuses it."""
    monkeypatch.chdir(home)

    def refuse(*arguments, main=cli.main):
        before = tree(home)
        errors = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()):
            with contextlib.redirect_stderr(errors):
                status = main([str(x) for x in arguments])
        said = errors.getvalue()
        assert status != 0, arguments
        assert said.startswith("error: ") and said.count("\n") == 1, said
        assert "not foreseen" not in said, said
        assert len(said) < 1000
        after = tree(home)
        names = sorted(set(before) | set(after))
        changed = [n for n in names if before.get(n) != after.get(n)]
        assert not changed, f"{arguments} changed {changed}"
        return said

    return refuse
