"""The task on pictures that the tests write."""

import csv
import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from applications import cli
from applications import export
from applications.inputs import image as images
from applications.multilabel_recognition import Config
from applications.multilabel_recognition import build_model
from applications.multilabel_recognition import data
from applications.multilabel_recognition import load_data
from applications.multilabel_recognition import model as models
from applications.runs import Run
from tests.applications.colored_blobs import COLORS
from tests.applications.colored_blobs import write_rows

TASK = "multilabel_recognition"
CLASSES = tuple(sorted(COLORS))
SMALL = (
    *("--epochs", "12", "--side", "32", "--blocks", "1", "--width", "8"),
    *("--units", "32", "--rank", "16", "--learning-rate", "0.01"),
    *("--crop", "0", "--batch-size", "20", "--jitter", "0"),
)
TINY = {"side": 32, "blocks": (1,), "width": 4, "units": 8, "rank": 4}


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("data") / "blobs")


@pytest.fixture(scope="module")
def trained(blobs, tmp_path_factory):
    runs_dir = tmp_path_factory.mktemp("runs")
    words = runs_dir / "words.txt"
    words.write_text("red 1 0 0 .5\nblue 0 1 0 .5\nother 0 0 0 1\n")
    flags = ("--word-vectors", str(words), "--data-dir", str(blobs))
    places = ("--runs-dir", str(runs_dir))
    assert cli.main([TASK, "train", *SMALL, *flags, *places]) == 0
    return Run(TASK, runs_dir / TASK / "default")


def test_colors_are_recognized_where_they_are(trained):
    metrics = trained.metrics()
    assert metrics["mean_average_precision"] > 0.95
    assert metrics["prevalence"] < 0.6
    assert metrics["pointing_accuracy"] > 0.8
    # A square touches 4 of 64 cells.
    assert metrics["pointing_chance"] == pytest.approx(4 / 64, abs=0.01)
    assert metrics["at_half"]["OF1"] > 0.8


def test_what_was_found_is_said(trained):
    said = (trained.folder / "data.txt").read_text()
    assert "learned, as " in said and "lacks them: green" in said
    assert "labels: 1." in said and "0.00 % unknown" in said
    assert trained.config.classes == CLASSES
    assert len(trained.config.cooccurrence) == 9


def test_pictures_of_the_run_show_maps_and_graph(trained):
    pictures = trained.folder / "pictures"
    panel, graph = (
        images.read(pictures / f"{name}.png")
        for name in ("panel", "cooccurrence")
    )
    assert panel.shape == (6 * 188, 4 * 160, 3)
    assert len(np.unique(panel.reshape(-1, 3), axis=0)) > 100
    assert graph.shape == (198, 198, 3)
    assert [*(trained.folder / "logs" / "cooccurrence").iterdir()]


