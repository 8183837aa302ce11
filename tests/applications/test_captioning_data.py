"""Folders of images and captions, with what is wrong in them."""

import csv
import itertools
import json

import numpy as np
import pytest
from PIL import Image

from applications.captioning import Config
from applications.captioning import load_data
from applications.captioning import patches
from applications.captioning import sources
from applications.datasets import caption_folder
from applications.inputs import caption as captions


def write(root, rows, images=("a.png", "b.png"), newline="\n", inner="images"):
    """Images of another gray each, and a file of captions."""
    folder = root / inner
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(images):
        pixels = np.full((40, 32, 3), 20 * (number % 12) + 10, "uint8")
        Image.fromarray(pixels).save(folder / name)
    with open(root / "captions.txt", "w", newline="") as file:
        writer = csv.writer(file, lineterminator=newline)
        writer.writerows([("image", "caption"), *rows])
    return root


def load(root, **changes):
    settings = {"held_out": 0.0, "image_side": 32, "measured": 0} | changes
    return load_data(Config(data_dir=str(root), **settings))


def texts(root, **changes):
    part = sources.find(
        Config(data_dir=str(root), held_out=0.0, image_side=32, **changes)
    ).parts["train"]
    return [
        (part.names[image], captions.join(words))
        for image, words in zip(part.image_of, part.captions, strict=True)
    ]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("inner", ["images", "Images", "."])
def test_rows_are_read_whatever_ends_them(tmp_path, newline, inner):
    rows = [("b.png", 'A "red" dog, it runs'), ("a.png", "Two\nlines , too .")]
    write(tmp_path, rows, newline=newline, inner=inner)
    assert texts(tmp_path) == [
        ("b.png", 'a " red ", dog, it runs'.replace('",', '"')),
        ("a.png", "two lines, too."),
    ]


def test_images_have_as_many_captions_as_there_are(tmp_path):
    rows = [("a.png", "one")]
    rows += [("b.png", f"number {n}") for n in range(9)]
    # In between, as rows need not be in order.
    rows.insert(4, ("c.png", "three"))
    write(tmp_path, rows, ("a.png", "b.png", "c.png"))
    examples = sources.find(
        Config(data_dir=str(tmp_path), held_out=0.0, image_side=32)
    ).read("train")
    np.testing.assert_array_equal(np.bincount(examples.image_of), [1, 9, 1])
    assert examples.images[:, 0, 0, 0].tolist() == [10, 30, 50]
    said = load(tmp_path).describe("train")
    assert "captions: 1 to 9 an image, of 1 to 2 words" in said


def test_a_caption_of_500_words_is_read_or_cut_and_said(tmp_path):
    long = " ".join(f"w{number}" for number in range(500))
    write(tmp_path, [("a.png", long), ("b.png", "short")])
    whole = load(tmp_path, length=500, batch_size=2)
    assert "of 1 to 500 words" in whole.describe("train")
    _, targets = next(iter(whole.train()[0]))
    lengths = (targets["next"].numpy() > 0).sum(axis=1)
    assert sorted(lengths) == [2, 501]
    cut = load(tmp_path, length=20)
    assert "1 cut after 20 words" in cut.describe("train")
    assert len(cut.config.words) == 501


