"""Values, crops and sources of images that are to be translated."""

import dataclasses
import itertools

import numpy as np
import pytest
from PIL import Image

from applications import settings
from applications.image_translation import data
from applications.image_translation import sources
from applications.image_translation import values
from applications.image_translation.config import Config
from applications.image_translation.data import load_data
from tests.applications.datasets import test_taskonomy

SIDE = 8


@settings.settings
class Small(Config):
    """For images that are too small for a discriminator."""

    depth: settings.Count = 2
    side: settings.Size = SIDE
    margin: settings.NonNegativeInt = 4
    judge_stages: settings.Count = 1


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)


def write_places(root, split, count, size=(SIDE + 4, SIDE + 4)):
    """Pixels that tell their place, in bytes, in counts and in meters."""
    place = np.arange(size[0] * size[1]).reshape(size)
    for index in range(count):
        folder = root / split
        name = f"{index:03d}"
        write(folder / "gray" / f"{name}.png", place.astype("uint8"))
        write(folder / "counts" / f"{name}.png", (place * 300).astype("uint16"))
        write(folder / "meters" / f"{name}.npy", place / 10 - index)


@pytest.fixture
def root(tmp_path):
    write_places(tmp_path, "train", 6)
    write_places(tmp_path, "validation", 2)
    return tmp_path


@pytest.fixture
def config(root):
    return Small(
        data_dir=str(root),
        modalities=("gray", "counts"),
        target="meters",
        batch_size=2,
    )


def batches(config, count, first_epoch=0):
    train, _ = load_data(config).train(first_epoch)
    return list(itertools.islice(train.as_numpy_iterator(), count))


def test_ranges_are_those_of_the_training_part(config, root):
    write(root / "validation" / "meters" / "001.npy", np.full((12, 12), 99.0))
    loaded = load_data(config)
    assert loaded.config.target_channels == 1
    gray, counts, meters = loaded.config.ranges
    assert gray == (0, 255)
    assert counts == (0, 300 * 143)
    np.testing.assert_allclose(meters, (-5, 14.3), rtol=1e-6)
    assert "meters -5 to 14.3" in loaded.describe("train")


def test_the_same_value_means_the_same_in_every_image(config):
    """And what is beyond the range is cut off."""
    config = dataclasses.replace(
        config, ranges=((0, 255), (0, 42900), (-5, 14.3)), side=12, margin=0
    )
    dataset = load_data(config).split("validation")[1]
    [(inputs, targets)] = list(dataset.as_numpy_iterator())
    assert inputs["counts"].shape == (2, 12, 12, 3)
    place = np.arange(144).reshape(12, 12)
    for index in range(2):
        expected = (place / 10 - index + 5) / 19.3 * 2 - 1
        np.testing.assert_allclose(
            targets["ensemble"][index, ..., 0], expected, atol=1e-5
        )
        np.testing.assert_allclose(
            inputs["gray"][index, ..., 1], place / 127.5 - 1, atol=1e-5
        )
    assert set(targets) == {"gray", "counts", "ensemble"}


def test_values_are_restored_and_cut_off():
    image = np.array([-3.0, 2.0, 7.0, 100.0])
    scaled = values.scaled(image, (-3.0, 7.0))
    np.testing.assert_allclose(scaled, [-1, 0, 1, 1])
    restored = values.restored(scaled, (-3.0, 7.0))
    np.testing.assert_allclose(restored, [-3, 2, 7, 7], atol=1e-6)


def test_other_units_are_refused(config, root):
    ranges = load_data(config).config.ranges
    config = dataclasses.replace(config, ranges=ranges)
    write(root / "validation" / "meters" / "000.npy", np.full((12, 12), 99.0))
    with pytest.raises(ValueError, match="example 1: meters holds values from"):
        load_data(config).split("validation")


def test_a_target_that_is_the_same_all_over_is_refused(config, root):
    for index in range(6):
        path = root / "train" / "meters" / f"{index:03d}.npy"
        write(path, np.ones((12, 12)))
    with pytest.raises(ValueError, match="meters is 1 all over"):
        load_data(config)


def test_crops_are_the_same_place_of_every_image(config):
    config = dataclasses.replace(
        config, ranges=((0, 255), (0, 42900), (-6, 15))
    )
    mirrored = set()
    for inputs, targets in batches(config, 9):
        gray = (inputs["gray"][..., :1] + 1) * 127.5
        counts = (inputs["counts"][..., :1] + 1) * 21450 / 300
        np.testing.assert_allclose(gray, counts, atol=0.1)
        meters = (targets["gray"] + 1) * 10.5 - 6
        # Of all images the number of the place, up to that of the image.
        difference = meters - gray / 10
        np.testing.assert_allclose(
            difference, np.round(difference[:, :1, :1]) + 0 * meters, atol=0.01
        )
        assert gray.shape == (2, SIDE, SIDE, 1)
        mirrored |= set((gray[:, 0, 0, 0] > gray[:, 0, 1, 0]).tolist())
    assert mirrored == {True, False}