def test_predictions_are_a_table_and_maps(trained, blobs, tmp_path):
    inputs, out = tmp_path / "new", tmp_path / "out"
    inputs.mkdir()
    pixels = np.full((32, 48, 3), 120, "uint8")
    pixels[8:16, 24:40] = COLORS["red"]
    Image.fromarray(pixels).save(inputs / "one.png")
    (inputs / "broken.png").write_bytes(b"no picture")
    places = ("--run", str(trained.folder), "--data-dir", str(inputs))
    status = cli.main([TASK, "predict", *places, "--out", str(out)])
    # The broken one is told.
    assert status == 1
    with open(out / "predictions.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["file"] == "one.png" and row["labels"] == "red"
    assert float(row["probability red"]) > 0.5
    found = images.read(out / "maps" / "one" / "red.png")
    assert found.shape == (32, 32, 3)
    # Brightest, where it is yellow, at the square.
    warm = found[..., 1].astype(int) - found[..., 2]
    row, column = np.unravel_index(warm.argmax(), warm.shape)
    assert 6 <= row < 18 and 14 <= column < 29


def test_evaluation_and_export(trained, blobs):
    run = str(trained.folder)
    assert cli.main([TASK, "evaluate", "--run", run]) == 0
    written = json.loads(
        (trained.folder / "evaluate-validation.json").read_text()
    )
    found = trained.metrics()["mean_average_precision"]
    assert written["mean_average_precision"] == pytest.approx(found)
    formats = ("--format", "saved_model", "onnx")
    assert cli.main([TASK, "export", "--run", run, *formats]) == 0


def test_what_onnx_lacks_is_one_line(tmp_path):
    model = build_model(
        Config(classes=CLASSES, pooling="compact_bilinear", **TINY)
    )
    inputs = {"rgb": tf.zeros((1, 32, 32, 3))}
    model(inputs)
    with pytest.raises(ValueError, match="ONNX cannot compute .*FFT") as error:
        export.EXPORTERS["onnx"](model, inputs, tmp_path / "onnx")
    assert "\n" not in str(error.value)
    assert "--format saved_model" in str(error.value)


def test_an_unknown_category_at_test_time_is_one_line(
    trained, blobs, tmp_path, capsys
):
    Image.new("RGB", (32, 32)).save(tmp_path / "0.png")
    (tmp_path / "test.csv").write_text("image,labels\n0.png,red|purple\n")
    places = ("--run", str(trained.folder), "--data-dir", str(tmp_path))
    assert cli.main([TASK, "evaluate", *places]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert "test.csv, row 1 has the category 'purple'" in said
    assert "blue, green, red" in said


def test_training_is_a_function_of_seed_and_epoch(blobs):
    config = Config(data_dir=str(blobs), **TINY)
    loaded = load_data(config)

    def first(epoch):
        inputs, targets = next(iter(loaded.train(epoch)[0]))
        return inputs["rgb"].numpy(), targets["label"].numpy()

    (before, labels), (again, same) = first(3), first(3)
    np.testing.assert_array_equal(before, again)
    np.testing.assert_array_equal(labels, same)
    assert np.any(first(4)[0] != before)


def test_augmentation_off_changes_nothing(rng):
    pixels = rng.integers(0, 256, (3, 32, 32, 3)).astype("float32")
    config = Config(**TINY, crop=0.0, mirror=False, jitter=0.0)
    same = data.augment(pixels, (1, 2), config)
    np.testing.assert_allclose(same, pixels, atol=1e-3)
    config = dataclasses.replace(config, mirror=True)
    turned = data.augment(pixels, (1, 2), config).numpy()
    for image, other in zip(pixels, turned, strict=True):
        errors = [np.abs(other - x).max() for x in (image, image[:, ::-1])]
        assert min(errors) < 1e-2


@pytest.mark.parametrize("fusion", ["map", "channels"])
def test_two_modalities_of_any_width_reach_the_model(tmp_path, fusion):
    rng = np.random.default_rng(0)
    for split in ("train", "validation"):
        for name in ("rgb", "depth", "kinds"):
            (tmp_path / split / name).mkdir(parents=True)
        for index in range(4):
            color = rng.integers(0, 256, (40, 40, 3)).astype("uint8")
            depth = rng.integers(0, 9000, (40, 40)).astype("uint16")
            mask = np.zeros((40, 40), "uint8")
            mask[5:15, 20:30] = 1 + index % 2
            mask[0, 0] = 3
            for name, array in (
                ("rgb", color),
                ("depth", depth),
                ("kinds", mask),
            ):
                path = tmp_path / split / name / f"{index}.png"
                Image.fromarray(array).save(path)
    config = Config(
        data_dir=str(tmp_path),
        modalities=("rgb", "depth"),
        mask="kinds",
        fusion=fusion,
        batch_size=2,
        **TINY,
    )
    loaded = load_data(config)
    assert loaded.config.classes == ("class 0", "class 1", "class 2", "class 3")
    inputs, targets = next(iter(loaded.split("validation")[1]))
    # One pixel of 1600 is too few to say that class 3 is there.
    assert (
        targets["label"].numpy().tolist()
        == [
            [1, 1, 0, -1],
            [1, 0, 1, -1],
        ]
        * 2
    )
    region = targets["attention"].numpy()[0, 1]
    assert region[7:21, 28:42].all() and region.sum() == 14 * 14
    model = build_model(loaded.config)
    assert [*model.input] == list(loaded.config.inputs)
    before = model(inputs, training=False)["label"].numpy()
    last = inputs[loaded.config.inputs[-1]].numpy()
    last[..., -1] = 255 - last[..., -1]
    changed = inputs | {loaded.config.inputs[-1]: tf.constant(last)}
    assert np.any(model(changed, training=False)["label"].numpy() != before)
    said = loaded.describe("train", "validation")
    assert "depth: 40 x 40 pixels, 1 channel, uint16" in said
    assert "warning: nothing to train on of: class 3" in said
    if fusion == "map":
        labels = np.asarray(loaded.config.cooccurrence).reshape(4, 4)
        assert labels[1].tolist() == [1, 0, 0, 0]


def test_a_model_of_keras_with_weights_of_a_file(tmp_path, blobs):
    weights = tmp_path / "mobile.weights.h5"
    network = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(64, 64, 3)
    )
    network.save_weights(weights)
    config = Config(
        architecture="MobileNetV2",
        side=64,
        backbone_weights=str(weights),
        backbone_rate=0.0,
        classes=CLASSES,
        map_pooling=2,
    )
    model = build_model(config)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3))
    scaled = pixels.astype("float32") / 127.5 - 1
    expected = network(scaled, training=False).numpy().mean(axis=(1, 2))
    backbone = next(x for x in model.layers if x.name.startswith("backbone"))
    found = backbone(pixels.astype("float32"), training=False).numpy()
    np.testing.assert_allclose(found[:, 0, 0], expected, atol=1e-4)
    assert not backbone.trainable_weights and model.trainable_weights
    config = dataclasses.replace(config, backbone_weights=str(tmp_path / "no"))
    with pytest.raises(FileNotFoundError, match="must be a file of Keras"):
        build_model(config)
    wrong = tmp_path / "wrong.weights.h5"
    wrong.write_bytes(b"nothing")
    config = dataclasses.replace(config, backbone_weights=str(wrong))
    with pytest.raises(ValueError, match="MobileNetV2 could not be built"):
        build_model(config)


def test_a_slower_backbone_has_its_own_rate():
    model = build_model(Config(classes=CLASSES, backbone_rate=0.1, **TINY))
    optimizer = model.optimizer
    optimizer.build(model.trainable_variables)
    for variable, factor in zip(
        model.trainable_variables, optimizer._factors, strict=True
    ):
        top = variable.path.split("/")[0]
        behind = ("pooling", "queries", "graph", "output", "classifiers")
        assert factor == (1 if top in behind else 0.1), variable.path


@pytest.mark.parametrize("name", ["binary", "focal", "asymmetric"])
def test_losses_leave_unknown_labels_out(name, rng):
    loss = models.make_loss(Config(loss=name))
    truth = np.array([[1, 0, -1], [0, -1, -1]], "float32")
    logits = rng.normal(size=(2, 3)).astype("float32")
    value = float(loss(truth, logits))
    logits[truth == -1] += 9
    assert float(loss(truth, logits)) == pytest.approx(value)
    assert value > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": "rgb"}, "modalities must not hold 'rgb'"),
        ({"backbone_weights": "x.h5"}, "are for an --architecture of keras"),
        ({"classes": ("a", "b"), "cooccurrence": (1.0,)}, "must hold 4 number"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(arguments, message):
    with pytest.raises(ValueError, match=message):
        Config(**arguments)
