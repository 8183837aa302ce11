"""Where sets of categories come from, and what is wrong with them."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from applications.datasets import label_rows
from applications.datasets import preparation
from applications.datasets.file_tree import LeftOut
from applications.multilabel_recognition import Config
from applications.multilabel_recognition import category_words
from applications.multilabel_recognition import data
from applications.multilabel_recognition import load_data
from applications.multilabel_recognition import sources
from applications.multilabel_recognition import tfds_sets
from tests.applications.colored_blobs import write_rows

SIZE = (40, 20)


def picture(path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (10, 20, 30)).save(path)


def write_csv(root, lines, count=4):
    for index in range(count):
        picture(root / "images" / f"{index}.jpg")
    (root / "labels.csv").write_text("\n".join(["image,labels", *lines]))
    return root


def found(root, **settings):
    return load_data(Config(data_dir=str(root), side=32, **settings))


def labels_of(root, split="train", **settings):
    source = sources.find(Config(data_dir=str(root), side=32, **settings))
    return source.classes, source.read(split).labels.tolist()


def test_rows_of_csv(tmp_path):
    lines = ["images/0.jpg,cat|red ball", "images/1.jpg,", "images/2.jpg,cat"]
    root = write_csv(tmp_path, lines, count=4)
    classes, labels = labels_of(root)
    assert classes == ("cat", "red ball")
    # An image of none of them is an example like others.
    assert labels == [[1, 1], [0, 0], [1, 0]]
    said = found(root).describe("train")
    assert "left out, images without a row: images/3.jpg" in said
    assert "1.00 an image, 1 images without" in said
    assert "objects: where they are is not known" in said


def test_json_lines_with_unknown_labels_and_boxes(tmp_path):
    rows = [
        {"image": "a.png", "labels": ["cat"], "unknown": ["dog"]},
        {
            "image": "b.png",
            "labels": ["dog", "cat"],
            "boxes": {"dog": [[0, 0, 20, 10], [30, 10, 40, 20]]},
        },
    ]
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert labels_of(tmp_path) == (("cat", "dog"), [[1, -1], [1, 1]])
    source = sources.find(Config(data_dir=str(tmp_path)))
    regions = source.read("train").regions(1)
    assert not regions[0].any()
    expected = np.zeros((56, 56))
    expected[:28, :28] = expected[28:, 42:] = 1
    np.testing.assert_array_equal(regions[1], expected)


def test_parts_by_folder_by_column_and_by_blocks(tmp_path):
    for split in ("train", "val"):
        picture(tmp_path / "folders" / split / "0.png")
        rows = "image,labels\n0.png,cat\n"
        (tmp_path / "folders" / split / "labels.csv").write_text(rows)
    assert found(tmp_path / "folders").sizes == {"train": 1, "validation": 1}

    for index in range(3):
        picture(tmp_path / "column" / f"{index}.png")
    (tmp_path / "column" / "labels.csv").write_text(
        "image,labels,split\n0.png,cat,train\n1.png,dog|cat,Test\n2.png,dog,"
    )
    data = found(tmp_path / "column")
    assert data.sizes == {"train": 2, "test": 1}

    lines = [f"images/{index}.jpg,cat" for index in range(10)]
    data = found(write_csv(tmp_path / "blocks", lines, count=10))
    assert data.sizes == {"train": 8, "validation": 2}
    assert "validation is every fifth block of train" in data.notes


def test_a_list_of_classes_rules_their_order_and_may_hold_more(tmp_path):
    root = write_csv(tmp_path, ["images/0.jpg,cat"])
    (root / "classes.txt").write_text("dog\ncat\n")
    assert labels_of(root) == (("dog", "cat"), [[0, 1]])
    said = found(root).describe("train")
    assert "warning: nothing to train on of: dog" in said


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["images/9.jpg,cat"], "row 1 names the image images/9.jpg, but there"),
        (["images/0.jpg,cat"] * 2, "row 2 and .*row 1 have the same image"),
        (["images/0.jpg,cat||dog"], "row 1, labels must be names, as cat"),
        ([",cat"], "row 1 names no image"),
        (["images/0.jpg,"], "no row of .* has a category"),
        ([], "labels.csv holds no row"),
    ],
)
def test_wrong_rows_are_one_line(tmp_path, lines, message):
    root = write_csv(tmp_path, lines)
    with pytest.raises(ValueError, match=message) as error:
        found(root)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"labels": [3]}, "labels must be names"),
        ({"labels": ["a"], "unknown": ["a"]}, "'a' among the labels and the"),
        ({"boxes": {"b": [[0, 0, 1, 1]]}}, "a box of 'b', which is not among"),
        ({"boxes": {"a": [[0, 0, 41, 1]]}}, "in pixels of 40 x 20"),
        ({"boxes": {"a": [[0, 0, 1]]}}, "in pixels of 40 x 20"),
        ({"boxes": {"a": 3, "b": [["x"]]}}, "boxes must be lists"),
        ({"boxes": [1]}, "boxes must be lists"),
        ({"split": "exam"}, "has the split 'exam'; expected one of train"),
    ],
)
def test_wrong_json_rows_are_one_line(tmp_path, row, message):
    picture(tmp_path / "0.png")
    row = {"image": "0.png", "labels": ["a"]} | row
    (tmp_path / "labels.jsonl").write_text(json.dumps(row))
    with pytest.raises(ValueError, match=message) as error:
        label_rows.scan(tmp_path, LeftOut(tmp_path))
    assert "labels.jsonl, row 1" in str(error.value)


def test_other_columns_are_named(tmp_path):
    picture(tmp_path / "0.png")
    (tmp_path / "labels.csv").write_text("file,tags\n0.png,cat\n")
    with pytest.raises(
        ValueError, match="has the columns file, tags; expected"
    ):
        found(tmp_path)


def test_a_split_of_only_negative_images_is_one_line(tmp_path):
    for split, labels in (("train", "cat"), ("validation", "")):
        picture(tmp_path / split / "0.png")
        rows = f"image,labels\n0.png,{labels}\n"
        (tmp_path / split / "labels.csv").write_text(rows)
    with pytest.raises(ValueError, match="no image of the validation part has"):
        found(tmp_path).describe("train", "validation")


def test_masks_without_names_are_those_that_a_run_knows(tmp_path):
    for name in ("rgb", "label"):
        (tmp_path / "train" / name).mkdir(parents=True)
        shape = (32, 32, 3) if name == "rgb" else (32, 32)
        pixels = np.ones(shape, "uint8")
        Image.fromarray(pixels).save(tmp_path / "train" / name / "0.png")
    assert labels_of(tmp_path) == (("class 0", "class 1"), [[0, 1]])
    numbered = tuple(f"class {number}" for number in range(3))
    assert labels_of(tmp_path, classes=numbered)[1] == [[0, 1, 0]]
    with pytest.raises(
        ValueError, match="classes are cat, dog by the settings"
    ):
        found(tmp_path, classes=("cat", "dog"))


def annotation(objects):
    parts = "".join(
        f"<object><name>{name}</name><difficult>{hard}</difficult><bndbox>"
        f"<xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
        "</bndbox></object>"
        for name, hard, (x0, y0, x1, y1) in objects
    )
    size = f"<width>{SIZE[0]}</width><height>{SIZE[1]}</height>"
    return f"<annotation><size>{size}</size>{parts}</annotation>"


def write_voc(root, objects):
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    for name, found in objects.items():
        picture(root / "JPEGImages" / f"{name}.jpg")
        (root / "Annotations" / f"{name}.xml").write_text(annotation(found))
    first, second = objects
    (root / "ImageSets/Main/train.txt").write_text(f"{first}\n")
    (root / "ImageSets/Main/val.txt").write_text(f"{second}\n")
    (root / "ImageSets/Main/cat_train.txt").write_text(f"{first} 1\n")
    return root


VOC = {
    "0001": [("cat", 0, (1, 1, 20, 10)), ("dog", 1, (1, 1, 40, 20))],
    "0002": [("dog", 0, (21, 11, 40, 20)), ("dog", 1, (1, 1, 3, 3))],
}


def test_pascal_voc(tmp_path):
    write_voc(tmp_path / "VOCdevkit" / "VOC2007", VOC)
    picture(tmp_path / "VOCdevkit" / "VOC2007" / "JPEGImages" / "0003.jpg")
    # Only a difficult dog is neither there nor absent.
    assert labels_of(tmp_path) == (("cat", "dog"), [[1, -1]])
    assert labels_of(tmp_path, "validation")[1] == [[0, 1]]
    source = sources.find(Config(data_dir=str(tmp_path)))
    (cat, _), (_, dog) = (
        source.read(name).regions(0) for name in ("train", "validation")
    )
    assert cat[:28, :28].all() and cat.sum() == 28 * 28
    assert dog[28:, 28:].all() and dog.sum() == 28 * 28
    assert any("in no list of ids: JPEGImages/0003" in n for n in source.notes)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (("JPEGImages/0001.jpg", None), "0001, but there is no image"),
        (("Annotations/0001.xml", None), "0001, but there is no file"),
        (("Annotations/0001.xml", "<a>"), "0001.xml is no annotation of Pasc"),
        (("Annotations/0001.xml", "<a></a>"), "no annotation .*size"),
        (("ImageSets/Main/train.txt", ""), "train.txt holds no id"),
        (("ImageSets/Main/train.txt", "1 1\n1\n"), "the id 1 twice"),
    ],
)
def test_damaged_pascal_voc_is_one_line(tmp_path, damage, message):
    root = write_voc(tmp_path, VOC)
    name, content = damage
    if content is None:
        (root / name).unlink()
    else:
        (root / name).write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        found(root)
    assert "\n" not in str(error.value)


def write_tfds(root, features, examples, file_format="tfrecord"):
    specification = {
        name: feature.get_tensor_spec() for name, feature in features.items()
    }
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(examples), output_signature=specification
    )
    tfds.dataset_builders.store_as_tfds_dataset(
        name="small",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": dataset},
        data_dir=str(root),
        file_format=file_format,
    )
    return root / "small" / "1.0.0"


FORMATS = ["tfrecord"]
if preparation.random_access_format() != "tfrecord":
    FORMATS.append(preparation.random_access_format())
FEATURES = {
    "image": tfds.features.Image(shape=(None, None, 3)),
    "objects": tfds.features.Sequence(
        {
            "bbox": tfds.features.BBoxFeature(),
            "is_difficult": np.bool_,
            "label": tfds.features.ClassLabel(names=["cat", "dog"]),
        }
    ),
}


def voc_example(value, boxes, hard, labels):
    return {
        "image": np.full((10, 12, 3), value, "uint8"),
        "objects": {
            "bbox": np.array(boxes, "float32").reshape(-1, 4),
            "is_difficult": np.array(hard, bool),
            "label": np.array(labels, "int64"),
        },
    }


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_set_of_tfds_in_the_form_of_voc(tmp_path, file_format):
    boxes = [[0, 0, 0.5, 0.25], [0, 0, 1, 1]]
    examples = [
        voc_example(7, boxes, [0, 1], [0, 1]),
        voc_example(8, [], [], []),
    ]
    folder = write_tfds(tmp_path, FEATURES, examples, file_format)
    source = sources.find(Config(data_dir=str(folder), side=32))
    split = source.read("train")
    assert source.classes == ("cat", "dog")
    rows = sorted(split.labels.tolist(), reverse=True)
    assert rows == [[1, -1], [0, 0]]
    row = split.labels.tolist().index([1, -1])
    # Those of known values tell whether image and labels belong together.
    assert np.all(split.read(row)["rgb"] == 7)
    assert np.all(split.read(1 - row)["rgb"] == 8)
    regions = split.regions(row)
    assert regions[0, :28, :14].all() and regions.sum() == 28 * 14
    assert not split.regions(1 - row).any()


@pytest.mark.parametrize("file_format", FORMATS)
def test_sets_of_tfds_larger_than_memory(tmp_path, file_format, monkeypatch):
    monkeypatch.setattr(tfds_sets, "MEMORY_BYTES", 10_000)
    monkeypatch.setattr(data, "MEMORY_BYTES", 10_000)
    examples = [
        voc_example(
            10 * n, [[0, 0, 1, 1]] * (n % 2), [0] * (n % 2), [0] * (n % 2)
        )
        for n in range(20)
    ]
    folder = write_tfds(tmp_path, FEATURES, examples, file_format)
    if file_format == "tfrecord":
        with pytest.raises(ValueError, match="give a smaller --side, or pre"):
            found(folder)
        return
    loaded = found(folder, batch_size=4)
    inputs, targets = next(iter(loaded.split("validation")[1]))
    values = inputs["rgb"].numpy()[:, 0, 0, 0]
    assert len(set(values)) == len(values) == 4
    np.testing.assert_array_equal(
        targets["label"].numpy()[:, 0], values // 10 % 2
    )
    config = dataclasses.replace(
        loaded.config, crop=0.0, jitter=0.0, mirror=False
    )
    dataset, steps = load_data(config).train(0)
    assert steps == 4
    seen = []
    for inputs, targets in dataset.take(steps):
        values = np.rint(inputs["rgb"].numpy()[:, 0, 0, 0])
        np.testing.assert_array_equal(
            targets["label"].numpy()[:, 0], values // 10 % 2
        )
        seen += values.tolist()
    assert len(set(seen)) == 16


def test_a_set_of_tfds_without_sets_of_labels_is_refused(tmp_path):
    features = {"image": tfds.features.Image(shape=(4, 4, 3))}
    examples = [{"image": np.zeros((4, 4, 3), "uint8")}]
    folder = write_tfds(tmp_path, features, examples)
    with pytest.raises(ValueError, match="has the features image; expected"):
        found(folder)


def test_names_of_tfds_are_looked_at_before_anything_is_loaded():
    with pytest.raises(ValueError, match="'no_such_set' could not be loaded"):
        load_data(Config(dataset="no_such_set"))
    with pytest.raises(ValueError, match="mnist has the features image, label"):
        load_data(Config(dataset="mnist"))


def test_words_of_categories(tmp_path):
    write_rows(tmp_path / "blobs", count=8)
    file = tmp_path / "words.txt"
    file.write_text(
        "traffic 1 2\nlight 3 6\nteddy_bear 5 5\nCat 7 8\ncat 1 1\n"
    )
    names = ("traffic light", "teddy bear", "Cat", "Dog sled")
    config = Config(classes=names, word_vectors=str(file))
    table = category_words.vectors(config)
    assert table[:3].tolist() == [[2, 4], [5, 5], [7, 8]]
    assert np.isnan(table[3]).all()
    assert category_words.missing(config) == ("Dog sled",)
    with pytest.raises(ValueError, match="has none of the categories blue"):
        found(tmp_path / "blobs", word_vectors=str(file))
    file.write_text("red 1 2\ngreen 1 2 3\n")
    with pytest.raises(ValueError, match="line 2 must have a word and 2 numb"):
        found(tmp_path / "blobs", word_vectors=str(file))
    missing = dataclasses.replace(config, word_vectors=str(tmp_path / "no"))
    with pytest.raises(FileNotFoundError, match="there is no file of word"):
        category_words.vectors(missing)


def test_a_folder_of_nothing_says_what_could_be_there(tmp_path):
    (tmp_path / "cats").mkdir()
    with pytest.raises(ValueError, match="has none of labels.csv.* holds cats"):
        found(tmp_path)
    rows = write_rows(tmp_path / "blobs", count=8)
    with pytest.raises(ValueError, match="one image an example; give one name"):
        found(rows, modalities=("rgb", "depth"))
