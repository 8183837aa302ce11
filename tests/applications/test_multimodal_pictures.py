"""What is drawn and written of a run on rows."""

import csv
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

from applications import cli
from applications.multimodal_classification import Config
from applications.multimodal_classification import build_model
from applications.multimodal_classification import figures
from applications.multimodal_classification import load_data
from applications.multimodal_classification import mistakes
from applications.multimodal_classification import projector
from applications.multimodal_classification.sources import UNLABELLED
from applications.runs import Run

TASK = "multimodal_classification"
SMALL = ("--units", "8", "--filters", "4", "--image-side", "8")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    runs_dir = tmp_path_factory.mktemp("runs")
    flags = ("--epochs", "2", *SMALL, "--runs-dir", str(runs_dir))
    assert cli.main([TASK, "train", *flags]) == 0
    return Run(TASK, runs_dir / TASK / "default")


def has_color(picture, color):
    return (np.abs(picture.astype(int) - color).sum(axis=-1) < 60).any()


def test_mistakes_are_all_rows_with_the_worst_first(trained, capsys):
    run = ("--run", str(trained.folder))
    assert cli.main([TASK, "mistakes", *run, "--split", "validation"]) == 0
    assert "rows are wrong" in capsys.readouterr().out
    with open(trained.folder / "mistakes-validation.csv") as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["loss"]) for row in rows]
    assert losses == sorted(losses, reverse=True)
    model, data = trained.model(), trained.data()
    wrong = sum(row["label"] != row["predicted"] for row in rows)
    metrics = trained.metrics()
    assert len(rows) == data.sizes["validation"]
    assert 1 - wrong / len(rows) == pytest.approx(metrics["accuracy"])
    _, dataset = data.split("validation")
    inputs, targets = next(iter(dataset.unbatch().batch(len(rows))))
    place = int(rows[0]["row"]) - 1
    assert rows[0]["label"] == str(targets["label"][place].numpy())
    one = {name: x[place : place + 1] for name, x in inputs.items()}
    logits = model(one, training=False)["label"][0]
    truth = int(rows[0]["label"])
    loss = -keras.ops.log_softmax(logits)[truth]
    assert losses[0] == pytest.approx(float(loss), rel=1e-3)
    found = mistakes.find(model, dataset, data.config)
    for name, x in found.inputs.items():
        np.testing.assert_array_equal(x[0], one[name][0])
    for name in ("mistakes", "confusion"):
        path = trained.folder / "pictures" / f"{name}-validation.png"
        with Image.open(path) as picture:
            assert min(picture.size) > 200


def test_rows_without_a_label_are_no_mistakes(trained):
    data = trained.data()
    inputs, targets = next(iter(data.split("validation")[1]))
    labels = targets["label"].numpy()
    labels[:100] = UNLABELLED
    batch = (inputs, {"label": labels})
    found = mistakes.find(trained.model(), [batch], data.config)
    assert found.rows.min() == 100
    assert len(found.rows) == len(labels) - 100
    with pytest.raises(ValueError, match="no row has a label"):
        nothing = {"label": np.full(len(labels), UNLABELLED)}
        mistakes.find(trained.model(), [(inputs, nothing)], data.config)


def test_tensorboard_has_vectors_graphs_and_signs_of_collapse(trained):
    folder = trained.folder / "logs" / "fused"
    vectors = np.loadtxt(folder / "fused.tsv", delimiter="\t")
    classes = (folder / "classes.tsv").read_text().split("\n")[:-1]
    assert vectors.shape == (len(classes), 8)
    assert set(classes) == set(trained.config.classes)
    settings = (folder / "projector_config.pbtxt").read_text()
    assert "fused.tsv" in settings and "classes.tsv" in settings
    events = EventAccumulator(str(folder), {"images": 0, "tensors": 0})
    events.Reload()
    tags = set(events.Tags()["tensors"])
    assert {"fused/neighbors", "fused/modality_graph"} <= tags
    for name in ("cosine", "constant_cosine", "centred_cosine"):
        assert f"fused/table_{name}" in tags
    assert "fused/effective_rank" in tags


def test_half_precision_has_no_modality_graph(tmp_path, capsys):
    flags = ("--epochs", "1", *SMALL, "--precision", "mixed_bfloat16")
    assert cli.main([TASK, "train", *flags, "--runs-dir", str(tmp_path)]) == 0
    run = ("--run", str(tmp_path / TASK / "default"))
    assert cli.main([TASK, "graph", *run]) == 0
    said = capsys.readouterr().out
    assert "left out: the modality graph" in said and "centred" in said


