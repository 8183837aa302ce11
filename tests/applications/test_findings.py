import numpy as np
import pytest
from PIL import Image

from applications import cli
from applications.findings import Findings
from applications.findings import describe
from applications.inputs.image import in_words

SMALL = (
    *("semantic_segmentation", "train", "--epochs", "1", "--batch-size", "2"),
    *("--width", "4", "--decoder-width", "4", "--crop", "32", "--pools", "0"),
    *("--modalities", "rgb", "--fusion", "none"),
)


def lines(found, sizes=None, notes=()):
    sizes = sizes or {name: None for name in found}
    return describe("photos", sizes, found, notes).splitlines()


def test_every_split_is_said_with_its_size_and_what_is_in_it():
    found = {"train": Findings(30, {"rgb": "4 x 6"}, {"cat": 20, "dog": 10})}
    assert lines(found, {"train": 30, "test": 1200}, ["left out: x"]) == [
        "data: photos",
        "  train: 30 examples",
        "    rgb: 4 x 6",
        "    classes: cat 20, dog 10",
        "  test: 1,200 examples, not used here",
        "  left out: x",
    ]


def test_pixels_are_shares_and_what_was_not_looked_at_is_said():
    found = Findings(900, {}, {"a": 3, "b": 1}, pixels=True, looked_at=500)
    assert lines({"validation": found})[1:] == [
        "  validation: 900 examples, of which 500 were looked at",
        "    pixels: a 75.00 %, b 25.00 %",
    ]


def test_many_classes_are_cut_short():
    found = Findings(25, {}, {f"c{number}": 1 for number in range(25)})
    assert lines({"test": found})[-1].endswith("c19 1, and 5 more")


def test_what_looks_like_a_mistake_is_a_warning():
    found = Findings(2, {}, {"wall": 8, "door": 0}, pixels=True)
    missing, one = lines({"train": found})[-2:]
    assert missing == "warning: nothing to train on of: door"
    assert "holds one class, wall; 255 is ignored, so masks of 0 and" in one
    # What is measured need not hold every class.
    assert not any("warning" in x for x in lines({"test": found}))


def test_a_part_without_a_class_is_an_error_that_names_it():
    found = Findings(2, {}, {"wall": 0, "door": 0}, pixels=True)
    with pytest.raises(ValueError, match="no pixel of the validation part"):
        lines({"validation": found})


def test_images_in_words():
    gray = np.array([[[3], [250]]], "uint8")
    assert in_words([gray]) == "1 x 2 pixels, 1 channels, uint8 from 3 to 250"
    depth = np.full((5, 4, 3), 1.5, "float32")
    assert in_words([gray, depth]) == (
        "1 x 2 to 5 x 4 pixels, 1 or 3 channels, float32 or uint8 from 1.5 to "
        "250"
    )


def masks(root, values):
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("rgb", "label"):
            (root / split / name).mkdir(parents=True)
        for index in range(2):
            color = rng.integers(0, 256, (32, 32, 3)).astype("uint8")
            mask = rng.choice(values, (32, 32)).astype("uint8")
            for name, pixels in (("rgb", color), ("label", mask)):
                image = Image.fromarray(pixels)
                image.save(root / split / name / f"{index}.png")
    return ("--data-dir", str(root), "--runs-dir", str(root / "runs"))


def test_masks_of_0_and_255_are_a_warning_before_training(tmp_path, capsys):
    assert cli.main([*SMALL, *masks(tmp_path, [0, 255])]) == 0
    output = capsys.readouterr().out
    warning = output.index("warning: the training part holds one class, class")
    assert warning < output.index("parameters")
    run = tmp_path / "runs" / "semantic_segmentation" / "default"
    said = (run / "data.txt").read_text()
    assert said in output
    assert "rgb: 32 x 32 pixels, 3 channels, uint8 from 0 to 255" in said


def test_masks_without_a_pixel_to_learn_are_refused(tmp_path, capsys):
    assert cli.main([*SMALL, *masks(tmp_path, [255])]) == 2
    assert "no pixel of the train part" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_one_unreadable_image_does_not_stop_a_prediction(tmp_path, capsys):
    flags = masks(tmp_path, [0, 1])
    assert cli.main([*SMALL, *flags]) == 0
    for name, content in (("7.png", b"\x89PNG cut"), ("8.png", b"")):
        (tmp_path / "val" / "rgb" / name).write_bytes(content)
    run = str(tmp_path / "runs" / "semantic_segmentation" / "default")
    out = tmp_path / "out"
    capsys.readouterr()
    status = cli.main(
        [
            *("semantic_segmentation", "predict", "--run", run),
            *("--data-dir", str(tmp_path / "val"), "--out", str(out)),
        ]
    )
    said = capsys.readouterr()
    assert status == 1
    assert said.err.startswith("error: 2 of the examples could not be read")
    assert sum(x.startswith("left out: ") for x in said.out.splitlines()) == 2
    assert len(list(out.glob("masks/*.png"))) == 2
