import csv
import dataclasses
import functools
import inspect
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from applications import cli
from applications import evaluation
from applications import files
from applications import settings
from applications.image_classification import branches
from applications.image_classification import config as config_module
from applications.image_classification import data
from applications.image_classification import explain
from applications.image_classification import model as model_module
from applications.image_classification import pictures
from applications.image_classification import predictions
from applications.image_classification import scores
from applications.image_classification import sources
from applications.image_classification.config import PRESETS
from applications.image_classification.config import Config
from applications.image_classification.config import branch_names
from applications.image_classification.config import output_names
from applications.runs import Run
from keras_fusion import models
from keras_fusion.models import CLASSIFICATION_HEADS

TASK = "image_classification"
TINY = (
    *("--epochs", "2", "--batch-size", "8", "--learning-rate", "0.01"),
    *("--widths", "4", "6", "6", "--convolutions", "1", "--branch-width", "6"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Bars that stand, lie, or are not there."""
    root = tmp_path_factory.mktemp("bars")
    rng = np.random.default_rng(0)
    for split, count in (("train", 20), ("validation", 5), ("test", 6)):
        for label, name in enumerate(("empty", "lying", "standing")):
            for index in range(count):
                image = rng.integers(0, 60, (8, 8))
                place = rng.integers(0, 7)
                if label == 1:
                    image[place : place + 2] += 150
                if label == 2:
                    image[:, place : place + 2] += 150
                path = root / split / name / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image.astype("uint8")).save(path)
    return root


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    runs_dir = tmp_path_factory.mktemp("runs")
    command = [TASK, "train", "--data-dir", str(folder), *TINY]
    assert cli.main([*command, "--runs-dir", str(runs_dir)]) == 0
    return runs_dir / TASK / "default"


def test_a_run_holds_what_it_promises(run):
    metrics = files.read_json(run / "metrics.json")
    confusion = np.array(metrics["confusion"])
    assert confusion.shape == (3, 3) and confusion.sum() == 15
    assert metrics["accuracy"] == np.trace(confusion) / 15
    assert metrics["standardize"] == {
        "method": "contrast",
        "scale": 1.0,
        "floor": 1.0,
    }
    names = {"main", "pool1", "pool2"}
    for key in ("mean", "mean_absolute", "share", "contribution"):
        assert set(metrics["branches"][key]) == names
    for key in ("share", "contribution"):
        assert sum(metrics["branches"][key].values()) == pytest.approx(1)
    header = (run / "history.csv").read_text().splitlines()[0].split(",")
    for name in ("val_accuracy", "share_pool1", "contribution_main"):
        assert name in header
    with Image.open(run / "pictures" / "panel.png") as panel:
        assert panel.size == (8 * 96, 2 * (96 + 26))


def events(folder):
    """Tags of all summaries under a folder."""
    found = set()
    for path in folder.rglob("events.*"):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            found |= {value.tag for value in event.summary.value}
    return found


def test_tensorboard_shows_what_each_branch_counts(run):
    tags = events(run / "logs" / "fusion")
    for name in ("main", "pool1", "pool2"):
        assert f"weights/{name}" in tags
        for key in ("mean", "mean_absolute", "share", "contribution"):
            assert f"branches/{key}/{name}" in tags
    assert "panel" in events(run / "logs" / "pictures")


def test_evaluate_repeats_the_numbers_of_the_run(run):
    command = [TASK, "evaluate", "--run", str(run), "--split", "validation"]
    assert cli.main(command) == 0
    again = files.read_json(run / "evaluate-validation.json")
    first = files.read_json(run / "metrics.json")
    for key in ("accuracy", "confusion", "cross_entropy"):
        assert again[key] == first[key]


def test_scores_agree_with_keras(run):
    config = Run(TASK, run).config
    model = keras.models.load_model(run / "model.keras")
    dataset = data.load_data(config).split("test")[1]
    measured = scores.measure(model, dataset, config)
    logs = model.evaluate(dataset, verbose=0, return_dict=True)
    assert measured["accuracy"] == pytest.approx(logs["accuracy"])
    assert measured["cross_entropy"] == pytest.approx(logs["loss"], rel=1e-4)


def test_predict_writes_a_row_for_every_image(run, folder, tmp_path, capsys):
    images = tmp_path / "images"
    (images / "deep").mkdir(parents=True)
    source = folder / "test" / "lying" / "0.png"
    (images / "10.png").write_bytes(source.read_bytes())
    with Image.open(folder / "test" / "standing" / "1.png") as image:
        image.resize((30, 20)).convert("RGB").save(images / "deep" / "9.jpg")
    out = tmp_path / "out"
    command = [TASK, "predict", "--run", str(run)]
    flags = ["--data-dir", str(images), "--out", str(out)]
    assert cli.main([*command, *flags]) == 0
    with open(out / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["10.png", "deep/9.jpg"]
    names = ("empty", "lying", "standing")
    for row in rows:
        chances = [float(row[f"probability {name}"]) for name in names]
        assert sum(chances) == pytest.approx(1, abs=1e-5)
        assert row["label"] == names[int(np.argmax(chances))]

    config = Run(TASK, run).config
    model = keras.models.load_model(run / "model.keras")
    with Image.open(source) as image:
        pixels = np.asarray(image)[None, ..., None]
    logits = model({"image": data.standardize(pixels, config)})["label"][0]
    expected = np.exp(logits) / np.exp(logits).sum()
    received = [float(rows[0][f"probability {name}"]) for name in names]
    np.testing.assert_allclose(received, expected, atol=1e-5)


def test_predict_of_a_folder_without_images_says_so(run, tmp_path, capsys):
    (tmp_path / "none").mkdir()
    command = [TASK, "predict", "--run", str(run), "--out", str(tmp_path / "o")]
    assert cli.main([*command, "--data-dir", str(tmp_path / "none")]) == 2
    assert "holds no image" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_predict_leaves_out_what_it_cannot_read(run, tmp_path, capsys):
    Image.new("L", (8, 8), 5).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG")
    (tmp_path / "notes.txt").write_text("mine")
    out = tmp_path.parent / "predicted"
    command = [TASK, "predict", "--run", str(run), "--out", str(out)]
    assert cli.main([*command, "--data-dir", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "left out, not images: notes.txt" in said.out
    assert "1 of the examples could not be read" in said.err
    rows = (out / "predictions.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["file", "whole.png"]


def test_exports_agree_with_the_model(run):
    command = [TASK, "export", "--run", str(run)]
    assert cli.main([*command, "--format", "saved_model", "onnx"]) == 0
    served = tf.saved_model.load(str(run / "export" / "saved_model"))
    model = keras.models.load_model(run / "model.keras")
    image = np.random.default_rng(0).normal(size=(3, 8, 8, 1))
    inputs = {"image": image.astype("float32")}
    np.testing.assert_allclose(
        served.serve(inputs)["label"], model(inputs)["label"], atol=1e-5
    )


def test_explain_agrees_with_the_layer_itself(run, capsys):
    for split in ("test", "train"):
        command = [TASK, "explain", "--run", str(run), "--split", split]
        assert cli.main(command) == 0
        assert "contribution" in capsys.readouterr().out
        assert (run / "pictures" / f"branches-{split}.png").is_file()
    found = files.read_json(run / "explain-test.json")

    config = Run(TASK, run).config
    model = keras.models.load_model(run / "model.keras")
    layer = model.get_layer("fusion")
    images = np.concatenate(
        [x["image"] for x, _ in data.load_data(config).split("test")[1]]
    )
    watched = keras.Model(model.input, layer.input)
    vectors = [np.asarray(x) for x in watched({"image": images})]
    reached = np.stack(vectors).any(axis=(0, 1))
    expected = layer.branch_statistics(vectors)
    for key in ("mean", "mean_absolute", "share"):
        received = list(found["branches"][key].values())
        np.testing.assert_allclose(received, expected[key], rtol=1e-4)
    # A channel that no image reaches has no contributions.
    parts = np.abs(layer.branch_weights) * np.mean(vectors, axis=1).T
    parts = parts[reached] / parts[reached].sum(axis=1, keepdims=True)
    received = list(found["branches"]["contribution"].values())
    np.testing.assert_allclose(received, parts.mean(axis=0), rtol=1e-4)


def small_config(**kwargs):
    settings = {
        "classes": ("a", "b", "c"),
        "image_shape": (8, 8, 1),
        "widths": (3, 4, 4),
        "convolutions": 1,
        "branch_width": 5,
        "dropout": 0.0,
    }
    return Config(**{**settings, **kwargs})


@pytest.mark.parametrize("head", branches.WEIGHING)
@pytest.mark.parametrize("architecture", ["plain", "lenet"])
def test_weights_times_branches_are_what_is_fused(head, architecture):
    config = small_config(head=head, architecture=architecture)
    model = model_module.build_model(config)
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 1))
    inputs = {"image": image.astype("float32")}
    weights, met = branches.Branches(model, config).measure([(inputs, None)])
    assert weights.shape == met.shape and met.shape[1] == 3
    if architecture == "lenet":
        # Its main branch goes below zero; the size of what is met does not.
        assert met.min() >= 0
        return
    fused = (weights * met).sum(axis=1)
    if head == "eplf":
        # Scores may be negative: only their sizes are measured.
        return
    classifier = model.get_layer("label_classifier")
    watched = keras.Model(model.input, classifier.input)
    np.testing.assert_allclose(watched(inputs)[0], fused, rtol=1e-4, atol=1e-6)


def test_strips_of_weights_are_red_above_zero_and_blue_below():
    colors = pictures.signed(np.array([[1.0, 0.0, -0.5]]))
    np.testing.assert_array_equal(
        colors, [[[255, 0, 0], [255, 255, 255], [128, 128, 255]]]
    )
    picture = pictures.draw_branches(
        ("main", "side"), np.array([[2.0, -2.0]]), np.array([[1.0, 1.0]])
    )
    reds = (picture == [255, 0, 0]).all(axis=-1).sum()
    blues = (picture == [0, 0, 255]).all(axis=-1).sum()
    assert reds == blues > 0


def test_runs_without_weighted_branches_cannot_be_explained(
    folder, tmp_path, capsys
):
    command = [TASK, "train", "--data-dir", str(folder), *TINY]
    flags = ["--head", "dsn", "--runs-dir", str(tmp_path), "--name", "dsn"]
    assert cli.main([*command, *flags]) == 0
    metrics = files.read_json(tmp_path / TASK / "dsn" / "metrics.json")
    assert "branches" not in metrics
    header, *rows = (
        (tmp_path / TASK / "dsn" / "history.csv").read_text().splitlines()
    )
    place = header.split(",").index("companion_factor")
    assert [float(row.split(",")[place]) for row in rows] == [1.0, 0.5]
    capsys.readouterr()
    command = [TASK, "explain", "--run", "dsn", "--runs-dir", str(tmp_path)]
    assert cli.main(command) == 2
    assert "weighted sum" in capsys.readouterr().err
    command[1] = "export"
    assert cli.main(command) == 0


@pytest.mark.parametrize(
    "changes",
    [
        *({"head": head} for head in CLASSIFICATION_HEADS),
        {"architecture": "lenet", "image_shape": (28, 28, 1)},
        {"architecture": "network_in_network", "head": "last"},
        {"architecture": "network_in_network", "head": "dsn"},
        {"architecture": "squeeze_excite_resnet", "head": "last"},
        {"architecture": "squeeze_excite_inception", "head": "last"},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_outputs_and_branches_are_those_that_settings_announce(changes):
    config = small_config(**changes)
    model = model_module.build_model(config)
    assert set(model.output) == set(output_names(config))
    assert model.output["label"].shape == (None, 3)
    if branches.has_branches(config):
        found = branches.Branches(model, config)
        image = np.ones((2, *config.image_shape), "float32")
        weights, _ = found.measure([({"image": image}, None)])
        assert weights.shape[1] == len(branch_names(config))


@pytest.mark.parametrize(
    "name",
    ["cfn_cifar10", "cfn_cifar100", "cfn_imagenet", "nin_cifar10"]
    + ["nin_cifar100"],
)
def test_presets_build_the_shipped_networks(name):
    totals = {
        "cfn_cifar10": (10, (32, 32, 3), 1_343_146),
        "cfn_cifar100": (100, (32, 32, 3), 2_386_276),
        "cfn_imagenet": (1000, (224, 224, 3), 6_752_362),
        "nin_cifar10": (10, (32, 32, 3), 966_986),
        "nin_cifar100": (100, (32, 32, 3), 984_356),
    }
    count, shape, total = totals[name]
    config = dataclasses.replace(
        PRESETS[name],
        classes=tuple(map(str, range(count))),
        image_shape=shape,
    )
    model = model_module.build_model(config)
    weights = model.trainable_weights
    assert sum(int(np.prod(w.shape)) for w in weights) == total


def test_the_schedule_of_the_shipped_network_drops_twice():
    config = PRESETS["cfn_cifar10"]
    rates = [
        model_module.learning_rate_at(epoch, config)
        for epoch in (0, 79, 80, 159, 160, 239)
    ]
    np.testing.assert_allclose(
        rates, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rtol=1e-9
    )
    # 50,000 images in batches of 100 make 120,000 steps.
    assert 50_000 // config.batch_size * config.epochs == 120_000


# Rates of weights and of those of the last step, loss coefficient, decay.
RELEASED_NIN = {
    "nin_cifar10": (1.0, 0.1, 0.1, 1e-5),
    "nin_cifar100": (0.01, 0.01, 2.0, 1e-3),
}


@pytest.mark.parametrize("name", RELEASED_NIN)
def test_network_in_network_moves_as_by_the_released_rule(name):
    rate, last_rate, coefficient, decay = RELEASED_NIN[name]
    config = PRESETS[name]
    gradient, weight = 0.7, 0.3
    for released, factor in ((rate, 1), (last_rate, config.classifier_rate)):
        theirs = released * (coefficient * gradient - decay * weight)
        ours = gradient - config.weight_decay * weight
        ours *= config.learning_rate * factor
        assert ours == pytest.approx(theirs)


def test_companions_are_trained_and_dropped_as_released():
    config = dataclasses.replace(
        PRESETS["dsn_cifar10"],
        classes=tuple("abcdefghij"),
        image_shape=(32, 32, 3),
    )
    rates = {
        step: model_module.learning_rate_at(step // 500, config)
        for step in (0, 149_999, 150_000, 169_999, 170_000, 199_999)
    }
    np.testing.assert_allclose(
        list(rates.values()),
        [0.025, 0.025, 0.00125, 0.00125, 1e-4, 1e-4],
        rtol=1e-9,
    )
    assert 50_000 // config.batch_size * config.epochs == 200_000
    model = model_module.build_model(config)
    assert {type(loss).__name__ for loss in model.loss.values()} == {
        "SparseSquaredHinge"
    }
    image = np.random.default_rng(0).normal(size=(1, 32, 32, 3))
    maps = keras.Model(model.input, model.get_layer("label").input)
    assert float(keras.ops.min(maps({"image": image}))) < 0
    *_, decay = model_module.callbacks(config, None, Path())
    assert (decay.epochs, decay.at_once) == (100, True)


def test_companions_learn_at_a_rate_of_their_own_that_falls():
    config = dataclasses.replace(
        PRESETS["dsn_cifar10"],
        classes=("a", "b"),
        image_shape=(8, 8, 1),
        published="no",
        companion_decay=0.5,
    )
    model = model_module.build_model(config)
    for power in (0.0, 0.75):
        factors = moved(config, model, iterations=8 if power else 0)
        for path, factor in factors.items():
            expected = 1.0
            if path.startswith("companion_"):
                expected = 1e-3 * 5**-power
            elif path.startswith("block3/step_1/"):
                expected = 0.1
            expected *= 2 if path.endswith("bias") else 1
            assert factor == pytest.approx(expected, rel=2e-2), path


def moved(config, model, iterations=0):
    """How far one step of SGD moves each weight for each unit of gradient."""
    optimizer = model_module.make_optimizer(model, config)
    weights = model.trainable_weights
    optimizer.build(weights)
    optimizer.iterations.assign(iterations)
    before = [keras.ops.convert_to_numpy(w).copy() for w in weights]
    optimizer.apply([keras.ops.ones(w.shape) for w in weights], weights)
    return {
        w.path: float(np.mean(old - w)) / config.learning_rate
        for w, old in zip(weights, before, strict=True)
    }


def test_fusion_and_biases_learn_at_their_own_rates():
    config = small_config(
        optimizer="sgd",
        learning_rate=0.5,
        fusion_rate=0.1,
        bias_rate=2.0,
        main_rate=10.0,
        classifier_rate=0.5,
    )
    factors = moved(config, model_module.build_model(config))
    expected = {
        "fusion/kernel": 0.1,
        "fusion/bias": 0.2,
        "main_lift_conv/kernel": 10,
        "main_lift_conv/bias": 20,
        "label_classifier/kernel": 0.5,
        "label_classifier/bias": 1,
    }
    for path, factor in factors.items():
        default = 2 if path.endswith("bias") else 1
        assert factor == pytest.approx(expected.get(path, default), rel=1e-4)
    assert set(expected) <= set(factors)


@pytest.mark.parametrize("head", ["last", "dsn"])
def test_the_last_step_of_network_in_network_has_the_classifiers_rate(head):
    config = dataclasses.replace(
        PRESETS["nin_cifar10"],
        head=head,
        classes=("a", "b"),
        image_shape=(32, 32, 3),
        published="no",
    )
    factors = moved(config, model_module.build_model(config))
    # With companions each block's convolution stands apart.
    last = {"last": "block3/step_2/", "dsn": "block3/step_1/"}[head]
    assert any(path.startswith(last) for path in factors)
    for path, factor in factors.items():
        expected = 0.1 if path.startswith(last) else 1
        expected *= 2 if path.endswith("bias") else 1
        assert factor == pytest.approx(expected, rel=1e-3), path


def test_sgd_decays_weights_and_no_biases():
    config = small_config(optimizer="sgd", weight_decay=0.01)
    model = model_module.build_model(config)
    decayed = sum(
        float(keras.ops.sum(w**2))
        for w in model.trainable_weights
        if w.name != "bias"
    )
    # The gradient of this is 0.01 times the weight.
    assert float(sum(model.losses)) == pytest.approx(0.005 * decayed, rel=1e-5)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--classes", "a", "b"), "classes are a, b by the settings"),
        (("--head", "magic"), "head"),
        (("--sides", "3"), "poolings 1, 2"),
        (("--dropout", "1"), "dropout must be less than 1"),
        (("--drops", "0.5", "2"), "drops[1] must be less than 1"),
        (("--drop-factors", "0.5"), "one for each of drops"),
        (("--image-shape", "8", "8"), "image_shape must be height, width"),
        (("--image-shape", "8", "7", "1"), "both even"),
        (("--architecture", "squeeze_excite_resnet"), "give --head last"),
        (
            ("--architecture", "lenet", "--published", "cifar10"),
            "published sizes are those of",
        ),
        (("--batch-size", "61"), "--batch-size 60"),
        (("--data-dir", "nowhere"), "existing folder"),
    ],
)
def test_wrong_settings_explain_themselves(
    folder, tmp_path, capsys, flags, message
):
    command = [TASK, "train", "--runs-dir", str(tmp_path)]
    command += ["--data-dir", str(folder), *TINY, *flags]
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error
    assert not list(tmp_path.rglob("model.keras"))


def test_other_data_with_unknown_classes_are_refused(run, tmp_path):
    for name in ("lying", "leaning"):
        path = tmp_path / "test" / name / "0.png"
        path.parent.mkdir(parents=True)
        Image.new("L", (8, 8)).save(path)
    with pytest.raises(ValueError, match="leaning, lying by the data"):
        evaluation.evaluate(Run(TASK, run), data_dir=str(tmp_path))


def test_other_data_may_lack_a_class_and_have_another_size(
    run, folder, tmp_path
):
    for name in ("lying", "standing"):
        for index in range(6):
            path = tmp_path / "test" / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(folder / "test" / name / f"{index}.png") as image:
                image.resize((16, 16)).save(path)
    metrics = evaluation.evaluate(Run(TASK, run), data_dir=str(tmp_path))
    assert metrics["accuracy_by_class"]["empty"] is None
    assert np.sum(metrics["confusion"]) == 12
    (run / "evaluate-test.json").unlink()


BUILDERS = (
    models.convolutional_fusion_network,
    models.lenet,
    models.network_in_network,
    models.squeeze_excite_resnet,
    models.squeeze_excite_inception,
)


def test_every_setting_is_read():
    text = "".join(
        inspect.getsource(module)
        for module in (
            branches,
            config_module,
            data,
            explain,
            model_module,
            pictures,
            predictions,
            scores,
            sources,
        )
    )
    common = {field.name for field in dataclasses.fields(settings.Settings)}
    own = {field.name for field in dataclasses.fields(Config)} - common
    read = {n for n in own if re.search(rf"(config|self)\.{n}\b", text)}
    selected = {
        name
        for builder in BUILDERS
        for name in settings.select(Config(), builder)
    }
    assert own == read | (selected & own)


@pytest.mark.parametrize("name", list(model_module.NETWORKS))
def test_arguments_of_builders_that_no_setting_reaches(name, monkeypatch):
    names = {"plain": "convolutional_fusion_network"}
    builder = getattr(models, names.get(name, name))
    arguments = {}
    monkeypatch.setattr(
        models,
        builder.__name__,
        # The signature is what settings are selected by.
        functools.wraps(builder)(lambda **given: arguments.update(given)),
    )
    head = "locally_connected" if name in ("plain", "lenet") else "last"
    model_module.NETWORKS[name](
        Config(
            architecture=name,
            head=head,
            classes=("a", "b"),
            image_shape=(16, 16, 1),
        )
    )
    unreached = set(inspect.signature(builder).parameters) - set(arguments)
    assert unreached - {"name"} == UNREACHED[name]


# Presets of published networks alone set these.
UNREACHED = {
    "plain": {
        *("main_first", "first_kernel_size", "first_strides", "first_bias"),
        *("normalize", "fused_normalization"),
    },
    "lenet": {"filters", "units", "activation"},
    "network_in_network": {
        *("filters", "kernel_sizes", "first_strides", "first_padding"),
        *("pools", "last_activation", "kernel_initializer"),
        "first_deviations",
    },
    "squeeze_excite_resnet": {"stride_on", "momentum", "epsilon"},
    "squeeze_excite_inception": {"stages", "momentum", "epsilon"},
}
