"""The set of docs/tasks.md with its mistakes, and what a run says of it."""

import numpy as np
from PIL import Image

from applications.semantic_segmentation import Config
from applications.semantic_segmentation import load_data
from tests import pages


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_photos(root):
    rng = np.random.default_rng(0)
    for split, count in (("Train", 10), ("Val", 4), ("test", 3)):
        for index in range(count):
            color = rng.integers(0, 256, (48, 64, 3)).astype("uint8")
            depth = rng.integers(500, 9000, (48, 64)).astype("uint16")
            color[0, 0], color[0, 1] = 0, 255
            depth[0, 0], depth[0, 1] = 500, 8999
            write(root / split / "rgb" / f"{index}.jpg", color)
            write(root / split / "depth" / f"{index}.png", depth)
            mask = np.full((48, 64), 255, "uint8")
            mask[:16] = 0
            if split != "test":
                write(root / split / "label" / f"{index}.png", mask)
    (root / "Train" / "rgb" / "._3.jpg").write_bytes(b"Mac OS X")
    (root / "Train" / "rgb" / "notes.txt").write_text("camera of May")
    (root / "Train" / "thermal").mkdir()
    (root / "classes.txt").write_text("floor\ncrack\n")


def test_what_is_said_is_what_is_documented(tmp_path, monkeypatch):
    write_photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    data = load_data(Config(data_dir="photos"))
    said = data.describe("train", data.first("validation"))
    page = (pages.ROOT / "docs" / "tasks.md").read_text()
    assert f"```\n{said}\n```" in page, said