def test_epochs_differ_and_a_later_start_sees_the_same(config):
    whole, later = batches(config, 6), batches(config, 3, first_epoch=1)
    for (one, _), (two, _) in zip(whole[3:], later, strict=True):
        np.testing.assert_array_equal(one["gray"], two["gray"])
    assert (whole[0][0]["gray"] != whole[3][0]["gray"]).any()


def test_images_that_are_large_or_oblong_become_squares(config, root):
    write_places(root, "test", 1, size=(30, 20))
    ranges = ((0, 255), (0, 65535), (-6, 60))
    config = dataclasses.replace(config, ranges=ranges)
    dataset = load_data(config).split("test")[1]
    [(inputs, targets)] = list(dataset)
    assert inputs["gray"].shape == (1, SIDE, SIDE, 3)
    assert targets["counts"].shape == (1, SIDE, SIDE, 1)


def test_a_color_image_makes_a_color_target_of_gray_ones(root):
    write(root / "train" / "gray" / "000.png", np.zeros((12, 12, 3), "uint8"))
    config = Small(
        data_dir=str(root), modalities=("counts",), target="gray", batch_size=6
    )
    assert load_data(config).config.target_channels == 3
    [(_, targets)] = batches(config, 1)
    assert targets["counts"].shape == (6, SIDE, SIDE, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_channels": 3}, "target_channels is 3 .* and 1 by the data"),
        ({"target": "nothing"}, "has no folder nothing/"),
        ({"modalities": ("bands",)}, "1 or 3 channels, received bands 4"),
    ],
)
def test_what_the_data_lack_is_told(config, root, change, message):
    for split, count in (("train", 6), ("validation", 2)):
        for index in range(count):
            path = root / split / "bands" / f"{index:03d}.npy"
            write(path, np.zeros((12, 12, 4)))
    with pytest.raises(ValueError, match=message):
        load_data(dataclasses.replace(config, **change))


def test_images_of_other_sizes_are_named(config, root):
    path = root / "train" / "counts" / "002.png"
    write(path, np.zeros((12, 11), "uint16"))
    with pytest.raises(ValueError, match="counts/002.png is 12 x 11, but"):
        load_data(config)


def test_a_test_part_without_the_target_is_left_out(config, root):
    write(root / "test" / "gray" / "1.png", np.zeros((4, 4), "uint8"))
    loaded = load_data(config)
    assert set(loaded.sizes) == {"train", "validation"}
    assert "a test part without meters/: test" in loaded.describe("train")


def test_edges_of_masks_are_where_they_change(config, root):
    mask = np.zeros((12, 12), "uint8")
    mask[3:7, 4:] = 1
    for split, count in (("train", 6), ("validation", 2)):
        for index in range(count):
            image = Image.fromarray(mask)
            image.putpalette([10, 20, 30, 10, 20, 31])
            path = root / split / "label" / f"{index:03d}.png"
            path.parent.mkdir(exist_ok=True)
            image.save(path)
    names = ("label_edges", "gray")
    source = sources.find(str(root), names)
    assert source.channels == {"label_edges": 1, "gray": 1}
    example = source.read("train")[0]
    assert set(example) == set(names)
    expected = np.zeros((12, 12), bool)
    for row in range(12):
        for column in range(12):
            here = mask[row, column]
            below = mask[min(row + 1, 11), column]
            right = mask[row, min(column + 1, 11)]
            expected[row, column] = here != below or here != right
    np.testing.assert_array_equal(
        example["label_edges"][..., 0], np.where(expected, 255, 0)
    )
    config = dataclasses.replace(config, modalities=names)
    [name, *_], inputs, _ = next(
        data.unlabeled(load_data(config).config, root, [])
    )
    assert set(inputs) == set(names)


def test_edges_of_prepared_sets_come_from_their_masks(tmp_path):
    from applications.datasets import rooms

    small = rooms.RoomsConfig(size=16, train=2, validation=1, test=1)
    builder = rooms.prepare(tmp_path, small)
    source = sources.find(str(builder.data_dir), ("label_edges", "rgb"))
    example = source.read("train")[0]
    assert example["label_edges"].shape == (16, 16, 1)
    assert set(np.unique(example["label_edges"])) == {0, 255}
    assert source.sizes == {"train": 2, "validation": 1, "test": 1}


def test_domains_of_taskonomy_are_read_with_their_ranges(tmp_path):
    for point in range(10):
        name = f"point_{point}_view_0"
        test_taskonomy.write(tmp_path, "rgb", name, point)
        depth = 500 + 1000 * point
        test_taskonomy.write(
            tmp_path, "depth_zbuffer", name, depth, dtype="uint16"
        )
    config = Small(
        data_dir=str(tmp_path), modalities=("rgb",), target="depth_zbuffer"
    )
    loaded = load_data(config)
    assert loaded.config.ranges == ((0, 255), (0, 1))
    _, targets = next(iter(loaded.split("validation")[1]))
    depth = (targets["rgb"].numpy() + 1) / 2
    # Of the points that are held out.
    np.testing.assert_allclose(
        depth[0, 0, 0, 0], np.log(1 + 8500) / 11.1, rtol=1e-4
    )
