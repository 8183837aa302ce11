"""Encoders that know something already, on pictures that the tests write."""

import csv
import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from applications import cli
from applications.multimodal_classification import Config
from applications.multimodal_classification import build_model
from applications.multimodal_classification import frozen
from applications.multimodal_classification import image_encoders
from applications.multimodal_classification import load_data
from applications.runs import Run
from keras_fusion import models

TASK = "multimodal_classification"
SIDE = 32
NETWORK = "MobileNet"
SMALL = {"image_side": SIDE, "units": 8, "text_length": 4, "epochs": 2}
TINY = [
    flag
    for name, value in SMALL.items()
    for flag in (f"--{name.replace('_', '-')}", str(value))
]


@pytest.fixture(scope="module")
def fruit(tmp_path_factory):
    """Rows with two columns of pictures, every fourth of the first missing."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    rows = []
    for index in range(48):
        red = rng.integers(2)
        pixels = rng.integers(0, 60, (SIDE, SIDE, 3)) + [150 * red, 90, 20]
        for view in ("front", "back"):
            image = Image.fromarray(pixels.astype("uint8"))
            image.save(root / f"{view}{index}.png")
        rows.append(
            {
                "front": f"front{index}.png" if index % 4 else "",
                "back": f"back{index}.png",
                "says": ["hard", "soft"][rng.integers(2)],
                "label": ["green", "red"][red],
            }
        )
    with open(root / "train.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return root


@pytest.fixture(scope="module")
def network():
    """The network itself, its statistics such that they matter."""
    keras.utils.set_random_seed(1)
    model = getattr(keras.applications, NETWORK)(
        include_top=False, weights=None, input_shape=(SIDE, SIDE, 3)
    )
    rng = np.random.default_rng(2)
    for weight in model.weights:
        if weight.name == "moving_variance":
            # So small that pictures differ in their features.
            weight.assign(rng.uniform(0.02, 0.05, weight.shape))
        elif weight.name == "gamma":
            weight.assign(rng.uniform(0.8, 1.2, weight.shape))
        elif weight.name in ("beta", "moving_mean"):
            weight.assign(rng.uniform(-0.2, 0.2, weight.shape))
    return model


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "net.weights.h5"
    network.save_weights(file)
    return str(file)


@pytest.fixture
def encodings(monkeypatch):
    """How many pictures went through an encoder of the data, call by call."""
    counts, make = [], image_encoders.make

    def counted(config):
        encoder = make(config)
        predict = encoder.predict

        def count(values, **kwargs):
            counts.append(len(values))
            return predict(values, **kwargs)

        encoder.predict = count
        return encoder

    monkeypatch.setattr(image_encoders, "make", counted)
    return counts


def config_of(fruit, weights, **settings):
    start = {"image_encoder": NETWORK, "image_weights": weights}
    config = Config(data_dir=str(fruit), **(SMALL | start | settings))
    return load_data(config).config


def test_frozen_features_are_the_networks_own(fruit, network, weights):
    data = load_data(config_of(fruit, weights))
    inputs, _ = next(iter(data.split("validation")[1]))
    pictures = inputs["back"].numpy()
    assert pictures.max() > 100
    # What MobileNet is documented to want, from -1 to 1.
    expected = network(pictures / 127.5 - 1, training=False).numpy()
    expected = expected.mean(axis=(1, 2))
    np.testing.assert_allclose(inputs["back:features"], expected, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 1e-2


@pytest.mark.parametrize("name", ["ResNet50", "SqueezeNet"])
def test_networks_of_caffe_get_blue_first_less_means(fruit, tmp_path, name):
    config = dataclasses.replace(
        config_of(fruit, None, image_encoder=name, fine_tune=True)
    )
    encoder = image_encoders.make(config)
    (network,) = [x for x in encoder.layers if isinstance(x, keras.Model)]
    picture = np.random.default_rng(0).uniform(0, 255, (2, SIDE, SIDE, 3))
    wanted = picture[..., ::-1] - [103.939, 116.779, 123.68]
    wanted = wanted.astype("float32")
    maps = network({"image": wanted} if name == "SqueezeNet" else wanted)
    maps = maps["features"] if name == "SqueezeNet" else maps
    np.testing.assert_allclose(
        encoder(picture.astype("float32")),
        np.mean(maps, axis=(1, 2)),
        rtol=1e-3,
        atol=1e-4,
    )


def test_features_are_computed_once_for_each_split(fruit, weights, encodings):
    data = load_data(config_of(fruit, weights))
    for epoch in (0, 1, 5):
        batches, steps = data.train(epoch)
        for inputs, _ in batches.take(2 * steps):
            assert {"front:features", "back:features"} < set(inputs)
            assert not {"front", "back"} & set(inputs)
    for _ in range(3):
        list(data.split("validation")[1])
    train, held = data.sizes["train"], data.sizes["validation"]
    # Two columns of each split.
    assert sorted(encodings) == sorted([train, train, held, held])


def test_the_model_is_the_same_with_pictures_and_with_features(fruit, weights):
    data = load_data(config_of(fruit, weights))
    model = build_model(data.config)
    inputs, _ = next(iter(data.split("validation")[1]))
    pictures = {name: inputs[name] for name in model.input}
    features = {n: x for n, x in inputs.items() if n not in ("front", "back")}
    expected = model(pictures, training=False)["label"]
    for given in (inputs, features):
        found = model(given, training=False)["label"]
        np.testing.assert_allclose(found, expected, atol=1e-4)
    other = features | {"back:features": features["back:features"] + 1}
    changed = model(other, training=False)["label"]
    assert np.abs(changed - expected).max() > 1e-3


@pytest.mark.parametrize("fine_tune", [False, True])
def test_what_learns(fruit, weights, fine_tune):
    data = load_data(
        config_of(fruit, weights, fine_tune=fine_tune, images=("front",))
    )
    model = build_model(data.config)
    encoder = model.get_layer("image_encoder")
    inputs, targets = next(iter(data.train()[0]))
    assert ("front" in inputs) == fine_tune
    before = {w.path: np.array(w) for w in encoder.weights}
    rest = {
        w.path: np.array(w)
        for w in model.trainable_weights
        if w.path not in before
    }
    logs = model.train_on_batch(inputs, targets, return_dict=True)
    assert np.isfinite(logs["loss"])
    norm = ("gamma", "beta", "moving_mean", "moving_variance")
    for weight in encoder.weights:
        has_moved = bool(np.any(np.array(weight) != before[weight.path]))
        assert has_moved == (fine_tune and weight.name not in norm), weight.path
    for weight in model.trainable_weights:
        if weight.path in rest:
            assert np.any(np.array(weight) != rest[weight.path]), weight.path


@pytest.fixture(scope="module")
def squeezenet():
    keras.utils.set_random_seed(3)
    return models.squeezenet((SIDE, SIDE, 3))


@pytest.fixture(scope="module")
def trained(fruit, squeezenet, tmp_path_factory):
    runs_dir = tmp_path_factory.mktemp("runs")
    weights = str(runs_dir / "squeezenet.weights.h5")
    squeezenet.save_weights(weights)
    flags = (
        *("--data-dir", str(fruit), "--runs-dir", str(runs_dir)),
        *("--image-encoder", "SqueezeNet", "--image-weights", weights),
    )
    assert cli.main([TASK, "train", *TINY, *flags]) == 0
    return Run(TASK, runs_dir / TASK / "default")


def test_a_frozen_run_takes_pictures_in_every_verb(
    trained, fruit, tmp_path, squeezenet
):
    run = ("--run", str(trained.folder))
    model = keras.models.load_model(trained.folder / "model.keras")
    assert set(model.input) == {"front", "back", "table", "presence"}
    encoder = model.get_layer("image_encoder")
    assert not encoder.trainable_weights
    for ours, theirs in zip(encoder.weights, squeezenet.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for verb in ("evaluate", "graph", "export"):
        assert cli.main([TASK, verb, *run]) == 0
    served = tf.saved_model.load(str(trained.folder / "export/saved_model"))
    inputs, _ = next(iter(trained.data().split("validation")[1]))
    pictures = {name: inputs[name] for name in model.input}
    np.testing.assert_allclose(
        served.serve(pictures)["label"],
        model(pictures, training=False)["label"],
        atol=1e-4,
    )
    flags = ("--data-dir", str(fruit), "--out", str(tmp_path / "out"))
    assert cli.main([TASK, "predict", *run, *flags]) == 0
    with open(tmp_path / "out" / "train.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    # A picture that was never there changes nothing.
    changes = np.array([float(row["without front"]) for row in rows])
    assert not changes[::4].any()
    said = (trained.folder / "data.txt").read_text()
    assert "pictures' encoder SqueezeNet, from " in said and "frozen" in said


def test_a_run_does_not_need_the_file_any_more(trained):
    settings = json.loads((trained.folder / "config.json").read_text())
    model = trained.model()
    scores = []
    for file in (settings["image_weights"], "no longer there.h5"):
        config = dataclasses.replace(trained.config, image_weights=file)
        dataset = load_data(config).split("validation")[1]
        task = cli.load_task(TASK)
        scores.append(task.measure(model, dataset, config)["log_loss"])
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_another_file_in_its_place_is_noticed(trained, tmp_path):
    other = models.squeezenet((SIDE, SIDE, 3))
    other.save_weights(tmp_path / "other.weights.h5")
    file = str(tmp_path / "other.weights.h5")
    config = dataclasses.replace(trained.config, image_weights=file)
    dataset = load_data(config).split("validation")[1]
    callback = frozen.CheckFeatures(next(iter(dataset)), config)
    callback.set_model(trained.model())
    with pytest.raises(ValueError, match="are not those that the run"):
        callback.on_train_begin()
    with pytest.raises(ValueError, match="are not those that the run"):
        cli.load_task(TASK).measure(trained.model(), dataset, config)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--image-encoder", "ResNet51"), "must be convolutions, or one of "),
        (("--image-encoder", NETWORK), "would stay as random as it starts"),
        (("--image-weights", "WEIGHTS"), "for a network that --image-encoder"),
        (
            ("--image-encoder", NETWORK, "--image-weights", "nowhere.h5"),
            "must be an existing file",
        ),
        (
            ("--image-encoder", "ResNet50", "--image-weights", "WEIGHTS"),
            "must hold the weights of ResNet50 without its top",
        ),
        (
            ("--image-encoder", "SqueezeNet", "--image-weights", "TEXT"),
            "must hold the weights of SqueezeNet without its top",
        ),
        (
            ("--image-encoder", NETWORK, "--image-weights", "CSV"),
            "ending in .h5 or .weights.h5",
        ),
        (
            ("--image-encoder", NETWORK, "--fine-tune", "--image-side", "16"),
            "cannot take pictures of --image-side 16",
        ),
    ],
)
def test_what_is_wrong_is_one_line(
    fruit, weights, tmp_path, capsys, flags, message
):
    (tmp_path / "text.h5").write_text("no weights")
    places = {
        "WEIGHTS": weights,
        "TEXT": str(tmp_path / "text.h5"),
        "CSV": str(fruit / "train.csv"),
    }
    flags = [places.get(flag, flag) for flag in flags]
    data = ("--data-dir", str(fruit), "--runs-dir", str(tmp_path / "runs"))
    assert cli.main([TASK, "train", *TINY, *data, *flags]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_every_network_has_its_preprocessing():
    for name in image_encoders.names():
        prepare = image_encoders._preprocessing(name)
        picture = np.full((1, 4, 4, 3), 200.0, "float32")
        assert np.shape(prepare(picture)) == (1, 4, 4, 3)
        module = prepare.__module__
        own = module.startswith(("keras.src.applications", "applications"))
        assert own, name
