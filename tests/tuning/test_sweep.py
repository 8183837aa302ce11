import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image

from applications import cli as applications_cli
from applications import files
from applications import settings
from applications.runs import Run
from applications.task import load_task
from keras_fusion.callbacks import find_layers
from keras_fusion.layers import ChannelExchange
from tuning import cli
from tuning import sweep

TASK = "semantic_segmentation"
TINY = (
    *("--epochs", "1", "--batch-size", "4", "--width", "4"),
    *("--decoder-width", "4", "--crop", "32", "--pools", "0"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose branches differ, so that it matters what is exchanged."""
    root = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("validation", 3)):
        for index in range(count):
            label = (rng.random((4, 4)) < 0.5).astype("uint8")
            label = label.repeat(10, axis=0).repeat(10, axis=1)
            noise = rng.integers(0, 60, (2, 40, 40)).astype("uint8")
            for name, image in (
                ("rgb", (noise[0] + 120 * label)[..., None].repeat(3, -1)),
                ("depth", noise[1]),
                ("label", label),
            ):
                path = root / "data" / split / name / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path)
    flags = ["--data-dir", str(root / "data"), "--runs-dir", str(root), *TINY]
    assert applications_cli.main([TASK, "train", *flags]) == 0
    return root / TASK / "default"


def test_a_sweep_is_what_models_of_these_thresholds_score(run, tmp_path):
    rows = sweep.sweep(Run(TASK, run), "0.05:0.8:3")
    thresholds = [row["threshold"] for row in rows]
    np.testing.assert_allclose(thresholds, [0.05, 0.2, 0.8])
    task = load_task(TASK)
    config = Run(TASK, run).config
    for row in rows:
        # Saved with its threshold and loaded as any model.
        model = Run(TASK, run).model()
        for layer in find_layers(model, ChannelExchange):
            layer.threshold = row["threshold"]
        (tmp_path / "run").mkdir(exist_ok=True)
        model.save(tmp_path / "run" / "model.keras")
        loaded = Run(TASK, tmp_path / "run").model()
        assert {
            layer.threshold for layer in find_layers(loaded, ChannelExchange)
        } == {row["threshold"]}
        _, dataset = task.load_data(config).split("validation")
        metrics = task.measure(loaded, dataset, config)
        for kind in ("mean_iou", "exchanged_share"):
            for name, value in metrics[kind].items():
                assert row[f"{kind}.{name}"] == value
    # The curve is one: more is exchanged, and it matters.
    shares = [row["exchanged_share.rgb"] for row in rows]
    assert shares == sorted(shares) and shares[0] < shares[-1]
    assert len({row["mean_iou.rgb"] for row in rows}) > 1


def test_a_sweep_leaves_a_table_and_a_picture(run, capsys):
    flags = ["--run", str(run), "--threshold", "1e-3:1e-1:3"]
    assert cli.main([TASK, "sweep", *flags]) == 0
    with open(run / "sweep" / "threshold-validation.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["threshold"]) for row in rows] == pytest.approx(
        [1e-3, 1e-2, 1e-1]
    )
    printed = capsys.readouterr().out
    assert "threshold-validation.csv" in printed and "  *" in printed
    with Image.open(run / "sweep" / "threshold-validation.png") as picture:
        assert picture.size == (700, 600)


@pytest.mark.parametrize(
    "thresholds",
    ["", "x", "0", "-1:1:3", "1:0.1:3", "0.1:1", "0.1:1:0"]
    + ["0.1:1:1001", "nan", "0.1:inf:3", "0.1:nan:3", "1:2:3:4", "1::3"]
    + ["0.1:1:2.5", "1:2:" + 500 * "9"],
)
def test_wrong_thresholds_explain_themselves(thresholds):
    with pytest.raises(ValueError, match="LEAST:MOST:COUNT, such as"):
        sweep.values_of(thresholds)


def test_a_network_without_exchange_is_refused(run, tmp_path, capsys):
    task = load_task(TASK)
    config = Run(TASK, run).config
    config = dataclasses.replace(config, fusion="none")
    files.write(tmp_path / "config.json", settings.to_json(config))
    model = task.build_model(config)
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    assert cli.main([TASK, "sweep", "--run", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert (
        "no ChannelExchange layer with" in error
        and "--fusion exchange" in error
    )


def test_a_task_without_exchange_is_refused(toy, tmp_path, capsys):
    flags = ["--epochs", "1", "--runs-dir", str(tmp_path)]
    assert applications_cli.main(["toy", "train", *flags]) == 0
    run = tmp_path / "toy" / "default"
    assert cli.main(["toy", "sweep", "--run", str(run)]) == 2
    assert "no ChannelExchange layer with" in capsys.readouterr().err


def test_a_part_that_there_is_not_is_refused(run, capsys):
    before = sorted(run.rglob("*"))
    assert cli.main([TASK, "sweep", "--run", str(run), "--split", "nope"]) == 2
    error = capsys.readouterr().err
    assert "'test'" in error and "'validation'" in error
    assert error.count("\n") == 1
    assert cli.main([TASK, "sweep", "--run", str(run), "--split", "test"]) == 2
    error = capsys.readouterr().err
    assert "no test split; it has: train, validation" in error
    assert error.count("\n") == 1
    assert sorted(run.rglob("*")) == before
