import dataclasses
import inspect
import re

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import applications.image_translation as task
from applications import cli
from applications import files
from applications import settings
from applications.image_translation import config as config_module
from applications.image_translation import data
from applications.image_translation import inception
from applications.image_translation import model as model_module
from applications.image_translation import pictures
from applications.image_translation import scores
from applications.image_translation.config import PRESETS
from applications.image_translation.config import Config
from applications.runs import Run
from keras_fusion import models
from tuning import cli as tuning_cli

TASK = "image_translation"
TINY = (
    *("--epochs", "2", "--batch-size", "4", "--width", "2", "--depth", "3"),
    *("--judge-width", "2", "--judge-stages", "1", "--side", "16"),
    *("--margin", "2", "--modalities", "thermal", "depth"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Red tells what thermal shows, blue what depth shows."""
    root = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("validation", 3), ("test", 2)):
        for index in range(count):
            small = rng.random((2, 3, 3))
            warm, far = np.kron(small, np.ones((1, 8, 8)))
            pixels = {
                "thermal": (255 * warm).astype("uint8"),
                "depth": (1000 + 3000 * far).astype("uint16"),
                "rgb": (255 * np.stack([warm, 0 * warm, far], axis=-1)).astype(
                    "uint8"
                ),
            }
            for name, image in pixels.items():
                path = root / split / name / f"{index:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path)
    return root


def train(folder, runs_dir, *flags):
    command = [TASK, "train", "--data-dir", str(folder), "--target", "rgb"]
    return cli.main([*command, "--runs-dir", str(runs_dir), *TINY, *flags])


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    runs_dir = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        # Whatever this machine holds.
        patch.setenv("KERAS_HOME", str(runs_dir / "empty"))
        assert train(folder, runs_dir, "--gamma", "0.01") == 0
    return runs_dir / TASK / "default"


def test_a_run_holds_what_it_promises(run):
    metrics = files.read_json(run / "metrics.json")
    outputs = {"thermal", "depth", "ensemble"}
    for score in ("l1", "mse", "psnr", "ssim"):
        assert set(metrics[score]) == outputs
    assert set(metrics["baselines"]) == {
        "mean image",
        "copy of thermal",
        "copy of depth",
    }
    assert set(metrics["without"]) == {"thermal", "depth"}
    # Scales start under the threshold.
    assert 0 < metrics["exchanged_share"]["thermal"] <= 1
    assert sum(metrics["ensemble_weights"].values()) == pytest.approx(1)
    assert metrics["settings"]["ranges"][0] == [0, 255]
    assert "FID and KID were not computed" in metrics["about_fid"]
    assert "--inception-weights FILE" in metrics["about_fid"]
    header = (run / "history.csv").read_text().splitlines()[0].split(",")
    for name in (
        *("generator_loss", "discriminator_loss", "loss", "val_loss"),
        *("val_thermal_l1", "val_ensemble_l1", "exchanged_share_depth"),
        *("gradient_norm_depth", "loss_without_thermal"),
    ):
        assert name in header
    assert "val_discriminator_loss" not in header
    with Image.open(run / "pictures" / "panel.png") as panel:
        # Inputs, outputs, truth and error; three samples.
        assert panel.size == (7 * 18 - 2, 14 + 3 * 18 - 2)


def test_scores_are_those_of_each_image_from_0_to_1(run, folder):
    config = Run(TASK, run).config
    model = keras.models.load_model(run / "model.keras")
    loaded = data.load_data(config)
    _, dataset = loaded.split("validation")
    made, truth, copied = [], [], []
    for inputs, targets in dataset:
        output = model(inputs, training=False)["depth"]
        made.append((np.asarray(output) + 1) / 2)
        truth.append((targets["depth"].numpy() + 1) / 2)
        copied.append((inputs["thermal"].numpy() + 1) / 2)
    made, truth, copied = map(np.concatenate, (made, truth, copied))
    metrics = files.read_json(run / "metrics.json")
    error = made - truth
    mse = (error**2).mean(axis=(1, 2, 3))
    expected = {
        "l1": np.abs(error).mean(),
        "mse": mse.mean(),
        "psnr": (-10 * np.log10(mse)).mean(),
    }
    for score, value in expected.items():
        assert metrics[score]["depth"] == pytest.approx(value, rel=1e-4)
    rivals = metrics["baselines"]
    assert rivals["copy of thermal"]["l1"] == pytest.approx(
        np.abs(copied - truth).mean(), rel=1e-4
    )
    assert rivals["mean image"]["mse"] == pytest.approx(
        truth.var(axis=0).mean(), rel=1e-4
    )


def test_scores_of_the_truth_itself_are_the_best(folder):
    config = Config(
        data_dir=str(folder),
        modalities=("depth",),
        target="thermal",
        side=32,
        batch_size=2,
    )
    _, dataset = data.load_data(config).split("validation")
    found = scores._means(dataset, lambda x, y: y)
    assert found["l1"] == {"depth": 0} and found["mse"] == {"depth": 0}
    assert found["psnr"] == {"depth": 100}
    assert found["ssim"]["depth"] == pytest.approx(1)


def test_evaluate_repeats_the_numbers_of_the_run(run):
    command = [TASK, "evaluate", "--run", str(run)]
    assert cli.main([*command, "--split", "validation"]) == 0
    again = files.read_json(run / "evaluate-validation.json")
    first = files.read_json(run / "metrics.json")
    for key in ("l1", "psnr", "ssim", "baselines", "without"):
        assert again[key] == first[key]


def test_fid_and_kid_are_measured_where_there_is_a_network(
    run, monkeypatch, capsys
):
    """With a small network in the place of InceptionV3."""
    small = keras.Sequential(
        [
            keras.Input((inception.SIDE, inception.SIDE, 3)),
            keras.layers.AveragePooling2D(100),
            keras.layers.Flatten(),
        ]
    )
    monkeypatch.setattr(inception, "network", lambda file: small)
    monkeypatch.setattr(inception, "weights_file", lambda config: "a file")
    assert cli.main([TASK, "evaluate", "--run", str(run)]) == 0
    metrics = files.read_json(run / "evaluate-test.json")
    assert set(metrics["fid"]) == set(metrics["kid"]) == set(metrics["l1"])
    assert all(np.isfinite(value) for value in metrics["fid"].values())
    said = capsys.readouterr().out
    assert "FID of fewer than 2,048 is too large" in said
    assert "of 2 images" in said and "KID" in said


def test_predict_writes_images_of_the_inputs_own_size(run, folder, tmp_path):
    frames = tmp_path / "frames"
    for name in ("thermal", "depth"):
        (frames / name).mkdir(parents=True)
        source = folder / "test" / name / "000.png"
        (frames / name / "new.png").write_bytes(source.read_bytes())
    out = tmp_path / "out"
    command = [TASK, "predict", "--run", str(run), "--data-dir", str(frames)]
    assert cli.main([*command, "--out", str(out)]) == 0
    with Image.open(out / "images" / "new.png") as image:
        assert image.size == (24, 24) and image.mode == "RGB"
        received = np.asarray(image)
    config = Run(TASK, run).config
    model = keras.models.load_model(run / "model.keras")
    _, inputs, size = next(data.unlabeled(config, frames, []))
    output = model(inputs, training=False)["ensemble"][0].numpy()
    expected = data.images.resize((output + 1) * 127.5, size)
    np.testing.assert_allclose(received, expected, atol=1)
    # The target is of 8 bits.
    assert not (out / "values").exists()


def test_other_units_come_back_as_they_went_in(folder, tmp_path):
    """A target of counts is predicted in counts."""
    config = data.load_data(
        Config(
            data_dir=str(folder), modalities=("rgb",), target="depth", side=32
        )
    ).config
    low, high = config.ranges[-1]
    assert 1000 <= low < high <= 4000

    def model(inputs, training=None):
        return {"rgb": tf.zeros((1, 32, 32, 1))}

    problems = []
    paths = pictures.predict(
        model, config, folder / "test", tmp_path / "out", problems
    )
    assert not problems and len(paths) == 4
    value = np.load(tmp_path / "out" / "values" / "000.npy")
    assert value.shape == (24, 24, 1) and value.dtype == "float32"
    np.testing.assert_allclose(value, (low + high) / 2, rtol=1e-6)


def test_exports_agree_with_the_model(run):
    command = [TASK, "export", "--run", str(run)]
    assert cli.main([*command, "--format", "saved_model", "onnx"]) == 0
    served = tf.saved_model.load(str(run / "export" / "saved_model"))
    model = keras.models.load_model(run / "model.keras")
    image = np.random.default_rng(0).uniform(-1, 1, (3, 16, 16, 3))
    inputs = {n: image.astype("float32") for n in ("thermal", "depth")}
    received = served.serve(inputs)
    expected = model(inputs, training=False)
    for name in ("thermal", "depth", "ensemble"):
        np.testing.assert_allclose(received[name], expected[name], atol=1e-4)


def test_a_sweep_of_thresholds_is_refused(run, capsys):
    command = [TASK, "sweep", "--run", str(run), "--threshold", "0.01"]
    assert tuning_cli.main(command) == 2
    error = capsys.readouterr().err
    assert "expected a run of semantic_segmentation" in error
    assert error.count("\n") == 1


class Kill(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 3:
            raise KeyboardInterrupt


def arrays(file):
    """Every number of a weights file, by name."""
    found = {}
    with h5py.File(file) as opened:
        opened.visititems(
            lambda name, item: (
                found.update({name: item[()]})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return found


def test_a_killed_training_ends_as_if_it_had_not_been(
    run, folder, tmp_path, monkeypatch, capsys
):
    usual = task.callbacks
    with monkeypatch.context() as patch:
        patch.setattr(task, "callbacks", lambda *args: [*usual(*args), Kill()])
        assert train(folder, tmp_path, "--gamma", "0.01") == 130
    again = tmp_path / TASK / "default"
    assert [p.name for p in (again / "checkpoints").iterdir()] == [
        "epoch-00001"
    ]
    assert train(folder, tmp_path, "--gamma", "0.01") == 0
    assert "resumed after epoch 1 of 2" in capsys.readouterr().out
    file = "checkpoints/epoch-00002/model.weights.h5"
    whole, resumed = arrays(run / file), arrays(again / file)
    assert whole.keys() == resumed.keys()
    # Both optimizers are in it.
    moments = {n.split("/")[0] for n in whole if "optimizer" in n.split("/")[0]}
    assert moments == {"optimizer", "discriminator_optimizer"}
    for name, value in whole.items():
        np.testing.assert_allclose(
            resumed[name], value, rtol=1e-4, atol=1e-6, err_msg=name
        )
    first, second = (
        files.read_json(path / "metrics.json") for path in (run, again)
    )
    assert second["l1"] == pytest.approx(first["l1"], rel=1e-4)


def test_one_modality_trains_without_exchange(folder, tmp_path):
    flags = ("--modalities", "depth", "--epochs", "1")
    assert train(folder, tmp_path, *flags) == 0
    metrics = files.read_json(tmp_path / TASK / "default" / "metrics.json")
    assert set(metrics["l1"]) == {"depth"}
    assert "without" not in metrics and "ensemble_weights" not in metrics
    assert metrics["exchanged_share"] == {"depth": 0.0}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--modalities", "rgb", "depth"), "target must be none of the modal"),
        (("--modalities", "ensemble"), "must not hold 'ensemble'"),
        (("--modalities", "thermal", "sound"), "no folder sound/"),
        (("--target-channels", "1"), "target_channels is 1"),
        (("--side", "20"), "side must be a multiple of 8"),
        (("--side", "8", "--judge-stages", "2"), "side must be at least 12"),
        (("--margin", "17"), "margin must be at most side"),
        (("--ranges", "0", "255"), "ranges must be 3 pairs"),
        (("--ranges", "5", "5"), "the smaller one first"),
        (("--fusion-stages", "1"), "fusion_stages"),
        (("--adversarial", "0", "--reconstruction", "0"), "nothing would be"),
        (("--inception-weights", "nowhere.h5"), "must be an existing file"),
        (("--inception-weights", __file__), "such as Keras's inception_v3"),
        (("--batch-size", "100"), "--batch-size 8"),
        (("--data-dir", "nowhere"), "existing folder"),
    ],
)
def test_wrong_settings_explain_themselves(
    folder, tmp_path, capsys, flags, message
):
    assert train(folder, tmp_path, *flags) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error
    assert not list(tmp_path.rglob("config.json"))


def test_every_setting_is_read():
    modules = (config_module, data, inception, model_module, pictures, scores)
    text = "".join(inspect.getsource(module) for module in modules)
    common = {field.name for field in dataclasses.fields(Config.__mro__[1])}
    own = {field.name for field in dataclasses.fields(Config)} - common
    selected = settings.select(Config(), models.unet_generator)
    read = {n for n in own if re.search(rf"(config|self)\.{n}\b", text)}
    assert own == read | set(selected)
    arguments = set(inspect.signature(models.unet_generator).parameters)
    given = {"image_shape", "gamma_initializer"}
    assert arguments - set(selected) - given == {"name"}


def test_presets_fit_the_networks_that_they_are_of():
    published = PRESETS["published"]
    assert published.modalities == ("reshading", "edge_texture")
    assert (published.width, published.depth, published.side) == (64, 8, 256)
    assert (published.margin, published.l1) == (30, 1e-3)
    assert (published.adversarial, published.reconstruction) == (1.0, 100.0)


@pytest.mark.slow
def test_the_default_beats_what_is_simple(tmp_path):
    """Minutes: the embedded rooms, color of shading and albedo."""
    assert cli.main([TASK, "train", "--runs-dir", str(tmp_path)]) == 0
    metrics = files.read_json(tmp_path / TASK / "default" / "metrics.json")
    rivals = [scores["l1"] for scores in metrics["baselines"].values()]
    l1 = dict(metrics["l1"])
    ensemble = l1.pop("ensemble")
    assert ensemble < 0.6 * min(rivals)
    assert ensemble <= min(l1.values())
    assert all(metrics["exchanged_share"].values())
