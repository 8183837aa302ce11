import numpy as np
import pytest
from PIL import Image

from applications.datasets import paired_folder
from applications.datasets.file_tree import LeftOut
from applications.datasets.paired_folder import PairedFolder
from applications.datasets.paired_folder import hold_out
from applications.datasets.paired_folder import scan
from applications.datasets.paired_folder import scan_split
from applications.inputs import image as images
from applications.inputs import mask as masks


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)
    return path


def write_example(folder, identifier, size=(4, 6), label=1):
    write(folder / "rgb" / f"{identifier}.png", np.zeros((*size, 3), "uint8"))
    write(folder / "depth" / f"{identifier}.png", np.zeros(size, "uint16"))
    write(folder / "label" / f"{identifier}.png", np.full(size, label, "uint8"))


@pytest.fixture
def folder(tmp_path):
    for identifier in ("1", "2", "10"):
        write_example(tmp_path / "train", identifier)
    (tmp_path / "classes.txt").write_text("background\ncrack\n\n")
    return tmp_path


def test_ids_are_in_natural_order_and_arrays_are_as_written(folder):
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (4, 6, 3), dtype="uint8")
    depth = rng.integers(0, 2**16, (4, 6), dtype="uint16")
    write(folder / "train/rgb/2.png", rgb)
    write(folder / "train/depth/2.png", depth)
    examples = scan(folder, ("rgb", "depth")).splits["train"]
    assert [example.id for example in examples] == ["1", "2", "10"]
    arrays = PairedFolder(examples, 2)[1]
    np.testing.assert_array_equal(arrays["rgb"], rgb)
    np.testing.assert_array_equal(arrays["depth"], depth[..., None])
    np.testing.assert_array_equal(arrays["label"], 1)


def test_palette_label_gives_the_index_and_not_the_color(tmp_path):
    indices = np.array([[0, 1], [2, 255]], "uint8")
    image = Image.fromarray(indices).convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 200, 0] + [7, 7, 7] * 253)
    image.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(masks.read(tmp_path / "mask.png", 3), indices)


def test_black_and_white_label_is_zero_and_one(tmp_path):
    bits = np.array([[True, False], [False, True]])
    np.testing.assert_array_equal(
        masks.read(write(tmp_path / "mask.png", bits), 2), bits
    )


def test_alpha_is_dropped_and_palette_images_become_color(tmp_path):
    rgba = np.random.default_rng(0).integers(0, 256, (3, 5, 4), dtype="uint8")
    np.testing.assert_array_equal(
        images.read(write(tmp_path / "a.png", rgba)), rgba[..., :3]
    )
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "b.png")
    assert (images.read(tmp_path / "b.png") == [10, 20, 30]).all()


def test_16_bit_color_keeps_its_low_byte(tmp_path):
    import tensorflow as tf

    color = np.random.default_rng(0).integers(0, 2**16, (3, 5, 3), "uint16")
    encoded = tf.io.encode_png(color).numpy()
    (tmp_path / "a.png").write_bytes(encoded)
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), color)


def test_float_arrays_are_read_in_single_precision(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 5))
    image = images.read(write(tmp_path / "a.npy", values))
    assert image.dtype == "float32"
    np.testing.assert_array_equal(image[..., 0], values.astype("float32"))


def test_whole_blocks_of_neighbors_are_held_out():
    kept, held = hold_out(range(252))
    assert sorted(kept + held) == list(range(252))
    assert held == (
        *range(48, 60),
        *range(108, 120),
        *range(168, 180),
        *range(228, 240),
    )


@pytest.mark.parametrize("count", [5, 7, 30, 59])
def test_small_sets_have_a_validation_part_too(count):
    kept, held = hold_out(range(count))
    assert 0 < len(held) <= count / 4
    assert len(kept) + len(held) == count


def test_a_validation_folder_is_used_as_it_is(folder):
    write_example(folder / "validation", "7")
    splits = scan(folder, ("rgb", "depth")).splits
    assert [len(splits[name]) for name in ("train", "validation")] == [3, 1]
    assert "test" not in splits


