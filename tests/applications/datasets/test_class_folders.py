import numpy as np
import pytest
from PIL import Image

from applications.datasets import class_folders
from applications.datasets import digits
from applications.datasets.file_tree import LeftOut


def write(path, level=0, size=(4, 6), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size[::-1], level).save(path)


@pytest.fixture
def folder(tmp_path):
    for name in ("cat", "dog"):
        for index in range(10):
            write(tmp_path / name / f"{index}.png")
    return tmp_path


def numbers(split):
    return [(path.parent.name, path.stem) for path in split.files]


def test_a_folder_of_classes_is_a_training_part_with_a_share_held_out(folder):
    classes, splits, notes = class_folders.scan(folder, held_out=0.2)
    assert notes == ("validation is 1 in 5 of train",)
    assert classes == ("cat", "dog")
    assert numbers(splits["validation"]) == [
        (name, index) for name in classes for index in ("4", "9")
    ]
    together = numbers(splits["train"]) + numbers(splits["validation"])
    assert len(set(together)) == len(together) == 20
    for split in splits.values():
        names = [classes[label] for label in split.labels]
        assert names == [path.parent.name for path in split.files]


def test_a_validation_folder_is_taken_as_it_is(tmp_path):
    for split, count in (("train", 5), ("validation", 1), ("test", 2)):
        for name in ("a", "b"):
            for index in range(count):
                write(tmp_path / split / name / f"{index}.png")
    splits = class_folders.scan(tmp_path, held_out=0.5).splits
    sizes = {name: len(split.files) for name, split in splits.items()}
    assert sizes == {"train": 10, "validation": 2, "test": 4}


def test_natural_order_and_all_kinds_of_files(tmp_path):
    for name in ("10.png", "9.JPG", "deep/2.bmp", "notes.txt"):
        if name.endswith("txt"):
            (tmp_path / name).write_text("no image")
        else:
            write(tmp_path / name.lower())
    left_out = LeftOut(tmp_path)
    found = class_folders.images_below(tmp_path, left_out)
    assert [path.name for path in found] == ["9.jpg", "10.png", "2.bmp"]
    assert left_out.lines() == ("left out, not images: notes.txt",)


def test_pixels_are_those_of_the_files(tmp_path, rng):
    written = rng.integers(0, 256, (3, 4, 6, 3)).astype("uint8")
    files = [tmp_path / f"{index}.png" for index in range(3)]
    for path, image in zip(files, written, strict=True):
        Image.fromarray(image).save(path)
    images = class_folders.ImageFiles(files, (4, 6, 3), resized=False)
    received = images[np.array([2, 0])]
    assert received.dtype == "uint8"
    np.testing.assert_array_equal(received, written[[2, 0]])
    gray = class_folders.ImageFiles(files, (4, 6, 1), resized=True)
    weights = np.array([0.299, 0.587, 0.114])
    difference = gray[np.arange(3)][..., 0] - written @ weights
    assert np.abs(difference).max() <= 1


def test_other_sizes_are_resized_only_when_asked_for(tmp_path):
    write(tmp_path / "0.png", level=(10, 20, 30))
    write(tmp_path / "1.png", level=(10, 20, 30), size=(8, 8))
    files = [tmp_path / "0.png", tmp_path / "1.png"]
    images = class_folders.ImageFiles(files, (4, 6, 3), resized=True)
    np.testing.assert_array_equal(*images[np.arange(2)])
    images = class_folders.ImageFiles(files, (4, 6, 3), resized=False)
    with pytest.raises(ValueError, match="1.png has 8 x 8 pix.*--image-sh"):
        images[np.arange(2)]
    with pytest.raises(ValueError, match="differ in size: 4 x 6 .*0.png.*8 x "):
        class_folders.common_shape(files)


def test_gray_images_have_one_channel_and_color_wins_over_them(tmp_path):
    gray, color = tmp_path / "gray.png", tmp_path / "color.png"
    write(gray, mode="L")
    write(color)
    assert class_folders.shape_of(gray) == (4, 6, 1)
    assert class_folders.shape_of(color) == (4, 6, 3)
    # Whichever comes first.
    assert class_folders.common_shape([gray, color]) == (4, 6, 3)
    assert class_folders.common_shape([gray, gray]) == (4, 6, 1)
    images = class_folders.ImageFiles([gray, color], (4, 6, 1), resized=False)
    with pytest.raises(ValueError, match="color.png has .* in color, others"):
        images[np.arange(2)]


