"""Encoders from KerasHub presets, which the tests make, tiny."""

import csv
import dataclasses
import json
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from applications import cli
from applications.multimodal_classification import Config
from applications.multimodal_classification import build_model
from applications.multimodal_classification import image_encoders
from applications.multimodal_classification import load_data
from applications.multimodal_classification import text_encoders
from applications.runs import Run

keras_hub = pytest.importorskip("keras_hub")

TASK = "multimodal_classification"
SIDE, LENGTH = 16, 6
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (
    *("red", "green", "hard", "soft", "round", "##ness", "very", "a", "fruit"),
    *("is", "it", "skin", "small", "large", "so"),
)
NUMBERS = {word: number for number, word in enumerate((*MARKS, *WORDS))}
SMALL = {
    **{"image_side": SIDE, "text_length": LENGTH, "units": 8, "epochs": 2},
    **{"images": ("back",), "texts": ("says",), "label": "label"},
}


@pytest.fixture(scope="module")
def fruit(tmp_path_factory):
    """Rows whose class is in the text, which every eighth lacks."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    rows = []
    for index in range(64):
        label = ["green", "red"][rng.integers(2)]
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3))
        Image.fromarray(pixels.astype("uint8")).save(root / f"{index}.png")
        said = [f"Very {label}!", f"it is {label}ness, soft"][rng.integers(2)]
        row = {"back": f"{index}.png", "says": said, "label": label}
        rows.append(row | ({} if index % 8 else {"says": ""}))
    with open(root / "train.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return root


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    """A network of pictures, and the folder of its preset."""
    keras.utils.set_random_seed(1)
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 8],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )
    folder = tmp_path_factory.mktemp("resnet")
    backbone.save_to_preset(folder)
    converter = keras_hub.layers.ImageConverter(scale=1 / 255, offset=-0.5)
    converter.save_to_preset(folder)
    return backbone, str(folder)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """The same of texts."""
    keras.utils.set_random_seed(2)
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=len(NUMBERS),
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=8,
    )
    folder = tmp_path_factory.mktemp("bert")
    backbone.save_to_preset(folder)
    tokenizer = keras_hub.tokenizers.BertTokenizer(
        vocabulary=[*NUMBERS], lowercase=True
    )
    tokenizer.save_to_preset(folder)
    return backbone, str(folder)


@pytest.fixture
def config(fruit, resnet, bert):
    return Config(
        data_dir=str(fruit),
        image_encoder=resnet[1],
        text_encoder=bert[1],
        **SMALL,
    )


def of_validation(data):
    return next(iter(data.split("validation")[1]))[0]


def test_features_are_the_backbones_own(config, resnet, bert):
    inputs = of_validation(load_data(config))
    maps = resnet[0](inputs["back"] / 255 - 0.5, training=False)
    expected = np.mean(maps, axis=(1, 2))
    assert np.ptp(expected, axis=0).max() > 1e-3
    np.testing.assert_allclose(inputs["back:features"], expected, atol=1e-4)
    there = inputs["presence"].numpy()[:, 1] > 0
    assert there.any()
    for row in np.flatnonzero(there):
        tokens = [n for n in inputs["says"][row].numpy() if n]
        # By itself there is nothing to mask.
        fed = {
            "token_ids": np.array([tokens]),
            "padding_mask": np.ones((1, len(tokens)), "int32"),
            "segment_ids": np.zeros((1, len(tokens)), "int32"),
        }
        sequence = bert[0](fed, training=False)["sequence_output"]
        np.testing.assert_allclose(
            inputs["says:features"][row], np.mean(sequence[0], 0), atol=1e-4
        )
    assert np.ptp(inputs["says:features"].numpy()[there], axis=0).max() > 0.1


def test_texts_are_the_presets_tokens_and_the_words_again(config):
    said = ["Very RED!", "it is redness, soft", "", "a pear is a fruit"]
    found = text_encoders.encode(said, config)
    words = [
        ["[CLS]", "very", "red", "[UNK]", "[SEP]"],
        # What is longer is cut.
        ["[CLS]", "it", "is", "red", "##ness", "[SEP]"],
        ["[CLS]", "[SEP]"],
        ["[CLS]", "a", "[UNK]", "is", "a", "[SEP]"],
    ]
    wanted = np.zeros((len(said), LENGTH), "int32")
    for row, tokens in zip(wanted, words, strict=True):
        row[: len(tokens)] = [NUMBERS[token] for token in tokens]
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, wanted)
    assert text_encoders.decode(found[1], config) == "it is redness"
    assert text_encoders.decode(found[2], config) == ""
    assert text_encoders.encode([], config).shape == (0, LENGTH)
    gone = dataclasses.replace(config, text_encoder="gone/away")
    with pytest.raises(ValueError, match="'gone/away', which has none"):
        text_encoders.encode(said, gone)


def test_features_are_computed_once_for_each_split(config, monkeypatch):
    counts = []

    def counted(make):
        def made(config):
            encoder = make(config)
            predict = encoder.predict

            def count(values, **kwargs):
                counts.append((encoder.name, len(values)))
                return predict(values, **kwargs)

            encoder.predict = count
            return encoder

        return made

    for module in (image_encoders, text_encoders):
        monkeypatch.setattr(module, "make", counted(module.make))
    data = load_data(config)
    assert not data.config.words
    for epoch in (0, 1):
        batches, steps = data.train(epoch)
        for inputs, _ in batches.take(steps):
            assert {*inputs} == {"back:features", "says:features", "presence"}
    for _ in range(2):
        of_validation(data)
    assert sorted(counts) == sorted(
        (name, data.sizes[split])
        for name in ("image_encoder", "text_encoder")
        for split in ("train", "validation")
    )


def without_features(inputs):
    return {n: x for n, x in inputs.items() if not n.endswith(":features")}


@pytest.mark.parametrize("fine_tune", [False, True])
def test_what_learns_is_kept_when_the_model_is_loaded(
    config, tmp_path, fine_tune
):
    data = load_data(dataclasses.replace(config, fine_tune=fine_tune))
    model = build_model(data.config)
    inputs, targets = next(iter(data.train()[0]))
    before = {w.path: np.array(w) for w in model.weights}
    logs = model.train_on_batch(inputs, targets, return_dict=True)
    assert np.isfinite(logs["loss"])
    norm = ("gamma", "beta", "moving_mean", "moving_variance")
    for name in ("image_encoder", "text_encoder"):
        moved = []
        for weight in model.get_layer(name).weights:
            fixed = name == "image_encoder" and weight.name in norm
            # Of the first token alone, and of no use to the mean.
            fixed = fixed or "pooled_dense" in weight.path
            has_moved = bool(np.any(np.array(weight) != before[weight.path]))
            assert has_moved == (fine_tune and not fixed), weight.path
            moved.append(has_moved)
        assert any(moved) == fine_tune and not all(moved)
    # A warning of Keras, if the state of AdamW did not fit, would be raised.
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    paths = [[w.path for w in m.trainable_weights] for m in (model, loaded)]
    assert len(paths[0]) == len(paths[1])
    assert loaded.optimizer.iterations == 1
    given = without_features(of_validation(data))
    np.testing.assert_allclose(
        loaded(given, training=False)["label"],
        model(given, training=False)["label"],
        atol=1e-5,
    )
    # A hidden text has no tokens.
    given["says"] = tf.zeros_like(given["says"])
    assert np.isfinite(loaded(given, training=False)["label"]).all()


def test_a_run_of_presets(fruit, resnet, bert, tmp_path):
    flags = (
        *("--data-dir", str(fruit), "--runs-dir", str(tmp_path)),
        *("--images", "back", "--texts", "says", "--label", "label"),
        *("--image-side", str(SIDE), "--text-length", str(LENGTH)),
        *("--image-encoder", resnet[1], "--text-encoder", bert[1]),
        *("--learning-rate", "0.1", "--batch-size", "16", "--units", "8"),
        *("--held-out", "0.25"),
    )
    assert cli.main([TASK, "train", *flags, "--epochs", "12"]) == 0
    # It goes on with the state that was saved.
    assert cli.main([TASK, "train", *flags, "--epochs", "14"]) == 0
    run = Run(TASK, tmp_path / TASK / "default")
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert metrics["epochs"] == 14
    # By chance it is 0.69.
    assert metrics["log_loss"] < 0.5
    said = (run.folder / "data.txt").read_text()
    assert f"pictures' encoder the preset {resnet[1]!r}, frozen" in said
    assert f"texts' encoder the preset {bert[1]!r}, frozen" in said
    model = run.model()
    assert {*model.input} == {"back", "says", "presence"}
    backbone = model.get_layer("text_encoder").get_layer(bert[0].name)
    for ours, theirs in zip(backbone.weights, bert[0].weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    at = ("--run", str(run.folder))
    for verb in ("evaluate", "graph", "export"):
        assert cli.main([TASK, verb, *at]) == 0
    served = tf.saved_model.load(str(run.folder / "export/saved_model"))
    given = without_features(of_validation(run.data()))
    np.testing.assert_allclose(
        served.serve(given)["label"],
        model(given, training=False)["label"],
        atol=1e-4,
    )
    out = ("--data-dir", str(fruit), "--out", str(tmp_path / "out"))
    assert cli.main([TASK, "predict", *at, *out]) == 0
    with open(tmp_path / "out" / "train.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    changes = np.array([float(row["without says"]) for row in rows])
    assert not changes[::8].any() and changes[1::8].any()
    with open(fruit / "train.csv", newline="") as file:
        truth = [row["label"] for row in csv.DictReader(file)]
    # A row without its text can only be guessed.
    right = [row["label"] == truth[n] for n, row in enumerate(rows) if n % 8]
    assert np.mean(right) > 0.9


@pytest.fixture(scope="module")
def places(tmp_path_factory, resnet, bert):
    root = tmp_path_factory.mktemp("places")
    (root / "empty").mkdir()
    (root / "other").mkdir()
    (root / "other" / "config.json").write_text("{}")
    resnet[0].save_to_preset(root / "alone")
    return {
        "RESNET": resnet[1],
        "BERT": bert[1],
        "EMPTY": str(root / "empty"),
        "OTHER": str(root / "other"),
        "ALONE": str(root / "alone"),
    }


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("text", "bert_tiny_en_uncased"), "must be convolution, bag, or the"),
        (("image", "resnet_18_imagenet"), "or the folder of a KerasHub preset"),
        (("text", "EMPTY"), "text_encoder must be the folder of a KerasHub"),
        (("image", "EMPTY"), "image_encoder must be the folder of a KerasHub"),
        (("text", "OTHER"), "is no KerasHub preset of a network of texts"),
        (("image", "OTHER"), "is no KerasHub preset of a network of pictures"),
        (("text", "RESNET"), "is no KerasHub preset of a network of texts"),
        (("image", "BERT"), "is no KerasHub preset of a network of pictures"),
        (("image", "ALONE"), "image_converter.json"),
        (("text", "BERT", "--texts"), "the data have no texts"),
        (("image", "RESNET", "--image-weights", "x.h5"), "which has its own"),
        (("text", "BERT", "--text-length", "2"), "marks alone are 2 tokens"),
        (("text", "BERT", "--text-length", "1"), "marks alone are 2 tokens"),
        (("text", "BERT", "--text-length", "9"), "longest have 8 tokens"),
    ],
)
def test_what_is_wrong_is_one_line(
    fruit, places, tmp_path, capsys, flags, message
):
    kind, encoder, *more = flags
    flags = (
        *("--data-dir", str(fruit), "--runs-dir", str(tmp_path / "runs")),
        *("--images", "back", "--texts", "says", "--label", "label"),
        *(f"--{kind}-encoder", places.get(encoder, encoder)),
        *more,
    )
    assert cli.main([TASK, "train", "--image-side", str(SIDE), *flags]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("kind", ["image", "text"])
def test_without_the_package_one_line_says_so(config, monkeypatch, kind):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    own = {"image": "convolutions", "text": "bag"}
    del own[kind]
    other = {f"{name}_encoder": value for name, value in own.items()}
    with pytest.raises(ValueError, match="pip install 'keras-fusion"):
        load_data(dataclasses.replace(config, **other))
