import dataclasses
import inspect
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from applications import cli
from applications import files
from applications import settings
from applications.inputs import image as images
from applications.runs import Run
from applications.semantic_segmentation import config as config_module
from applications.semantic_segmentation import data
from applications.semantic_segmentation import imagenet
from applications.semantic_segmentation import model as model_module
from applications.semantic_segmentation import pictures
from applications.semantic_segmentation import scores
from applications.semantic_segmentation.config import PRESETS
from applications.semantic_segmentation.config import Config
from keras_fusion import models

TINY = (
    *("--epochs", "1", "--batch-size", "4", "--width", "4"),
    *("--decoder-width", "4", "--crop", "32", "--pools", "0"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Frames whose class depends on rgb in one half, on depth in the other."""
    root = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("validation", 2), ("test", 2)):
        for index in range(count):
            label = np.zeros((40, 48), "int32")
            row, column = rng.integers(4, 20, 2)
            label[row : row + 12, column : column + 12] = 1
            noise = rng.integers(0, 60, (40, 48, 3))
            rgb = (noise + 120 * label[..., None]).astype("uint8")
            depth = (1000 + 3000 * label + noise[..., 0]).astype("uint16")
            label[0, 0] = 255
            for name, image in (
                ("rgb", rgb),
                ("depth", depth),
                ("label", label.astype("uint8")),
            ):
                path = root / split / name / f"{index:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path)
    (root / "classes.txt").write_text("ground\nbox\n")
    return root


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    runs_dir = tmp_path_factory.mktemp("runs")
    command = ["semantic_segmentation", "train", "--data-dir", str(folder)]
    flags = ["--runs-dir", str(runs_dir), "--gamma", "0.01", *TINY]
    assert cli.main([*command, *flags]) == 0
    return runs_dir / "semantic_segmentation" / "default"


def test_a_run_holds_what_it_promises(run):
    metrics = files.read_json(run / "metrics.json")
    outputs = {"rgb", "depth", "ensemble"}
    for key in ("mean_iou", "pixel_accuracy", "mean_accuracy"):
        assert set(metrics[key]) == outputs
        assert all(0 <= value <= 1 for value in metrics[key].values())
    assert set(metrics["iou_by_class"]["ensemble"]) == {"ground", "box"}
    assert set(metrics["exchanged_share"]) == {"rgb", "depth"}
    # Scales start under the threshold, and one epoch of four steps of Adam
    # cannot move all of them over it.
    assert 0 < metrics["exchanged_share"]["rgb"] <= 1
    assert set(metrics["without"]) == {"rgb", "depth"}
    assert sum(metrics["ensemble_weights"].values()) == pytest.approx(1)
    assert metrics["parameters"] > 0
    assert metrics["seconds_per_step"] > 0
    header = (run / "history.csv").read_text().splitlines()[0]
    for name in (
        "exchanged_share_rgb",
        "gradient_norm_depth",
        "loss_without_rgb",
        "ensemble_weight_rgb",
        "val_ensemble_mean_iou",
        "learning_rate",
    ):
        assert name in header.split(",")
    with Image.open(run / "pictures" / "panel.png") as panel:
        assert panel.size == (6 * 50 - 2, 14 + 2 * 42 - 2)
    assert list((run / "logs" / "fusion").glob("events.*"))
    assert list((run / "logs" / "pictures").glob("events.*"))


def test_evaluate_repeats_the_numbers_of_the_run(run):
    command = ["semantic_segmentation", "evaluate", "--run", str(run)]
    assert cli.main([*command, "--split", "validation"]) == 0
    again = files.read_json(run / "evaluate-validation.json")
    first = files.read_json(run / "metrics.json")
    for key in ("mean_iou", "iou_by_class", "exchanged_share", "without"):
        assert again[key] == first[key]


def test_predict_writes_masks_of_the_frames_own_size(run, folder, tmp_path):
    frames = tmp_path / "frames"
    for name in ("rgb", "depth"):
        (frames / name).mkdir(parents=True)
        source = folder / "test" / name / "000.png"
        (frames / name / "new.png").write_bytes(source.read_bytes())
    command = ["semantic_segmentation", "predict", "--run", str(run)]
    out = tmp_path / "out"
    flags = ["--data-dir", str(frames), "--out", str(out)]
    assert cli.main([*command, *flags]) == 0
    with Image.open(out / "masks" / "new.png") as image:
        assert image.mode == "P"
        mask = np.asarray(image)
    with Image.open(out / "overlays" / "new.png") as image:
        assert image.size == (48, 40)

    model = keras.models.load_model(run / "model.keras")
    config = Run("semantic_segmentation", run).config
    _, inputs, _ = next(data.unlabeled(config, frames, []))
    expected = np.argmax(model(inputs, training=False)["ensemble"][0], -1)
    np.testing.assert_array_equal(mask, expected)


def test_exports_agree_with_the_model_on_another_size(run):
    command = ["semantic_segmentation", "export", "--run", str(run)]
    assert cli.main([*command, "--format", "saved_model", "onnx"]) == 0
    served = tf.saved_model.load(str(run / "export" / "saved_model"))
    model = keras.models.load_model(run / "model.keras")
    image = np.random.default_rng(0).normal(size=(1, 56, 40, 3))
    inputs = {name: image.astype("float32") for name in ("rgb", "depth")}
    received = served.serve(inputs)["ensemble"]
    expected = model(inputs, training=False)["ensemble"]
    np.testing.assert_allclose(received, expected, atol=1e-4)


def test_a_run_without_exchange_says_so(folder, tmp_path, capsys):
    command = ["semantic_segmentation", "train", "--data-dir", str(folder)]
    flags = ["--runs-dir", str(tmp_path), "--l1", "0", *TINY]
    assert cli.main([*command, *flags]) == 0
    assert "warning: no channel is exchanged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--modalities", "rgb", "thermal"), "thermal"),
        (("--modalities", "rgb", "rgb"), "same value twice"),
        (("--classes", "a", "b", "c"), "classes are a, b, c"),
        (("--crop", "8"), "crop must be at least 32"),
        (("--scale", "2", "1"), "scale must be a range"),
        (("--fusion-stages", "5"), "fusion_stages"),
        (("--fusion", "magic"), "fusion"),
        (("--fusion", "sum", "--fusion-stages"), "must hold a stage"),
        (("--alignment", "-1"), "alignment must be at least 0"),
        (("--batch-size", "100"), "--batch-size 8"),
        (("--pretrained", "imagenet"), "ImageNet weights exist for"),
        (
            ("--pretrained", "imagenet", "--blocks", "3", "4", "6", "3"),
            "give a file of them with --encoder-weights",
        ),
        (
            ("--pretrained", "imagenet", "--blocks", "3", "4", "6", "3")
            + ("--encoder-weights", "nowhere.npz"),
            "There is no file nowhere.npz",
        ),
        (("--data-dir", "nowhere"), "existing folder"),
        (("--threshold", "-1"), "threshold must be at least 0"),
    ],
)
def test_wrong_settings_explain_themselves(
    folder, tmp_path, capsys, flags, message
):
    command = ["semantic_segmentation", "train", "--runs-dir", str(tmp_path)]
    command += ["--data-dir", str(folder), *TINY, *flags]
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error
    assert not list(tmp_path.rglob("model.keras"))


def test_every_setting_is_read():
    text = "".join(
        inspect.getsource(module)
        for module in (
            config_module,
            data,
            imagenet,
            model_module,
            pictures,
            scores,
        )
    )
    common = {field.name for field in dataclasses.fields(Config.__mro__[1])}
    own = {field.name for field in dataclasses.fields(Config)} - common
    selected = settings.select(Config(), models.refinenet)
    read = {n for n in own if re.search(rf"(config|self)\.{n}\b", text)}
    assert own == read | set(selected)
    # What of the builder no setting reaches.
    arguments = set(inspect.signature(models.refinenet).parameters)
    given = {"num_classes", "gamma_initializer"}
    assert arguments - set(selected) - given == {"image_shape", "name"}


def test_presets_are_settings_that_a_model_can_be_built_from():
    published = PRESETS["published"]
    assert published.blocks == (3, 4, 23, 3)
    assert published.stride_on == "3x3" and published.epsilon == 1e-5
    assert published.over_batch and published.cubic
    assert published.short_side == 350
    rates = [
        model_module.learning_rate_at(epoch, published)
        for epoch in (0, 99, 100, 199, 200, 299)
    ]
    np.testing.assert_allclose(
        rates, [3e-3, 3e-3, 1.5e-3, 1.5e-3, 7e-4, 7e-4], rtol=1e-9
    )
    encoder = [
        rate * model_module.multipliers_at(epoch, published)[r"^(stem|stage\d)"]
        for rate, epoch in zip(rates[::2], (0, 100, 200), strict=True)
    ]
    np.testing.assert_allclose(encoder, [5e-4, 2.5e-4, 1e-4], rtol=1e-9)


def test_a_stage_begins_with_its_rates_and_without_momentum():
    config = Config(
        epochs=3, optimizer="sgd", learning_rate=1.0, modalities=("rgb",)
    )
    images = {"rgb": np.ones((2, 3)), "depth": np.ones((2, 3))}
    rgb, depth = (keras.Input((3,), name=name) for name in images)
    ones = {"kernel_initializer": "ones", "use_bias": False}
    layers = [
        keras.layers.Dense(1, name="stem_conv", **ones)(rgb),
        keras.layers.Dense(1, name="head", **ones)(depth),
    ]
    model = keras.Model([rgb, depth], keras.layers.Add()(layers))
    model.compile(
        model_module.make_optimizer(config),
        lambda y, x: x[:, 0],
        jit_compile=False,
    )
    weights = []
    model.fit(
        images,
        np.ones(2),
        epochs=3,
        verbose=0,
        callbacks=[
            model_module.Stages(config),
            keras.callbacks.LearningRateScheduler(
                lambda epoch: model_module.learning_rate_at(epoch, config)
            ),
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: weights.append(
                    [float(w[0, 0]) for w in model.weights]
                )
            ),
        ],
    )
    moved = -np.diff([[1, 1], *weights], axis=0)
    # A step each, the gradient 1: without momentum it is the learning rate.
    l2 = config.weight_decay
    np.testing.assert_allclose(moved[:, 0], [1, 0.5, 0.2], atol=3 * l2)
    np.testing.assert_allclose(moved[:, 1], [1, 0.5, 0.7 / 3], atol=3 * l2)


def test_the_published_encoder_reads_the_arrays_of_torchvision(tmp_path):
    config = dataclasses.replace(
        PRESETS["published"],
        encoder_weights=str(tmp_path / "resnet.npz"),
        classes=("a", "b"),
    )
    np.savez(
        tmp_path / "resnet.npz", **{"conv1.weight": np.ones((64, 3, 7, 7))}
    )
    with pytest.raises(ValueError, match="source dict with 0 convolutions"):
        model_module.build_model(config)


def test_an_imagenet_encoder_sees_images_as_its_source_does():
    source = keras.applications.ResNet50(
        weights=None, include_top=False, input_shape=(64, 64, 3)
    )
    small = dataclasses.replace(
        PRESETS["published"],
        blocks=(3, 4, 6, 3),
        stride_on="1x1",
        epsilon=1.001e-5,
        decoder_width=4,
        classes=("a", "b"),
        pretrained="nothing",
    )
    model = model_module.build_model(small)
    imagenet.start_from_keras(source, model)
    image = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3))
    theirs = keras.applications.resnet.preprocess_input(image.copy())
    ours = image - 255 * images.IMAGENET_MEAN
    ours /= 255 * images.IMAGENET_DEVIATION
    stem = keras.Model(model.inputs, model.get_layer("stem_conv").output)
    expected = keras.Model(source.input, source.get_layer("conv1_conv").output)
    # Their means are those of ours to half a gray level.
    received = stem([ours.astype("float32")] * 2)
    wanted = expected(theirs.astype("float32"))
    difference = np.abs(received - wanted)[:, 2:-2, 2:-2]
    assert difference.max() < 0.02 * np.abs(wanted).max()
