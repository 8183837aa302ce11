import collections

import numpy as np
import pytest
from PIL import Image

from applications import cli
from applications.datasets import caption_folder
from applications.datasets import class_folders
from applications.datasets import paired_folder
from applications.datasets.class_folders import ImageFiles
from applications.inputs import image as images

SPLITS = ("train", "validation", "test")
SEGMENTATION = (
    *("semantic_segmentation", "--epochs", "1", "--batch-size", "2"),
    *("--width", "4", "--decoder-width", "4", "--crop", "32", "--pools", "0"),
)


def split_of(files, index):
    return files.files[int(index)].parts[-3]


@pytest.fixture
def counts(monkeypatch):
    """How often folders are scanned, and files of each split decoded."""
    seen = collections.Counter()

    def counted(module, name, key):
        function = getattr(module, name)

        def call(*arguments, **options):
            seen[key(*arguments)] += 1
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, call)

    counted(paired_folder, "scan", lambda *_: "scan")
    counted(class_folders, "scan", lambda *_: "scan")
    counted(caption_folder, "scan", lambda *_: "scan")
    counted(images, "read", lambda path: path.parts[-3])
    counted(ImageFiles, "_read", lambda files, index: split_of(files, index))
    return seen


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    root = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(0)
    for split in SPLITS:
        for name in ("rgb", "depth", "label"):
            (root / split / name).mkdir(parents=True)
            for index in range(4):
                shape = (32, 32, 3) if name == "rgb" else (32, 32)
                pixels = rng.integers(0, 2, shape).astype("uint8")
                image = Image.fromarray(pixels)
                image.save(root / split / name / f"{index}.png")
    return root


def test_a_training_scans_once_and_decodes_what_it_uses(
    frames, counts, tmp_path
):
    task, *flags = SEGMENTATION
    places = ("--data-dir", str(frames), "--runs-dir", str(tmp_path))
    assert cli.main([task, "train", *flags, *places]) == 0
    assert counts.pop("scan") == 1
    # Two modalities of four examples, each decoded once but for the first,
    # which tells how much memory a split takes.
    assert counts == {"train": 2 * 5, "validation": 2 * 5}
    counts.clear()
    run = str(tmp_path / task / "default")
    assert cli.main([task, "evaluate", "--run", run, "--split", "test"]) == 0
    assert counts.pop("scan") == 1
    assert counts == {"test": 2 * 5}


def test_classes_are_scanned_and_decoded_once_too(counts, tmp_path):
    rng = np.random.default_rng(0)
    for split in SPLITS:
        for name in ("dark", "light"):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for index in range(3):
                pixels = rng.integers(0, 255, (8, 8)).astype("uint8")
                file = tmp_path / "data" / split / name / f"{index}.png"
                Image.fromarray(pixels).save(file)
    task = "image_classification"
    places = ("--data-dir", str(tmp_path / "data"))
    flags = ("--batch-size", "4", "--epochs", "1", "--runs-dir", str(tmp_path))
    assert cli.main([task, "train", *places, *flags]) == 0
    assert counts == {"scan": 1, "train": 6, "validation": 6}
    counts.clear()
    run = str(tmp_path / task / "default")
    assert cli.main([task, "evaluate", "--run", run, "--split", "test"]) == 0
    assert counts == {"scan": 1, "test": 6}


def test_captions_are_scanned_once_and_images_decoded_where_sought(
    counts, tmp_path
):
    rng = np.random.default_rng(0)
    for split in SPLITS:
        folder = tmp_path / "data" / split / "images"
        folder.mkdir(parents=True)
        for index in range(3):
            pixels = rng.integers(0, 255, (32, 32, 3)).astype("uint8")
            Image.fromarray(pixels).save(folder / f"{index}.png")
        rows = [f"{index}.png,number {index}" for index in range(3)]
        text = "\n".join(["image,caption", *rows])
        (folder.parent / "captions.txt").write_text(text)
    task = "captioning"
    places = ("--data-dir", str(tmp_path / "data"))
    flags = ("--batch-size", "3", "--epochs", "1", "--image-side", "32")
    runs = ("--runs-dir", str(tmp_path), "--measured", "0")
    assert cli.main([task, "train", *places, *flags, *runs]) == 0
    assert counts == {"scan": 1, "train": 3, "validation": 3}
    counts.clear()
    run = ("--run", str(tmp_path / task / "default"))
    assert cli.main([task, "retrieve", *run, "--text", "number 1"]) == 0
    assert counts == {"scan": 1, "test": 3}
