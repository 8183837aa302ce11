import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from applications.image_classification import sources
from applications.image_classification.config import Config
from applications.image_classification.data import augment
from applications.image_classification.data import interleaved
from applications.image_classification.data import load_data
from applications.image_classification.data import standardize


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images whose gray level is their number; a third as many are of b."""
    root = tmp_path_factory.mktemp("levels")
    for index in range(40):
        path = root / ("b" if index % 4 == 3 else "a") / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (6, 4), index).save(path)
    return root


@pytest.fixture
def config(folder):
    given = Config(data_dir=str(folder), batch_size=7, standardize="unit")
    return load_data(given).config


def batches(config, count, first_epoch=0):
    train, _ = load_data(config).train(first_epoch)
    return list(itertools.islice(train.as_numpy_iterator(), count))


def read(config, split):
    return sources.find(config).read(split)


def numbers(batch):
    """Which images are in a batch, by their gray levels."""
    levels = np.rint((batch[0]["image"] + 1) * 127.5).astype(int)
    return levels[:, 0, 0, 0]


def test_the_data_decide_classes_and_shape(config):
    assert config.classes == ("a", "b")
    assert config.image_shape == (4, 6, 1)


def test_an_epoch_shows_every_image_at_most_once_with_its_class(config):
    steps = load_data(config).train()[1]
    # Of 30 and 10 images a tenth each is held out.
    assert steps == 36 // 7
    for epoch in range(2):
        seen = batches(config, steps, first_epoch=epoch)
        found = np.concatenate([numbers(batch) for batch in seen])
        labels = np.concatenate([batch[1]["label"] for batch in seen])
        assert len(set(found)) == steps * 7
        np.testing.assert_array_equal(labels, found % 4 == 3)


def test_batches_are_a_function_of_seed_and_epoch(config):
    config = dataclasses.replace(config, mirror=True, shift=2)
    steps = load_data(config).train()[1]
    whole = batches(config, 3 * steps)
    resumed = batches(config, 2 * steps, first_epoch=1)
    for one, two in zip(whole[steps:], resumed, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, one, two)
    other = batches(dataclasses.replace(config, seed=1), steps)
    assert any(
        not np.array_equal(one[0]["image"], two[0]["image"])
        for one, two in zip(whole, other, strict=False)
    )
    first, second = whole[:steps], whole[steps : 2 * steps]
    assert any(
        not np.array_equal(one[1]["label"], two[1]["label"])
        for one, two in zip(first, second, strict=True)
    )


def test_no_held_out_image_is_trained_on(config):
    _, validation = load_data(config).split("validation")
    held = [
        number
        for batch in validation.as_numpy_iterator()
        for number in numbers(batch)
    ]
    steps = load_data(config).train()[1]
    trained = {n for batch in batches(config, steps) for n in numbers(batch)}
    assert held and not trained & set(held)
    assert tuple(load_data(config).sizes) == ("train", "validation")


def test_classes_take_turns_where_nothing_is_learned():
    labels = np.array([0, 0, 0, 0, 2, 2, 1])
    order = interleaved(labels)
    assert labels[order].tolist() == [0, 1, 2, 0, 2, 0, 0]
    assert order.tolist() == [0, 6, 4, 1, 5, 2, 3]


def test_contrast_is_normalized_image_by_image(rng):
    images = rng.integers(0, 256, (5, 8, 8, 3)).astype("uint8")
    config = Config(contrast_scale=2.5)
    outputs = standardize(images, config).numpy().reshape(5, -1)
    np.testing.assert_allclose(outputs.mean(axis=1), np.zeros(5), atol=1e-5)
    np.testing.assert_allclose(outputs.std(axis=1), np.full(5, 2.5), rtol=1e-5)


def test_images_without_contrast_are_held_by_the_floor():
    images = np.full((2, 8, 8, 1), 200, "uint8")
    # Deviation 1/2, half of the floor.
    images[1, ::2] += 1
    outputs = standardize(images, Config(contrast_floor=1.0)).numpy()
    assert not outputs[0].any()
    np.testing.assert_allclose(np.abs(outputs[1]), 0.5, rtol=1e-5)


def test_other_ways_to_standardize():
    images = np.array([0, 255], "uint8").reshape(1, 2, 1, 1) + np.zeros(
        (1, 2, 1, 3), "uint8"
    )
    unit = standardize(images, Config(standardize="unit")).numpy()
    assert unit.min() == -1 and unit.max() == 1
    means = standardize(images, Config(standardize="imagenet")).numpy()
    np.testing.assert_array_equal(means[0, 0, 0], [-123, -117, -104])


@pytest.fixture
def places():
    """Every pixel holds its own row and column, from 1."""
    rows, columns = np.indices((6, 8)) + 1
    image = np.stack([rows, columns], axis=-1).astype("float32")
    return tf.constant(np.tile(image, (64, 1, 1, 1)))


def test_mirrored_images_are_whole_and_about_half_of_all(places):
    outputs = augment(places, [1, 2], Config(mirror=True)).numpy()
    mirrored = outputs[:, 0, 0, 1] == 8
    assert 0.2 < mirrored.mean() < 0.8
    np.testing.assert_array_equal(
        np.where(mirrored[:, None, None, None], outputs[:, :, ::-1], outputs),
        places,
    )


def test_moved_images_reach_every_place_and_are_zero_where_nothing_was(places):
    outputs = augment(places, [1, 2], Config(shift=1)).numpy()
    offsets = set()
    for image in outputs:
        inside = image[..., 0] > 0
        assert (image[~inside] == 0).all()
        rows, columns = np.indices((6, 8)) + 1
        (row,) = set((image[..., 0] - rows)[inside])
        (column,) = set((image[..., 1] - columns)[inside])
        offsets.add((row, column))
        assert inside.sum() == (6 - abs(row)) * (8 - abs(column))
    assert offsets == set(itertools.product((-1, 0, 1), repeat=2))


def test_without_augmentation_images_stay_as_they_are(places):
    outputs = augment(places, [1, 2], Config())
    np.testing.assert_array_equal(outputs, places)


def test_a_limit_takes_the_first_of_every_class(config):
    few = dataclasses.replace(config, limit=3)
    limited = read(few, "train")
    assert np.bincount(limited.labels).tolist() == [3, 3]
    held = read(few, "validation"), read(config, "validation")
    assert len(held[0].labels) == len(held[1].labels)
    first = limited.images[limited.labels == 0]
    np.testing.assert_array_equal(first[:, 0, 0, 0], [0, 1, 2])


def test_images_are_brought_to_the_shape_that_is_asked_for(config):
    for shape in ((8, 8, 3), (2, 3, 1)):
        other = dataclasses.replace(config, image_shape=shape)
        images = read(other, "train").images
        assert images.shape[1:] == shape
        assert sorted(images[:, 0, 0, 0]) == sorted(
            read(config, "train").images[:, 0, 0, 0]
        )
    shape = (16, 16, 3)
    digits = read(Config(image_shape=shape, classes=()), "train")
    assert digits.images.shape[1:] == shape


def test_companions_get_the_label_too(config):
    config = dataclasses.replace(config, head="dsn")
    _, targets = batches(config, 1)[0]
    assert set(targets) == {"label", "companion_pool1", "companion_pool2"}
    for target in targets.values():
        np.testing.assert_array_equal(target, targets["label"])


class Levels(tfds.core.GeneratorBasedBuilder):
    """Images of one gray level, and its rest by 3."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(4, 6, 3)),
                    "label": tfds.features.ClassLabel(names=["x", "y", "z"]),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(30),
            "test": self._generate_examples(6),
        }

    def _generate_examples(self, count):
        for index in range(count):
            image = np.full((4, 6, 3), 8 * index, "uint8")
            yield index, {"image": image, "label": index % 3}


def test_a_prepared_tfds_set_is_read_from_its_folder(tmp_path):
    builder = Levels(data_dir=tmp_path)
    builder.download_and_prepare(file_format="tfrecord")
    config = load_data(
        Config(data_dir=str(builder.data_dir), held_out=0.2)
    ).config
    assert config.classes == ("x", "y", "z")
    assert config.image_shape == (4, 6, 3)
    source = sources.find(config)
    splits = {name: source.read(name) for name in source.sizes}
    sizes = {name: len(split.labels) for name, split in splits.items()}
    assert sizes == {"train": 24, "validation": 6, "test": 6}
    assert source.notes == ("validation is 1 in 5 of train",)
    for split in splits.values():
        np.testing.assert_array_equal(
            split.labels, split.images[:, 0, 0, 0] // 8 % 3
        )


def test_a_set_that_is_not_there_is_one_error():
    with pytest.raises(ValueError, match="'no_such_set' could not be loaded"):
        load_data(Config(dataset="no_such_set"))


def test_a_batch_larger_than_the_training_part_is_refused(config):
    with pytest.raises(ValueError, match="36 examples, fewer than a batch of"):
        load_data(dataclasses.replace(config, batch_size=37)).train()