def test_classes_are_counted_where_no_file_names_them(folder):
    (folder / "classes.txt").unlink()
    mask = np.resize(np.array([0, 255, 3, 1], "uint8"), (4, 6))
    write(folder / "train/label/2.png", mask)
    assert paired_folder.class_names(folder) is None
    splits = scan(folder, ("rgb",)).splits
    names = paired_folder.numbered_classes(splits)
    assert names == ("class 0", "class 1", "class 2", "class 3")


def test_class_names_must_be_different(folder):
    (folder / "classes.txt").write_text("crack\ncrack\n")
    with pytest.raises(ValueError, match="classes.txt must hold .* different"):
        paired_folder.class_names(folder)


def test_a_missing_partner_is_named(folder):
    (folder / "train/depth/10.png").unlink()
    with pytest.raises(ValueError, match=r"rgb/10.png has no partner in .*dep"):
        scan(folder, ("rgb", "depth"))


def test_a_missing_label_is_named(folder):
    (folder / "train/label/2.png").unlink()
    with pytest.raises(
        ValueError, match=r"rgb/2.png has no partner in .*label"
    ):
        scan(folder, ("rgb", "depth"))


def test_labels_are_optional_for_prediction(folder):
    for path in (folder / "train/label").iterdir():
        path.unlink()
    (folder / "train/label").rmdir()
    problems = []
    examples = scan_split(folder / "train", ("rgb",), LeftOut(folder), problems)
    assert not problems
    assert list(PairedFolder(examples, 2)[0]) == ["rgb"]
    with pytest.raises(ValueError, match="has no folder label/; it holds dep"):
        scan(folder, ("rgb",))


def test_another_size_within_an_example_is_named(folder):
    write(folder / "train/depth/2.png", np.zeros((4, 5), "uint16"))
    with pytest.raises(ValueError, match=r"depth/2.png is 4 x 5, but .* 4 x 6"):
        scan(folder, ("rgb", "depth"))


def test_a_missing_modality_lists_what_is_there(folder):
    with pytest.raises(
        ValueError, match="no folder thermal/; it holds depth, "
    ):
        scan(folder, ("rgb", "thermal"))


def test_two_files_of_the_same_id_are_named(folder):
    write(folder / "train/rgb/2.npy", np.zeros((4, 6, 3), "uint8"))
    with pytest.raises(ValueError, match=r"2.png and 2.npy have the same id"):
        scan(folder, ("rgb", "depth"))


def test_an_empty_split_is_named(folder):
    for name in ("rgb", "label"):
        (folder / "test" / name).mkdir(parents=True)
    with pytest.raises(ValueError, match="test is empty"):
        scan(folder, ("rgb",))


def test_a_test_part_without_labels_is_left_out_and_said(folder):
    write(folder / "test/rgb/1.png", np.zeros((4, 6, 3), "uint8"))
    splits, notes = scan(folder, ("rgb",))
    assert "test" not in splits
    assert "left out, a test part without label/: test" in notes


def test_what_is_passed_over_is_said(folder):
    write(folder / "train/rgb/._1.png", np.zeros((4, 6, 3), "uint8"))
    (folder / "train/rgb/Thumbs.db").write_bytes(b"")
    (folder / "train/rgb/notes.txt").write_text("")
    (folder / "extra").mkdir()
    splits, notes = scan(folder, ("rgb",))
    assert len(splits["train"]) == 3
    assert set(notes) == {
        "left out, folders beside those of the splits: extra",
        "left out, folders of no modality that was asked for: train/depth",
        (
            "left out, hidden or made by a system: train/rgb/._1.png, "
            "train/rgb/Thumbs.db"
        ),
        "left out, not images: train/rgb/notes.txt",
    }