@pytest.mark.parametrize("name", ["Val", "valid", "DEV", "Validation"])
def test_short_names_of_the_validation_part(tmp_path, name):
    for split, count in (("Train", 3), (name, 1)):
        for label in "ab":
            for index in range(count):
                write(tmp_path / split / label / f"{index}.png")
    splits = class_folders.scan(tmp_path).splits
    assert {key: len(split.files) for key, split in splits.items()} == {
        "train": 6,
        "validation": 2,
    }


def test_two_names_of_one_part_are_refused(tmp_path):
    for split in ("train", "val", "dev"):
        write(tmp_path / split / "a" / "0.png")
    with pytest.raises(ValueError, match="both the validation part"):
        class_folders.scan(tmp_path)


def test_what_nobody_means_is_no_example_and_is_said(folder):
    write(folder / "cat" / ".ipynb_checkpoints" / "0.png")
    write(folder / "cat" / "._0.png")
    write(folder / "__MACOSX" / "cat" / "0.png")
    (folder / "dog" / "notes.txt").write_text("my dogs")
    (folder / "readme.md").write_text("all")
    classes, splits, notes = class_folders.scan(folder, held_out=0)
    assert classes == ("cat", "dog")
    assert len(splits["train"].files) == 20
    assert set(notes) == {
        (
            "left out, hidden or made by a system: __MACOSX, "
            "cat/._0.png, cat/.ipynb_checkpoints"
        ),
        "left out, not images: dog/notes.txt",
        "left out, beside the class folders: readme.md",
    }


def test_a_folder_one_level_too_high_says_which_is_meant(tmp_path):
    for name in ("pets", "cars"):
        for split in ("train", "val"):
            write(tmp_path / name / split / "a" / "0.png")
    with pytest.raises(ValueError, match="cars has such folders: give it as"):
        class_folders.scan(tmp_path)


def test_known_classes_keep_their_order(folder):
    classes, splits, _ = class_folders.scan(folder, 0, ("dog", "cow", "cat"))
    assert classes == ("dog", "cow", "cat")
    names = [path.parent.name for path in splits["train"].files]
    assert names == [classes[label] for label in splits["train"].labels]


def test_what_does_not_fit_is_an_error_that_names_it(folder):
    (folder / "dog" / "broken.png").write_bytes(b"\x89PNG nothing more")
    files = [folder / "dog" / "broken.png"]
    images = class_folders.ImageFiles(files, (4, 6, 3), resized=False)
    with pytest.raises(
        ValueError, match="broken.png could not be read as an im"
    ):
        images[np.arange(len(files))]
    with pytest.raises(ValueError, match="0 class folders; expected two"):
        class_folders.scan(folder / "cat")
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no image"):
        class_folders.scan(folder)


def test_a_file_that_is_cut_short_is_named(tmp_path, rng):
    path = tmp_path / "0.png"
    noise = rng.integers(0, 256, (40, 40, 3)).astype("uint8")
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:500])
    images = class_folders.ImageFiles([path], (40, 40, 3), resized=False)
    with pytest.raises(ValueError, match="0.png is damaged or cut short"):
        images[np.array([0])]


def test_deep_images_are_refused(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((4, 4), 9000, "uint16")).save(path)
    with pytest.raises(ValueError, match="more than 8 bits"):
        class_folders.shape_of(path)


def test_a_tenth_of_every_class_is_held_out():
    labels = np.repeat([3, 1, 2], [50, 20, 9])
    kept, held = class_folders.hold_out(labels, 0.1)
    assert sorted([*kept, *held]) == list(range(79))
    assert np.bincount(labels[held]).tolist() == [0, 2, 0, 5]


def test_digits_are_whole_and_in_parts_without_overlap():
    splits = digits.load()
    sizes = [len(split.labels) for split in splits.values()]
    assert list(splits) == ["train", "validation", "test"]
    assert sizes == [1197, 300, 300]
    for split in splits.values():
        assert split.images.shape[1:] == (8, 8, 1)
        assert split.images.max() == 255
        assert set(split.labels) == set(range(10))