def test_an_edge_between_classes_is_red(rng):
    labels = np.repeat([0, 1], 30)
    apart = np.where(labels[:, None], [20.0, 0.0, 1.0], [0.0, 20.0, 1.0])
    apart = apart + rng.normal(size=apart.shape)
    red = np.array([0xCC, 0x33, 0x11])
    names = ("round", "square")
    pure = figures.sample_graph(apart, labels, names)
    assert not has_color(pure, red)
    labels[:5] = 1
    assert has_color(figures.sample_graph(apart, labels, names), red)
    np.testing.assert_array_equal(
        pure, figures.sample_graph(apart, np.repeat([0, 1], 30), names)
    )


@pytest.mark.parametrize("count", [1, 5, 11])
def test_few_rows_and_rows_with_several_classes_are_drawn(rng, count):
    fused = rng.normal(size=(count, 4))
    several = rng.integers(2, size=(count, 3)).astype("float32")
    picture = figures.sample_graph(fused, several, ("a", "b", "c"))
    assert picture.dtype == np.uint8 and picture.std() > 0
    same = np.ones((count, 4))
    assert figures.sample_graph(same, np.zeros(count, int), ("a",)).std() > 0


def test_a_heat_map_is_darkest_where_it_is_strongest():
    strong = figures.modality_graph([[0.0, 1.0], [0.0, 0.0]], ("a", "b"))
    dark = np.argwhere(
        np.abs(strong.astype(int) - [8, 48, 107]).sum(axis=-1) < 12
    )
    # The cell of row a and column b, right of the middle and above it; the
    # bar of colors is right of all.
    inside = dark[dark[:, 1] < strong.shape[1] * 0.75]
    assert len(inside)
    assert inside[:, 0].mean() < strong.shape[0] / 2


def test_names_of_classes_are_one_field_of_the_projector():
    config = Config(classes=("a\tb", "c\nd"))
    assert projector._as_field(np.int64(0), config) == "a b"
    assert projector._as_field(np.int64(-1), config) == "no label"
    assert projector._as_field(np.array([1.0, 1.0]), config) == "a b|c d"
    assert projector._as_field(np.array([0.0, 0.0]), config) == "-"


def test_late_fusion_has_no_fused_vector_to_draw(tmp_path, capsys):
    flags = ("--epochs", "1", *SMALL, "--fusion", "late")
    assert cli.main([TASK, "train", *flags, "--runs-dir", str(tmp_path)]) == 0
    assert "so there is no refiner" in capsys.readouterr().out
    run = ("--run", str(tmp_path / TASK / "default"))
    assert cli.main([TASK, "mistakes", *run]) == 0
    assert cli.main([TASK, "graph", *run]) == 2
    assert "has no fused vector" in capsys.readouterr().err


def test_late_fusion_is_the_mean_of_the_modalities_that_are_there():
    data = load_data(Config(fusion="late", units=8, filters=(4,), image_side=8))
    model = build_model(data.config)
    inputs, targets = next(iter(data.split("validation")[1]))
    inputs = dict(inputs)
    alone = {}
    for place, name in enumerate(data.config.modalities):
        presence = np.zeros((len(inputs["presence"]), 2), "float32")
        presence[:, place] = 1
        inputs["presence"] = tf.constant(presence)
        alone[name] = model(inputs, training=False)["label"].numpy()
    inputs["presence"] = tf.ones_like(presence)
    both = model(inputs, training=False)["label"].numpy()
    np.testing.assert_allclose(both, sum(alone.values()) / 2, atol=1e-5)
    # A modality that is never there learns nothing, the other one does.
    inputs["presence"] = tf.constant(presence)
    model.optimizer.weight_decay = 0.0
    before = [
        model.get_layer(f"{name}_vector").get_weights()[0] for name in alone
    ]
    model.train_on_batch(inputs, targets)
    moved = [
        np.any(model.get_layer(f"{name}_vector").get_weights()[0] != old)
        for name, old in zip(alone, before, strict=True)
    ]
    assert moved == [False, True]


def test_late_fusion_refuses_what_needs_a_fused_vector():
    for changes in ({"pretrain_epochs": 1}, {"similarity_weight": 0.1}):
        with pytest.raises(ValueError, match="late"):
            dataclasses.replace(Config(), fusion="late", **changes)
