import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from applications import settings
from applications.datasets import aligned_images
from applications.datasets import rooms
from applications.inputs import crops
from applications.inputs import image as images
from applications.inputs.image import NormalizedImage
from applications.inputs.mask import IGNORE
from applications.semantic_segmentation import data
from applications.semantic_segmentation.config import Config
from applications.semantic_segmentation.data import load_data
from applications.semantic_segmentation.data import unlabeled

HEIGHT, WIDTH = 12, 20
COUNT = 7
CLASSES = tuple(f"place {index}" for index in range(HEIGHT * WIDTH))


@settings.settings
class Small(Config):
    """For images too small for the network, whose pixels can be told apart."""

    crop: settings.Count = 8
    resize: settings.NonNegativeInt = 128


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)


def write_places(folder, split, count, first=0, size=(HEIGHT, WIDTH)):
    """Every pixel holds its own place: as coordinates, as number, as label."""
    rows, columns = np.indices(size)
    number = (rows * WIDTH + columns).astype("uint8")
    place = np.stack([rows, columns, number], axis=-1).astype("float32")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    for index in range(first, first + count):
        here = folder / split
        write(here / "place" / f"{index}.npy", place)
        write(here / "number" / f"{index}.png", number)
        write(here / "mark" / f"{index}.npy", np.full(size, 1.0 + index))
        write(here / "label" / f"{index}.png", number)


@pytest.fixture
def config(tmp_path):
    write_places(tmp_path, "train", COUNT)
    write_places(tmp_path, "validation", 3, first=COUNT)
    return Small(
        data_dir=str(tmp_path),
        modalities=("place", "number", "mark"),
        batch_size=3,
        crop=8,
        scale=(1.0, 1.0),
        jitter=0.0,
        standardize="published",
        depth_scale=1.0,
    )


def batches(config, count, first_epoch=0):
    train, _ = load_data(config).train(first_epoch)
    return list(itertools.islice(train.as_numpy_iterator(), count))


def assert_equal_batches(one, two):
    for left, right in zip(one, two, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, left, right)


def test_crop_and_mirror_hit_every_modality_and_the_label_alike(config):
    mirrored = []
    for inputs, targets in batches(config, 12):
        label = targets["ensemble"]
        place = inputs["place"]
        assert label.shape == (3, 8, 8) and label.dtype == "int32"
        np.testing.assert_array_equal(
            place[..., 0] * WIDTH + place[..., 1], label
        )
        np.testing.assert_array_equal(
            inputs["number"], np.repeat(label[..., None], 3, axis=-1)
        )
        assert (np.diff(place[..., 0], axis=1) == 1).all()
        step = np.diff(place[..., 1], axis=2)
        assert (np.abs(step) == 1).all()
        mirrored.extend(step[:, 0, 0] == -1)
    assert 0.2 < np.mean(mirrored) < 0.8


def test_without_mirror_nothing_is_mirrored(config):
    config = dataclasses.replace(config, mirror=False)
    for inputs, _ in batches(config, 8):
        assert (np.diff(inputs["place"][..., 1], axis=2) == 1).all()


def test_crops_reach_every_corner_of_the_image(config):
    corners = {
        (int(place[0, :, 0].min()), int(place[0, :, 1].min()))
        for inputs, _ in batches(config, 150)
        for place in inputs["place"]
    }
    rows, columns = zip(*corners, strict=True)
    assert set(rows) == set(range(HEIGHT - 8 + 1))
    assert set(columns) == set(range(WIDTH - 8 + 1))


@pytest.mark.parametrize("scale", [0.8, 2.0])
def test_scaling_keeps_label_and_image_within_half_a_pixel(config, scale):
    config = dataclasses.replace(config, scale=(scale, scale))
    for inputs, targets in batches(config, 6):
        rows, columns = np.divmod(targets["place"], WIDTH)
        inner = (slice(None), slice(1, -1), slice(1, -1))
        for channel, place in enumerate((rows, columns)):
            gap = inputs["place"][..., channel] - place
            assert np.abs(gap[inner]).max() <= 0.5 + 0.25
            assert abs(gap[inner].mean()) < 0.3
        extent = inputs["place"][:, -1, 0, 0] - inputs["place"][:, 0, 0, 0]
        np.testing.assert_allclose(extent, 7 / scale, atol=0.8)


