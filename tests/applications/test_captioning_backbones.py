"""Backbones that make features once, from files that the tests write."""

import keras
import numpy as np
import pytest

from applications import cli
from applications.captioning import Config
from applications.captioning import load_data
from applications.captioning import squeezenet
from applications.captioning.backbones import FEATURES_DIR
from applications.captioning.backbones import Features
from applications.datasets import rooms
from keras_fusion import models
from tests.applications.test_captioning_data import write


def pixels(rng, count=3, side=40):
    return rng.integers(0, 256, (count, side, side, 3)).astype("uint8")


def test_features_of_squeezenet_are_means_of_its_maps(tmp_path, rng):
    model = models.squeezenet()
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.1)
    model.save_weights(tmp_path / "own.weights.h5")
    seen = pixels(rng).astype("float32")
    found = squeezenet.open_weights(tmp_path / "own.weights.h5")(seen)
    # Blue first, less the mean of ImageNet.
    turned = seen[..., [2, 1, 0]] - np.array([103.939, 116.779, 123.68], "f")
    maps = keras.ops.convert_to_numpy(model({"image": turned})["features"])
    expected = maps.mean(axis=(1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert found.shape == (3, 512) and np.ptp(found) > 0


def test_features_are_made_once(tmp_path, rng, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs = keras.Input((None, None, 3))
    outputs = keras.layers.GlobalAveragePooling2D()(inputs)
    keras.Model(inputs, outputs).save("mean.keras")
    features = Features("saved_model", "mean.keras")
    assert features.shape(40) == (3,)
    seen = pixels(rng)
    first = features.of(seen)
    np.testing.assert_allclose(first, seen.mean(axis=(1, 2)), rtol=1e-4)
    (kept,) = (tmp_path / FEATURES_DIR).iterdir()
    np.save(kept, first + 1)
    np.testing.assert_array_equal(features.of(seen), first + 1)
    # Of other pixels others are made.
    other = features.of(255 - seen)
    np.testing.assert_allclose(other, 255 - first, rtol=1e-4)


@pytest.mark.parametrize(
    ("backbone", "content", "said"),
    [
        ("squeezenet", b"no weights", "does not hold the weights of Squeeze"),
        ("patches", b"no dictionary", "is no dictionary of patches"),
        ("saved_model", b"no model", "could not be read as a model of Keras"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, backbone, content, said):
    file = tmp_path / "file.keras"
    with pytest.raises(FileNotFoundError, match="encoder_weights must be a f"):
        Features(backbone, str(file))
    file.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        Features(backbone, str(file))


def test_a_backbone_and_its_file_belong_together():
    with pytest.raises(ValueError, match="squeezenet needs encoder_weights"):
        Config(backbone="squeezenet")
    with pytest.raises(ValueError, match="convolution has no file"):
        Config(encoder_weights="x.h5")
    with pytest.raises(ValueError, match="a multiple of num_heads"):
        Config(units=10, num_heads=4)


def test_a_dictionary_is_learned_and_used(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [("a.png", "a dog"), ("b.png", "a cat")]
    write(tmp_path / "data", rows)
    out = ("--out", "patches.npz", "--data-dir", "data", "--image-side", "32")
    assert cli.main(["captioning", "dictionary", *out]) == 0
    assert "128 patches of 2 images" in capsys.readouterr().out
    config = Config(
        data_dir="data",
        held_out=0.0,
        image_side=32,
        backbone="patches",
        encoder_weights="patches.npz",
    )
    data = load_data(config)
    assert data.config.feature_shape == (9, 9, 128)
    assert "9 x 9 x 128 features of patches" in data.describe("train")
    assert cli.main(["captioning", "dictionary", "--out", "x.txt"]) != 0
    assert "out must end in .npz" in capsys.readouterr().err


def test_a_prepared_set_of_images_and_captions_is_read(tmp_path):
    small = rooms.RoomsConfig(size=32, train=12, validation=2, test=3)
    builder = rooms.prepare(tmp_path, small)
    data = load_data(Config(data_dir=str(builder.data_dir), image_side=32))
    assert data.sizes == {"train": 12, "validation": 2, "test": 3}
    assert data.config.words[0] in (",", "a", "the", ".")
    inputs, _ = next(iter(data.split("test")[1]))
    assert inputs["image"].shape == (3, 32, 32, 3)
    expected = [rooms.room_example(0, "test", n, 32)["rgb"] for n in range(3)]
    found = sorted(inputs["image"].numpy().sum(axis=(1, 2, 3)))
    sums = sorted(float(image.astype("float32").sum()) for image in expected)
    np.testing.assert_allclose(found, sums)
