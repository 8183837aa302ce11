"""The task on rows that the tests write."""

import csv
import dataclasses
import json
import re

import keras
import numpy as np
import pytest
import scipy.io.wavfile
import sklearn.metrics
from PIL import Image

from applications import cli
from applications.multimodal_classification import Config
from applications.multimodal_classification import build_model
from applications.multimodal_classification import data
from applications.multimodal_classification import graphs
from applications.multimodal_classification import load_data
from applications.multimodal_classification import scores
from applications.multimodal_classification import sources
from applications.runs import Run
from keras_fusion.models import FUSION_LAYERS

TASK = "multimodal_classification"
TINY = (
    *("--epochs", "2", "--units", "8", "--filters", "4", "8"),
    *("--image-side", "16", "--text-length", "12"),
)


def write_fruit(root, count=200):
    """Ripe where it is red or soft but not both, with everything missing."""
    rng = np.random.default_rng(0)
    (root / "pictures").mkdir(parents=True)
    rows = []
    for index in range(count):
        red, soft = rng.integers(2, size=2)
        picture = f"pictures/{index}.jpg"
        if index % 3:
            color = [200, 40, 40] if red else [40, 200, 40]
            pixels = color + rng.integers(0, 40, (24, 30, 3))
            Image.fromarray(pixels.astype("uint8")).save(root / picture)
        says = 'weich, "überreif"\nund süß' if soft else "hart; grün"
        rows.append(
            {
                "picture": picture if index % 6 else "",
                "says": f"{says} {rng.choice(['Obst', 'Käufer'])} {index}",
                "weight": 150 + 20 * rng.normal(),
                "price": "" if index % 7 == 0 else 2.5 + soft,
                "size": int(rng.integers(5)),
                "city": ["Bonn", "Köln", "Ulm"][rng.integers(3)],
                "label": "" if index % 20 == 0 else ["no", "yes"][red ^ soft],
            }
        )
    with open(root / "train.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return root


@pytest.fixture(scope="module")
def fruit(tmp_path_factory):
    return write_fruit(tmp_path_factory.mktemp("data") / "fruit")


@pytest.fixture(scope="module")
def trained(fruit, tmp_path_factory):
    runs_dir = tmp_path_factory.mktemp("runs")
    places = ("--data-dir", str(fruit), "--runs-dir", str(runs_dir))
    assert cli.main([TASK, "train", *TINY, *places]) == 0
    return Run(TASK, runs_dir / TASK / "default")


def test_columns_are_taken_by_their_contents(fruit):
    loaded = load_data(Config(data_dir=str(fruit)))
    config = loaded.config
    assert config.images == ("picture",)
    assert config.texts == ("says",)
    assert config.table == ("weight", "price", "size", "city")
    assert config.label == "label"
    assert config.numbers == ("weight", "price", "size")
    assert config.categories == ("city=Bonn", "city=Köln", "city=Ulm")
    assert config.classes == ("no", "yes")
    assert "columns, texts: says" in loaded.notes
    said = loaded.describe("train", "validation")
    # Every third picture has no file, every sixth no name.
    assert "picture: pictures, brought to 32 x 32" in said
    assert re.search("picture: .*; missing in 3[0-9]", said)
    assert "validation is 1 in 10 of train, by class" in said


def test_flags_take_some_columns_and_say_what_they_leave(fruit):
    config = Config(data_dir=str(fruit), texts=("says",), table=("size",))
    loaded = load_data(config)
    assert loaded.config.modalities == ("says", "table")
    assert "columns, left out: picture, weight, price, city" in loaded.notes


def test_missing_values_are_absent_modalities(fruit):
    config = dataclasses.replace(Config(), data_dir=str(fruit), held_out=0.0)
    source = sources.find(config)
    examples = source.read("train")
    absent = ~examples.presence[:, 0]
    np.testing.assert_array_equal(absent, np.arange(200) % 3 == 0)
    assert not examples.inputs["picture"][absent].any()
    assert examples.presence[:, 1:].all()
    np.testing.assert_array_equal(
        examples.labels == sources.UNLABELLED, np.arange(200) % 20 == 0
    )


def test_rows_without_a_label_are_trained_on_and_not_held_out(fruit):
    source = sources.find(Config(data_dir=str(fruit)))
    train, held = source.read("train"), source.read("validation")
    assert len(train) + len(held) == 200
    assert held.labelled.all()
    assert (~train.labelled).sum() == 10
    # Of each class a tenth.
    assert np.abs(np.bincount(held.labels) - 9.5).max() <= 1.5


def test_every_verb_runs(trained, fruit, tmp_path, capsys):
    run = ("--run", str(trained.folder))
    assert cli.main([TASK, "evaluate", *run]) == 0
    assert cli.main([TASK, "graph", *run]) == 0
    assert cli.main([TASK, "export", *run]) == 0
    graph = json.loads((trained.folder / "graph-validation.json").read_text())
    assert np.shape(graph["modality_graph"]) == (3, 3)
    assert "rebuilt from" in capsys.readouterr().out
    metrics = json.loads((trained.folder / "metrics.json").read_text())
    assert set(metrics["without"]) == {"picture", "says", "table"}
    assert set(metrics["alone"]) == {"picture", "says", "table"}
    with Image.open(trained.folder / "pictures" / "panel.png") as panel:
        assert panel.width == 4 * 96


def test_predictions_say_what_each_modality_changes(trained, fruit, tmp_path):
    out = tmp_path / "out"
    flags = ("--data-dir", str(fruit), "--out", str(out))
    run = ("--run", str(trained.folder))
    assert cli.main([TASK, "predict", *run, *flags]) == 0
    with open(out / "train.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 200
    for row in rows:
        chances = {c: float(row[f"probability {c}"]) for c in ("no", "yes")}
        assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
        assert row["label"] == max(chances, key=chances.get)
    # A picture that was never there changes nothing.
    changes = np.array([float(row["without picture"]) for row in rows])
    assert not changes[::3].any()
    assert changes.any()


def test_an_unreadable_picture_is_named_with_its_row(tmp_path, capsys):
    root = write_fruit(tmp_path / "fruit")
    (root / "pictures" / "7.jpg").write_bytes(b"no picture")
    flags = ("--data-dir", str(root), "--runs-dir", str(tmp_path / "runs"))
    assert cli.main([TASK, "train", *TINY, *flags]) == 2
    said = capsys.readouterr().err
    assert "train.csv, row 8, column picture: " in said
    assert "7.jpg could not be read" in said
    assert not (tmp_path / "runs").exists()


def test_wrong_columns_are_named(fruit):
    with pytest.raises(ValueError, match="no column 'colour'; its columns are"):
        load_data(Config(data_dir=str(fruit), texts=("colour",)))
    with pytest.raises(ValueError, match="no column 'kind'"):
        load_data(Config(data_dir=str(fruit), label="kind"))


@pytest.mark.parametrize(
    "named",
    [
        {"images": ("front",)},
        {"sounds": ("heard",)},
        {"texts": ("review",)},
        {"table": ("age",)},
        {"label": "kind"},
        {"labels": "tags"},
    ],
)
def test_columns_without_a_folder_are_not_passed_over(named):
    (name,) = named
    with pytest.raises(ValueError, match=f"{name} names col.*--data-dir"):
        load_data(Config(**named))


def test_no_column_that_could_be_the_label_is_an_error(tmp_path):
    (tmp_path / "train.csv").write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(ValueError, match="give --label NAME"):
        load_data(Config(data_dir=str(tmp_path)))


def test_a_class_that_was_never_learned_is_named(fruit, tmp_path):
    config = load_data(Config(data_dir=str(fruit))).config
    header = (fruit / "train.csv").read_text(encoding="utf-8").split("\n")[0]
    (tmp_path / "test.csv").write_text(header + "\n,x,1,2,3,Bonn,maybe\n")
    config = dataclasses.replace(config, data_dir=str(tmp_path))
    with pytest.raises(
        ValueError, match="the class 'maybe'; the known classes"
    ):
        load_data(config).split("test")


@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
def test_labels_are_left_out_class_by_class_and_always_the_same(fruit, share):
    config = load_data(
        Config(data_dir=str(fruit), labelled_fraction=share)
    ).config
    examples = sources.find(config).read("train")
    labels = data.labels_to_learn(examples, config)
    counts = np.bincount(examples.labels[examples.labelled])
    for label, count in enumerate(counts):
        assert (labels == label).sum() == max(1, round(share * count))
    np.testing.assert_array_equal(
        labels, data.labels_to_learn(examples, config)
    )
    kept = labels != sources.UNLABELLED
    np.testing.assert_array_equal(labels[kept], examples.labels[kept])


def test_the_first_epochs_are_without_labels(fruit):
    config = load_data(
        Config(data_dir=str(fruit), pretrain_epochs=2, batch_size=50)
    ).config
    batches, steps = load_data(config).train()
    seen = [
        (targets["label"].numpy() != sources.UNLABELLED).any()
        for _, targets in batches.take(3 * steps)
    ]
    assert seen == [False] * (2 * steps) + [True] * steps


def test_without_labels_the_refiner_alone_learns(fruit):
    small = {"units": 8, "image_side": 16, "filters": (4,), "weight_decay": 0.0}
    config = load_data(Config(data_dir=str(fruit), **small)).config
    model = build_model(config)
    inputs, targets = next(iter(load_data(config).train()[0]))
    blind = {"label": np.full(len(targets["label"]), sources.UNLABELLED)}
    refiner = model.get_layer("refiner")
    head = model.get_layer("label").get_weights()
    refined = refiner.get_weights()[0]
    loss = model.train_on_batch(inputs, blind)
    assert np.isfinite(loss) and loss > 0
    assert np.any(refiner.get_weights()[0] != refined)
    for weight, old in zip(model.get_layer("label").weights, head, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_a_class_may_be_called_none_and_a_row_may_have_no_class(tmp_path):
    lines = [
        "size,label",
        *(f"{i},{['none', 'mild'][i % 2]}" for i in range(9)),
    ]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    source = sources.find(Config(data_dir=str(tmp_path), held_out=0.0))
    assert source.config.classes == ("mild", "none")
    assert source.read("train").labelled.all()
    rows = [
        {"size": 1, "tags": []},
        {"size": 2, "tags": ["a", "b"]},
        {"size": 3},
    ]
    other = tmp_path / "other"
    other.mkdir()
    (other / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = sources.find(Config(data_dir=str(other), held_out=0.0))
    np.testing.assert_array_equal(
        source.read("train").labels, [[0, 0], [1, 1], [-1, -1]]
    )


def test_sounds_and_lists_of_classes(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for index in range(24):
        low, loud = rng.integers(2, size=2)
        time = np.arange(4000) / 8000
        wave = np.sin(2 * np.pi * (200 if low else 2000) * time)
        wave *= 0.9 if loud else 0.1
        scipy.io.wavfile.write(tmp_path / f"{index}.wav", 8000, wave)
        labels = ["low"] * low + ["loud"] * loud
        rows.append({"heard": f"{index}.wav", "tags": labels or ["quiet"]})
    rows[3] = {"heard": "3.wav"}
    text = "\n".join(map(json.dumps, rows))
    (tmp_path / "train.jsonl").write_text(text)
    flags = (
        *("--data-dir", str(tmp_path), "--runs-dir", str(tmp_path / "runs")),
        *("--epochs", "2", "--batch-size", "8", "--held-out", "0.3"),
        *("--sound-seconds", "0.5", "--units", "8", "--filters", "4"),
    )
    assert cli.main([TASK, "train", *flags]) == 0
    run = Run(TASK, tmp_path / "runs" / TASK / "default")
    assert run.config.sounds == ("heard",) and run.config.labels == "tags"
    assert run.config.classes == ("loud", "low", "quiet")
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert 0 <= metrics["macro_f1"] <= 1
    assert "confusion" not in metrics


@pytest.mark.parametrize("fusion", FUSION_LAYERS)
def test_every_fusion_trains_a_step(fruit, fusion):
    config = load_data(
        Config(
            data_dir=str(fruit),
            units=8,
            image_side=16,
            filters=(4,),
            fusion=fusion,
            similarity_weight=0.1,
        )
    ).config
    model = build_model(config)
    inputs, targets = next(iter(load_data(config).train()[0]))
    before = [np.array(w) for w in model.trainable_weights]
    logs = model.train_on_batch(inputs, targets, return_dict=True)
    assert np.isfinite(logs["loss"])
    names = [
        w.path
        for w, old in zip(model.trainable_weights, before, strict=True)
        if not np.any(np.array(w) != old)
    ]
    assert not names


@pytest.mark.parametrize("loss", ["cosine", "mse", "contrastive", "similarity"])
def test_every_refiner_loss_is_there(fruit, loss):
    config = load_data(
        Config(data_dir=str(fruit), units=8, filters=(4,), refiner_loss=loss)
    ).config
    model = build_model(config)
    inputs, _ = next(iter(load_data(config).train()[0]))
    model(inputs, training=True)
    (value,) = model.losses
    assert np.isfinite(value) and value >= 0


def test_scores_agree_with_scikit_learn(rng):
    chance = rng.dirichlet(np.ones(3), size=50)
    label = rng.integers(3, size=50)
    found = scores.scores_of_classes(chance, label)
    guess = chance.argmax(axis=1)
    metrics = sklearn.metrics
    expected = {
        "accuracy": metrics.accuracy_score(label, guess),
        "balanced_accuracy": metrics.balanced_accuracy_score(label, guess),
        "macro_f1": metrics.f1_score(label, guess, average="macro"),
        "roc_auc": metrics.roc_auc_score(label, chance, multi_class="ovr"),
        "log_loss": metrics.log_loss(label, chance),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value), name


def test_calibration_error_is_the_gap_of_the_bins():
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    right = np.array([True, False, True, True])
    # Two bins of equal weight: |.95 - .5| and |.55 - 1|.
    assert scores.calibration_error(confidence, right) == pytest.approx(0.45)


def test_signs_of_collapse(rng):
    wide = rng.normal(size=(2000, 4)) * [3, 3, 3, 3]
    assert graphs.effective_rank(wide) == pytest.approx(4, abs=0.05)
    line = rng.normal(size=(500, 1)) @ rng.normal(size=(1, 4))
    assert graphs.effective_rank(line) == pytest.approx(1, abs=1e-6)
    assert graphs.constant_cosine(np.ones((5, 3))) == pytest.approx(1)
    assert graphs.constant_cosine(wide) < 0.1
    assert graphs.cosine(wide, 2 * wide) == pytest.approx(1)
    assert graphs.cosine(wide, -wide) == pytest.approx(-1)


def test_neighbors_of_the_same_class(rng):
    labels = np.repeat([0, 1], 20)
    apart = np.where(labels[:, None], [10.0, 0.0], [0.0, 10.0])
    apart = apart + 0.1 * rng.normal(size=apart.shape)
    assert graphs.homophily(apart, labels) == 1
    mixed = rng.normal(size=(2000, 5))
    labels = np.tile([0, 1], 1000)
    assert graphs.homophily(mixed, labels) == pytest.approx(0.5, abs=0.03)
    assert graphs.homophily(mixed[:5], labels[:5]) is None


def test_a_run_without_a_refiner_has_neighbors_alone(fruit, tmp_path):
    flags = (
        *("--data-dir", str(fruit), "--runs-dir", str(tmp_path)),
        *("--refiner-weight", "0", "--epochs", "1", "--units", "4"),
    )
    assert cli.main([TASK, "train", *flags]) == 0
    folder = tmp_path / TASK / "default"
    assert cli.main([TASK, "graph", "--run", str(folder)]) == 0
    described = json.loads((folder / "graph-validation.json").read_text())
    assert "modality_graph" not in described
    assert 0 <= described["label_homophily"] <= 1
    drawn = {path.name for path in (folder / "pictures").iterdir()}
    assert "neighbors-validation.png" in drawn
    assert "graph-validation.png" not in drawn


def test_neither_half_of_a_digit_is_enough(tmp_path):
    flags = ("--epochs", "12", "--runs-dir", str(tmp_path))
    assert cli.main([TASK, "train", *flags]) == 0
    folder = tmp_path / TASK / "default"
    metrics = json.loads((folder / "metrics.json").read_text())
    best = max(scores["accuracy"] for scores in metrics["alone"].values())
    assert metrics["accuracy"] > best + 0.03
    assert metrics["accuracy"] > 0.9
    model = keras.models.load_model(folder / "model.keras")
    assert graphs.find_refiner(model)