def test_what_is_left_out_is_said_with_its_row(tmp_path):
    rows = [
        ("a.png", "a dog"),
        ("gone.png", "a cat"),
        ("deep/gone.png", "a cat"),
        ("b.png", ""),
        ("b.png", "  "),
        ("", "a bird"),
        ("b.png", "a cow"),
    ]
    write(tmp_path, rows, ("a.png", "b.png", "silent.png"))
    data = load(tmp_path)
    assert data.sizes == {"train": 2}
    notes = "\n".join(data.notes)
    assert (
        "image is not there: captions.txt, row 2 (gone.png), captions.txt, "
        "row 3 (deep/gone.png)"
    ) in notes
    assert "without a caption: captions.txt, row 4, captions.txt, row 5" in (
        notes
    )
    assert "without an image: captions.txt, row 6" in notes
    assert "images without a caption: images/silent.png" in notes


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("image,caption\na.png,one,two\n", "row 1 must have 2 fields"),
        ("image,caption\na.png,fine\na.png\n", "row 2 must have 2 fields"),
        ('image,caption\na.png,"open\n', "row 1: unexpected end of data"),
        ("a.png,a dog\nb.png,a cat\n", "has no column 'caption'"),
        ("image,caption\n", "holds no row"),
        ("", "holds no row"),
        ("image,caption\nx.png,a dog\n", "no caption of an image that is"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(tmp_path, content, said):
    write(tmp_path, [])
    (tmp_path / "captions.txt").write_text(content)
    with pytest.raises(ValueError, match="captions.txt") as error:
        load(tmp_path)
    assert said in str(error.value)


def test_captions_that_are_not_in_utf_8_are_one_line(tmp_path):
    write(tmp_path, [])
    rows = "image,caption\na.png,a caf\xe9\n"
    (tmp_path / "captions.txt").write_text(rows, encoding="latin-1")
    with pytest.raises(ValueError, match="captions.txt is not text in UTF-8"):
        load(tmp_path)


def test_an_unreadable_image_is_one_line_that_names_it(tmp_path):
    write(tmp_path, [("a.png", "a dog"), ("b.png", "a cat")])
    (tmp_path / "images" / "b.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="b.png could not be read"):
        load(tmp_path).describe("train")


def test_a_folder_without_captions_says_what_is_expected(tmp_path):
    (tmp_path / "inner").mkdir()
    for name in ("train", "test"):
        (tmp_path / "inner" / name).mkdir()
        write(tmp_path / "inner" / name, [("a.png", "a dog")])
    with pytest.raises(ValueError, match="no captions.txt; .*give it as --dat"):
        load(tmp_path)


def test_whole_images_are_held_out(tmp_path):
    names = [f"{number}.png" for number in range(20)]
    rows = [(n, f"{n[:-4]} {k}") for n, k in itertools.product(names, "abc")]
    write(tmp_path, rows, names)
    data = load(tmp_path, held_out=0.25)
    assert data.sizes == {"train": 45, "validation": 15}
    assert "validation is 1 in 4 images of train" in data.notes
    source = sources.find(
        Config(data_dir=str(tmp_path), held_out=0.25, image_side=32)
    )
    train, held = (set(source.parts[n].names) for n in source.parts)
    assert len(train) == 15 and not train & held


def test_splits_and_rare_words(tmp_path):
    write(tmp_path / "Train", [("a.png", "a dog runs"), ("b.png", "a dog")])
    write(tmp_path / "val", [("a.png", "a dog flies")])
    data = load(tmp_path, min_count=2)
    assert data.config.words == ("a", "dog")
    assert data.sizes == {"train": 2, "validation": 1}
    assert "20.00 % unknown" in data.describe("train")
    assert "33.33 % unknown" in data.describe("validation")
    with pytest.raises(ValueError, match="smaller --min-count"):
        load(tmp_path, min_count=5)


def test_batches_are_captions_beside_their_images(tmp_path):
    rows = [("a.png", "a b"), ("a.png", "a"), ("b.png", "b")]
    write(tmp_path, rows)
    data = load(tmp_path, batch_size=3)
    train, steps = data.train()
    assert steps == 1
    inputs, targets = next(iter(train))
    pairs = {
        (int(image[0, 0, 0]), *words, *following)
        for image, words, following in zip(
            inputs["image"].numpy(),
            inputs["words"].numpy().tolist(),
            targets["next"].numpy().tolist(),
            strict=True,
        )
    }
    a, b = (4 + data.config.words.index(word) for word in "ab")
    assert pairs == {
        (10, 1, a, b, a, b, 2),
        (10, 1, a, 2, a, 2, 0),
        (30, 1, b, 2, b, 2, 0),
    }


def test_true_statements_of_nlvr_are_captions(tmp_path):
    folder = tmp_path / "train" / "images" / "3"
    folder.mkdir(parents=True)
    rows = []
    for number, label in enumerate(["true", "false", "true", "true"]):
        name = f"7-{number}"
        rows.append(
            {"sentence": f"There is {number}", "label": label}
            | {"identifier": name, "structured_rep": []}
        )
        if number < 3:
            for order in range(2):
                file = folder / f"train-{name}-{order}.png"
                Image.fromarray(np.zeros((10, 40, 3), "uint8")).save(file)
    lines = [json.dumps(row) for row in rows]
    file = tmp_path / "train" / "train.json"
    file.write_text("\n".join(lines))
    found = caption_folder.scan(tmp_path, 0.0)
    assert found.splits["train"].texts == ("There is 0", "There is 2")
    notes = "\n".join(found.notes)
    assert "statements that are not true: train/train.json, line 2" in notes
    assert "whose image is not there: train/train.json, line 4" in notes
    file.write_text('{"sentence": "no label"}')
    with pytest.raises(ValueError, match="line 1 must be a JSON object with"):
        caption_folder.scan(tmp_path, 0.0)


def test_a_set_that_is_not_prepared_is_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="is not prepared in data/tfds; prep"):
        load_data(Config(dataset="coco_captions"))
    with pytest.raises(ValueError, match="could not be loaded"):
        load_data(Config(dataset="no_such_set"))


def test_the_clauses_of_a_room_are_its_captions():
    text = (
        "A room with a red box, two blue balls and a poster on the back wall. "
        "The red box is to the left of the poster."
    )
    assert [" ".join(x) for x in sources.in_clauses(captions.split(text))] == [
        "a red box",
        "two blue balls",
        "a poster on the back wall",
        "the red box is to the left of the poster",
    ]
    empty = captions.split("An empty room.")
    assert sources.in_clauses(empty) == [("an", "empty", "room")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a dog", ["a dog"]),
        (np.array([b"a dog", b"a cat"], object), ["a dog", "a cat"]),
        ({"id": np.array([1]), "text": np.array([b"a"], object)}, ["a"]),
    ],
)
def test_captions_of_tfds_sets_have_three_forms(value, expected):
    assert sources._texts(value) == expected


def test_maps_of_patches_show_what_is_where_in_any_light(rng):
    pixels = rng.integers(0, 256, (8, 30, 30, 3)).astype("uint8")
    dictionary = patches.learn(pixels, seed=0)
    width = 3 * patches.SIDE**2
    assert dictionary["projection"].shape == (width, patches.GROUPS)
    image = rng.integers(100, 130, (1, 30, 30, 3)).astype("uint8")
    image[0, 20:26, 3:9] = rng.integers(0, 200, (6, 6, 3))
    found, brighter = (
        patches.maps(x, dictionary)[0] for x in (image, image + np.uint8(50))
    )
    assert found.shape == (9, 9, patches.GROUPS)
    np.testing.assert_allclose(found, brighter, atol=1e-3)
    # What is 20 rows down and 3 columns right, of 25 places, is in a cell.
    elsewhere = image.copy()
    elsewhere[0, 20:26, 3:9] = rng.integers(0, 200, (6, 6, 3))
    changed = patches.maps(elsewhere, dictionary)[0] != found
    assert changed[7, 1].any() and not changed[:5].any()