@pytest.mark.parametrize("name", ["val", "Valid", "DEV"])
def test_short_names_of_the_validation_part(folder, name):
    write_example(folder / name, "7")
    splits = scan(folder, ("rgb", "depth")).splits
    assert [example.id for example in splits["validation"]] == ["7"]
    assert len(splits["train"]) == 3


def test_what_does_not_fit_is_left_out_of_a_prediction(folder):
    (folder / "train/depth/10.png").unlink()
    write(folder / "train/depth/2.png", np.zeros((9, 9), "uint16"))
    problems = []
    examples = scan_split(
        folder / "train", ("rgb", "depth"), LeftOut(folder), problems
    )
    assert [example.id for example in examples] == ["1"]
    assert "2.png is 9 x 9" in problems[0]
    assert "10.png has no partner" in problems[1]


def test_a_folder_without_splits_says_what_was_expected(tmp_path):
    (tmp_path / "rgb").mkdir()
    with pytest.raises(ValueError, match="no train/, .* it holds rgb"):
        scan(tmp_path, ("rgb",))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_what_is_no_image_is_named(folder, suffix):
    (folder / "train/rgb/2.png").unlink()
    (folder / f"train/rgb/2.{suffix}").write_bytes(b"no image at all")
    with pytest.raises(ValueError, match=f"rgb/2.{suffix} could not be read"):
        scan(folder, ("rgb", "depth"))


@pytest.mark.parametrize("name", ["cut.jpg", "cut.png", "wide.png"])
def test_a_truncated_image_is_named(tmp_path, name):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 2**16, (64, 64), "uint16")
    if name != "wide.png":
        pixels = pixels.astype("uint8")
    path = write(tmp_path / name, pixels)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=f"{name} is damaged or cut short"):
        images.read(path)


def test_label_values_outside_the_classes_are_named(folder):
    write(folder / "train/label/2.png", np.full((4, 6), 2, "uint8"))
    examples = scan(folder, ("rgb",)).splits["train"]
    with pytest.raises(ValueError, match=r"label/2.png holds the label 2; exp"):
        PairedFolder(examples, 2)[1]


def test_negative_labels_are_refused(tmp_path):
    path = write(tmp_path / "a.npy", np.array([[0, -1]]))
    with pytest.raises(ValueError, match=r"a.npy holds the label -1"):
        masks.read(path, 2)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2, 3), "uint8"), "PNG of mode RGB"),
        (np.zeros((2, 2), "float32"), "float32 of shape"),
    ],
)
def test_a_label_that_is_no_index_map_is_refused(tmp_path, array, message):
    name = "a.png" if array.dtype == "uint8" else "a.npy"
    with pytest.raises(ValueError, match=message):
        masks.read(write(tmp_path / name, array), 2)


def test_a_lossy_label_is_refused(folder):
    write(folder / "train/label/3.jpg", np.zeros((4, 6), "uint8"))
    with pytest.raises(
        ValueError, match=r"label/3.jpg: a mask must be lossless"
    ):
        scan(folder, ("rgb",))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(4, "float32"),
        np.zeros((2, 2, 3, 1), "float32"),
        np.zeros((2, 2), "complex64"),
        np.array([["a"]]),
    ],
)
def test_arrays_that_are_no_images_are_named(tmp_path, array):
    with pytest.raises(ValueError, match=r"a.npy is .* of shape"):
        images.read(write(tmp_path / "a.npy", array))


def test_pickled_and_infinite_arrays_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"a.npy could not be read"):
        images.read(tmp_path / "a.npy")
    path = write(tmp_path / "b.npy", np.array([[0.0, np.nan]]))
    with pytest.raises(ValueError, match=r"b.npy holds .* not finite"):
        images.read(path)


def test_other_channels_in_another_example_are_named(folder):
    (folder / "train/depth/2.png").unlink()
    write(folder / "train/depth/2.npy", np.zeros((4, 6, 5), "float32"))
    with pytest.raises(ValueError, match=r"depth/2.npy has 5 channels, but"):
        scan(folder, ("rgb", "depth"))