def test_a_short_side_is_never_shrunk_below_its_bound(config):
    third = 1 / 3
    config = dataclasses.replace(config, crop=4, scale=(third, third))
    for short_side, scale in ((0, third), (3, third), (HEIGHT // 2, 0.5)):
        config = dataclasses.replace(config, short_side=short_side)
        for inputs, _ in batches(config, 3):
            row = inputs["place"][:, :, 1, 0]
            np.testing.assert_allclose(row[:, 2] - row[:, 1], 1 / scale, 1e-4)


def test_published_crops_are_cubic_and_their_depth_is_the_nearest(rng):
    config = Small(
        modalities=("rgb", "depth"), crop=8, scale=(2.0, 2.0), mirror=False
    )
    image = rng.normal(size=(4, 4, 1)).astype("float32")
    pair = (NormalizedImage(image, 0.0, 1.0),) * 2
    mask = np.arange(16, dtype="uint8").reshape(4, 4)
    draws = np.full(crops.num_draws(2), 0.5)

    def crop(config):
        how = data.augmentation(dataclasses.replace(config, jitter=0.0))
        return crops.crop(pair, mask, draws, how)

    smooth, same, _ = crop(config)
    np.testing.assert_array_equal(smooth, same)
    rgb, depth, label = crop(dataclasses.replace(config, cubic=True))
    np.testing.assert_allclose(
        rgb[..., :1], images.resize(image, (8, 8), "cubic")
    )
    assert np.abs(rgb - smooth).max() > 0.1
    np.testing.assert_array_equal(depth[..., 0], image.ravel()[label])


def test_small_images_are_padded_with_zeros_and_ignored_labels(config):
    config = dataclasses.replace(config, crop=16)
    places = set()
    for inputs, targets in batches(config, 12):
        label = targets["mark"]
        inside = label != IGNORE
        assert (inside.sum(axis=(1, 2)) == HEIGHT * 16).all()
        assert (inputs["mark"][~inside] == 0).all()
        assert (inputs["mark"][inside] > 0).all()
        number = inputs["place"][..., 0] * WIDTH + inputs["place"][..., 1]
        np.testing.assert_array_equal(number[inside], label[inside])
        places.update(inside.any(axis=2).argmax(axis=1).tolist())
    assert len(places) > 2


def test_an_epoch_shows_every_example_at_most_once_in_a_new_order(config):
    steps = load_data(config).train()[1]
    assert steps == COUNT // config.batch_size
    marks = [
        inputs["mark"][:, 0, 0, 0] for inputs, _ in batches(config, 6 * steps)
    ]
    epochs = np.array(marks).reshape(6, -1)
    assert all(len(set(epoch)) == steps * 3 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert set(epochs.ravel()) == {1.0 + index for index in range(COUNT)}


def test_a_later_first_epoch_gives_what_skipping_epochs_gives(config):
    config = dataclasses.replace(config, jitter=0.3, scale=(0.7, 1.6))
    steps = load_data(config).train()[1]
    for epoch in (1, 3):
        skipped = batches(config, (epoch + 2) * steps)[epoch * steps :]
        assert_equal_batches(batches(config, 2 * steps, epoch), skipped)


def test_the_seed_alone_decides_the_data(config):
    config = dataclasses.replace(config, jitter=0.3, scale=(0.7, 1.6))
    tf.random.set_seed(1)
    first = batches(config, 3)
    tf.random.set_seed(2)
    assert_equal_batches(first, batches(config, 3))
    other = batches(dataclasses.replace(config, seed=1), 3)
    assert any(
        (one[0]["place"] != two[0]["place"]).any()
        for one, two in zip(first, other, strict=True)
    )


def test_examples_too_large_for_memory_give_the_same(config, monkeypatch):
    kept = batches(config, 4)
    monkeypatch.setattr(data, "MEMORY_BYTES", 0)
    assert_equal_batches(kept, batches(config, 4))
    validation = load_data(config).split("validation")[1].as_numpy_iterator()
    assert [len(inputs["mark"]) for inputs, _ in validation] == [1, 1, 1]


def test_jitter_is_one_line_per_image_and_modality(config):
    config = dataclasses.replace(config, jitter=0.3)
    lines = []
    for inputs, targets in batches(config, 8):
        for image, label in zip(
            inputs["number"], targets["number"], strict=True
        ):
            slope, offset = np.polyfit(label.ravel(), image[..., 0].ravel(), 1)
            np.testing.assert_allclose(
                slope * label + offset, image[..., 0], atol=1e-2
            )
            lines.append((slope - 1, offset))
    assert np.abs(lines).max() <= 0.3 + 1e-3
    assert np.ptp(lines, axis=0).min() > 0.2


def test_evaluation_keeps_whole_images_and_the_last_batch(config):
    loaded = load_data(dataclasses.replace(config, batch_size=2))
    sizes = []
    for inputs, targets in loaded.split("validation")[1].as_numpy_iterator():
        sizes.append(len(inputs["mark"]))
        expected = np.arange(HEIGHT * WIDTH).reshape(1, HEIGHT, WIDTH)
        assert (targets["ensemble"] == expected).all()
        assert (inputs["number"] == expected[..., None]).all()
    assert sizes == [2, 1]
    assert tuple(loaded.sizes) == ("train", "validation")


def test_images_of_different_sizes_are_evaluated_one_by_one(config, tmp_path):
    write_places(tmp_path, "validation", 1, first=50, size=(9, 11))
    shapes = [
        targets["mark"].shape
        for _, targets in load_data(config)
        .split("validation")[1]
        .as_numpy_iterator()
    ]
    assert shapes == [(1, HEIGHT, WIDTH)] * 3 + [(1, 9, 11)]


def test_standardized_images_have_zero_mean_and_unit_variance(config):
    config = dataclasses.replace(config, standardize="image")
    inputs, _ = next(
        load_data(config).split("validation")[1].as_numpy_iterator()
    )
    for name in ("place", "number"):
        flat = inputs[name].reshape(len(inputs[name]), -1)
        np.testing.assert_allclose(flat.mean(axis=1), 0, atol=1e-4)
        np.testing.assert_allclose(flat.std(axis=1), 1, atol=1e-4)
    assert (inputs["mark"] == 0).all()


def test_published_standardization_has_the_published_constants(tmp_path):
    folder = tmp_path / "train"
    write(folder / "rgb/1.png", np.full((4, 4, 3), (255, 0, 51), "uint8"))
    write(folder / "depth/1.png", np.full((4, 4), 12500, "uint16"))
    write(folder / "label/1.png", np.zeros((4, 4), "uint8"))
    config = Small(
        data_dir=str(tmp_path),
        batch_size=1,
        crop=4,
        scale=(1.0, 1.0),
        jitter=0.0,
        standardize="published",
    )
    inputs, _ = batches(config, 1)[0]
    np.testing.assert_allclose(
        inputs["rgb"][0, 0, 0],
        [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225],
        rtol=1e-5,
    )
    np.testing.assert_allclose(inputs["depth"], 2.5, rtol=1e-6)


def test_resize_brings_the_short_side_to_its_length(config):
    config = dataclasses.replace(config, resize=6)
    inputs, targets = next(
        load_data(config).split("validation")[1].as_numpy_iterator()
    )
    assert targets["mark"].shape == (3, 6, 10)
    rows, columns = np.divmod(targets["mark"], WIDTH)
    # Centers of 2 x 2 blocks lie half a pixel from the label's pixel.
    expected = np.arange(1, 5) * 2 + 0.5
    np.testing.assert_allclose(inputs["place"][0, 1:5, 5, 0], expected)
    assert np.abs(inputs["place"][..., 0] - rows).max() <= 0.75
    assert np.abs(inputs["place"][..., 1] - columns).max() <= 0.75


def test_unlabeled_images_come_with_their_id_and_original_size(
    config, tmp_path
):
    config = dataclasses.replace(config, resize=6)
    for path in (tmp_path / "validation/label").iterdir():
        path.unlink()
    found = list(unlabeled(config, tmp_path / "validation", []))
    assert [identifier for identifier, _, _ in found] == ["7", "8", "9"]
    for identifier, inputs, size in found:
        assert size == (HEIGHT, WIDTH)
        assert inputs["mark"].shape == (1, 6, 10, 3)
        assert inputs["mark"].dtype == "float32"
        np.testing.assert_allclose(inputs["mark"], int(identifier) + 1)


def test_a_folder_of_splits_is_predicted_by_its_last_part(config, tmp_path):
    write_places(tmp_path, "test", 1, first=70)
    assert [i for i, _, _ in unlabeled(config, tmp_path, [])] == ["70"]


def test_a_folder_with_a_test_part_alone_can_be_evaluated(config, tmp_path):
    write_places(tmp_path / "other", "test", 2)
    loaded = load_data(
        dataclasses.replace(config, data_dir=str(tmp_path / "other"))
    )
    assert tuple(loaded.sizes) == ("test",)
    with pytest.raises(ValueError, match="no train split; it has: test"):
        loaded.train()
    assert len(list(loaded.split("test")[1])) == 1


def test_the_data_tell_classes_and_channels(config, tmp_path):
    (tmp_path / "classes.txt").write_text("one\ntwo\n")
    source = aligned_images.find(config.data_dir, config.modalities)
    assert source.classes == ("one", "two")
    assert source.channels == {"place": 3, "number": 1, "mark": 1}


def test_other_bands_are_refused_before_anything_is_built(tmp_path):
    for name in ("place", "label"):
        bands = np.zeros((4, 4, 4) if name == "place" else (4, 4), "uint8")
        write(tmp_path / "train" / name / "1.npy", bands)
    config = Small(data_dir=str(tmp_path), modalities=("place",))
    with pytest.raises(ValueError, match="1 or 3 channels, received place 4"):
        load_data(config)


def test_a_damaged_prepared_set_is_named(tmp_path):
    (tmp_path / "dataset_info.json").write_text("garbage")
    with pytest.raises(ValueError, match=r"dataset_info.json could not be re"):
        load_data(Small(data_dir=str(tmp_path)))


def test_rooms_are_the_default_and_keep_their_class_names(
    tmp_path, monkeypatch
):
    tiny = rooms.RoomsConfig(size=16, train=4, validation=2, test=1)
    builder = rooms.prepare(tmp_path, tiny)
    monkeypatch.setattr(rooms, "prepare", lambda: builder)
    config = Small(batch_size=2, crop=16)
    assert load_data(config).config.classes == rooms.CLASSES
    embedded = load_data(config)
    named = load_data(
        dataclasses.replace(config, data_dir=str(builder.data_dir))
    )
    for one, two in zip(
        embedded.split("test")[1], named.split("test")[1], strict=True
    ):
        tf.nest.map_structure(np.testing.assert_array_equal, one, two)
        assert one[0]["depth"].shape == (1, 16, 16, 3)
    with pytest.raises(ValueError, match="no images called 'thermal'; its mod"):
        load_data(dataclasses.replace(config, modalities=("rgb", "thermal")))


def test_a_batch_larger_than_the_training_part_is_refused(config):
    with pytest.raises(ValueError, match="7 examples, fewer than a batch of 8"):
        load_data(dataclasses.replace(config, batch_size=8)).train()


def test_a_folder_of_something_else_lists_what_was_expected(config, tmp_path):
    config = dataclasses.replace(config, data_dir=str(tmp_path / "train"))
    with pytest.raises(ValueError, match="has none of train/, .*dataset_inf"):
        load_data(config)


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        (("place", "label"), "what is to be predicted"),
        (("place", "place"), "same value twice"),
        ((), "at least 1 item"),
    ],
)
def test_modalities_that_cannot_be_are_refused(config, modalities, message):
    with pytest.raises(ValueError, match=message):
        load_data(dataclasses.replace(config, modalities=modalities))
