"""The task on images that the tests draw."""

import csv
import dataclasses
import itertools
import json
import re

import keras
import keras_tuner
import numpy as np
import pytest
from PIL import Image

from applications import cli
from applications.captioning import Config
from applications.captioning import build_model
from applications.captioning import load_data
from applications.captioning import scores
from applications.captioning import sources
from applications.captioning import space as captioning_space
from applications.captioning.likelihoods import Teller
from applications.inputs import caption as captions
from applications.runs import Run
from keras_fusion.models import CAPTION_DECODERS

TASK = "captioning"
COLORS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 210)}
SIDES = ("left", "right")
SMALL = (
    *("--image-side", "32", "--image-units", "32", "--embedding-size", "16"),
    *("--units", "32", "--num-blocks", "1", "--measured", "30"),
    *("--batch-size", "16", "--epochs", "10", "--length", "12"),
)


def write_boxes(root, each=20):
    """Images of a box on one side, two captions each."""
    rng = np.random.default_rng(0)
    for split, count in (("train", each), ("validation", 5)):
        folder = root / split / "images"
        folder.mkdir(parents=True)
        rows = []
        kinds = itertools.product(COLORS, SIDES, range(count))
        for number, (color, side, _) in enumerate(kinds):
            pixels = rng.integers(0, 60, (32, 40, 3))
            left = rng.integers(2, 8) + 20 * (side == "right")
            top = rng.integers(0, 20)
            pixels[top : top + 10, left : left + 10] = COLORS[color]
            name = f"{number}.png"
            Image.fromarray(pixels.astype("uint8")).save(folder / name)
            rows.append((name, f"A {color} box is on the {side}."))
            rows.append((name, f"on the {side}, a {color} box"))
        with open(root / split / "captions.txt", "w", newline="") as file:
            csv.writer(file).writerows([("image", "caption"), *rows])
    return root


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    return write_boxes(tmp_path_factory.mktemp("data") / "boxes")


@pytest.fixture(scope="module")
def trained(boxes, tmp_path_factory):
    runs_dir = tmp_path_factory.mktemp("runs")
    places = ("--data-dir", str(boxes), "--runs-dir", str(runs_dir))
    assert cli.main([TASK, "train", *SMALL, *places]) == 0
    return Run(TASK, runs_dir / TASK / "default")


def test_the_image_tells_what_the_words_do_not(trained):
    metrics = trained.metrics()
    # Which of the two texts, which color and which side: 2 * 3 * 2 texts of
    # nine numbers or eight, the end among them.
    blind = np.exp(np.log(12) / 8.5)
    seeing = np.exp(np.log(2) / 8.5)
    assert metrics["perplexity"] < (seeing + blind) / 2
    assert metrics["wrong_image"]["perplexity"] > blind
    for way in ("text_to_image", "image_to_text"):
        assert metrics[way]["recall_at_10"] > 0.5
    # Words from the sixth on, of texts of eight words: the first kind alone.
    assert metrics["perplexity_by_the_paper"] < 2


def test_the_beam_writes_what_is_there(trained, boxes):
    model = trained.model()
    data = trained.data()
    _, dataset = data.split("validation")
    found = scores.gather(dataset)
    assert len(found.images) == 30 and len(found.words) == 60
    teller = Teller(model, data.config)
    texts = scores.written(teller, teller.codes(found.images))
    right = 0
    kinds = itertools.product(COLORS, SIDES, range(5))
    for place, (color, side, _) in enumerate(kinds):
        right += color in texts[place] and side in texts[place]
    assert right > 20


def test_every_verb_runs(trained, boxes, tmp_path, capsys):
    run = ("--run", str(trained.folder))
    image = str(boxes / "validation" / "images" / "0.png")
    assert cli.main([TASK, "evaluate", *run]) == 0
    assert cli.main([TASK, "export", *run]) == 0
    capsys.readouterr()
    given = ("--image", image, "--start", "a")
    assert cli.main([TASK, "generate", *run, *given, "--seed", "1"]) == 0
    drawn = capsys.readouterr().out
    assert len(re.findall(r"^ +-\d\.\d+  a ", drawn, re.M)) == 3
    assert cli.main([TASK, "generate", *run, "--image", image]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    beam = ("--beam", "4", "--count", "2")
    assert cli.main([TASK, "generate", *run, *given, *beam]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and "a red box is on the left." in lines[1]
    text = ("--text", "a unicorn on the right")
    assert cli.main([TASK, "retrieve", *run, *text]) == 0
    assert "not known to the model: unicorn" in capsys.readouterr().out
    text = ("--text", "A blue box is on the right.")
    found = tmp_path / "found" / "boxes.png"
    out = ("--out", str(found))
    assert cli.main([TASK, "retrieve", *run, *text, *out]) == 0
    said = capsys.readouterr().out
    with Image.open(found) as picture:
        assert picture.width > 5 * 32
    # The last five of all.
    assert "of 30 images of the validation part" in said
    names = re.findall(r"(\d+)\.png", said)
    assert len(names) == 5
    assert np.mean([int(name) >= 25 for name in names]) >= 0.6
    assert cli.main([TASK, "retrieve", *run, "--image", image]) == 0
    first = capsys.readouterr().out.splitlines()[1]
    assert "red" in first and "left" in first


def test_predictions_are_captions_of_a_folder(trained, boxes, tmp_path):
    folder = tmp_path / "photos" / "deep"
    folder.mkdir(parents=True)
    pixels = np.zeros((50, 20, 3), "uint8")
    pixels[20:40, 2:8] = COLORS["green"]
    Image.fromarray(pixels).save(folder / "a.jpg")
    (folder / "b.jpg").write_bytes(b"no image")
    out = tmp_path / "out"
    problems = []
    task = trained.task
    (file,) = task.predict(
        trained.model(), trained.config, folder.parent, out, problems
    )
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [row["image"] for row in rows] == ["deep/a.jpg"]
    assert "green" in rows[0]["caption"]
    assert len(problems) == 1 and "b.jpg" in problems[0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--start", "a unicorn"), "does not know the word 'unicorn'"),
        (("--start", "a " * 99), "start has 99 words"),
        (("--temperature", "0"), "temperature must be from 0.01 to 100"),
        (("--top-p", "1.5"), "top_p must be more than 0, up to 1"),
        (("--count", "0"), "count must be from 1 to 1000"),
        (("--beam=-1",), "beam must be from 0 to 1000"),
    ],
)
def test_wrong_requests_are_one_line(trained, boxes, given, said, capsys):
    image = boxes / "train" / "images" / "0.png"
    run = ("--run", str(trained.folder), "--image", str(image))
    assert cli.main([TASK, "generate", *run, *given]) != 0
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert said in error


def test_wrong_images_and_texts_are_one_line(trained, tmp_path, capsys):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG nothing")
    run = ("--run", str(trained.folder))
    for verb, given, said in (
        ("generate", ("--image", str(broken)), "could not be read as an image"),
        ("generate", ("--image", str(tmp_path / "none.png")), "no image"),
        ("retrieve", ("--image", str(broken)), "could not be read as an image"),
        ("retrieve", ("--text", "unicorn"), "a word that the model knows"),
        ("retrieve", ("--text", ""), "a word that the model knows"),
        ("retrieve", (), "give either text or image"),
        ("retrieve", ("--text", "a", "--count", "0"), "count must be 1"),
        ("retrieve", ("--text", "a", "--out", "a.jpg"), "must end in .png"),
        ("retrieve", ("--text", "a", "--data-dir", "gone"), "data_dir must be"),
        ("retrieve", ("--text", "a", "--split", "test"), "has no test split"),
    ):
        assert cli.main([TASK, verb, *run, *given]) != 0, given
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1
        assert said in error


def test_of_several_images_those_that_can_be_read_are_told(
    trained, boxes, tmp_path, capsys
):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    good = boxes / "validation" / "images" / "0.png"
    images = ("--image", str(tmp_path / "broken.png"), str(good))
    run = ("--run", str(trained.folder))
    # A start of no words is none.
    given = ("--start", "  ", "--count", "1", "--beam", "2")
    assert cli.main([TASK, "generate", *run, *images, *given]) != 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == f"{good}:" and "red" in lines[1]
    assert lines[2].startswith("left out: ") and "broken.png" in lines[2]
    assert said.err.count("\n") == 1 and "1 of the images could" in said.err


@pytest.mark.parametrize("model", CAPTION_DECODERS)
def test_every_model_learns_and_scores_all_pairs(boxes, model):
    config = Config(
        data_dir=str(boxes),
        model=model,
        image_side=32,
        image_units=16,
        embedding_size=8,
        units=16,
        num_blocks=1,
        dropout=0.0,
        batch_size=16,
    )
    data = load_data(config)
    network = build_model(data.config)
    train, steps = data.train()
    before = network.evaluate(train, steps=2, verbose=0)[0]
    network.fit(
        train, steps_per_epoch=steps, epochs=4, shuffle=False, verbose=0
    )
    assert network.evaluate(train, steps=2, verbose=0)[0] < 0.9 * before
    found = scores.gather(data.split("validation")[1])
    teller = Teller(network, data.config)
    codes = teller.codes(found.images[:4])
    costs = teller.pairs(codes, found.words[:6])
    # One pass for each pair, of the whole model.
    for image in range(4):
        for text in range(6):
            words = found.words[text]
            logits = network(
                {
                    "image": found.images[image : image + 1],
                    "words": words[None, :-1],
                }
            )["next"]
            logs = np.array(keras.ops.log_softmax(logits))[0].astype("float64")
            said = words[1:] != captions.PADDING
            logs = logs[np.arange(len(said)), words[1:]][said]
            assert costs[image, text] == pytest.approx(
                -logs.mean() / np.log(2), abs=1e-5
            )


def test_perplexity_is_counted_both_ways(boxes):
    data = load_data(Config(data_dir=str(boxes), image_side=32, measured=0))
    network = build_model(data.config)
    for weight in network.trainable_weights:
        weight.assign(0 * weight)
    metrics = scores.measure(network, data.split("validation")[1], data.config)
    # A model that knows nothing has as many choices as there are numbers.
    size = len(data.config.words) + captions.RESERVED
    assert metrics["perplexity"] == pytest.approx(size, rel=1e-5)
    assert metrics["perplexity_by_the_paper"] == pytest.approx(size, rel=1e-5)
    eight = captions.encode([("a",) * 8, ("a",) * 7], ("a",), 9)[:, 1:]
    counted = scores.paper_counts(eight, 5)
    # Words six to eight of a text of eight; none of a text of seven.
    np.testing.assert_array_equal(np.flatnonzero(counted[0]), [5, 6, 7])
    assert not counted[1].any()


def test_case_9_bleu_is_that_by_hand():
    pytest.importorskip("sacrebleu")
    words = ("a", "b", "c", "d", "e")
    found = scores.Captions(
        np.zeros((2, 1)),
        np.array([0, 0, 1]),
        captions.encode(
            [tuple("abcde"), tuple("abced"), tuple("edcba")], words, 5
        ),
    )
    config = dataclasses.replace(Config(), words=words)
    same = scores.quality([tuple("abcde"), tuple("edcba")], found, config)
    for name in ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "chrf"):
        assert same[name] == pytest.approx(1)
    other = scores.quality([tuple("abdce"), tuple("edcba")], found, config)
    # All ten words are right; of eight pairs ab, ce and the last four.
    assert other["bleu_1"] == pytest.approx(1)
    assert other["bleu_2"] == pytest.approx(np.sqrt(6 / 8))


def test_what_is_written_says_so_without_sacrebleu(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu.metrics", None)
    found = scores.Captions(np.zeros((1, 1)), np.zeros(1, int), np.ones((1, 3)))
    said = scores.quality([("a",)], found, Config())
    assert "keras-fusion[captioning]" in said["left_out"]


def test_metrics_are_json_and_the_table_shows_them(trained):
    text = (trained.folder / "metrics.json").read_text()
    shown = scores.table(json.loads(text))
    assert "images for a text" in shown and "by the paper's rule" in shown


def test_every_value_of_the_space_is_taken():
    hp = keras_tuner.HyperParameters()
    captioning_space.space(hp)
    for parameter in hp.space:
        for value in getattr(parameter, "values", [parameter.default]):
            given = keras_tuner.HyperParameters()
            for condition in parameter.conditions:
                given.values[condition.name] = condition.values[0]
            given.values[parameter.name] = value
            settings = captioning_space.space(given)
            assert getattr(Config(**settings), parameter.name) == value
    start = Config()
    defaults = captioning_space.space(keras_tuner.HyperParameters())
    assert dataclasses.replace(start, **defaults) == start


def test_sources_keep_the_words_of_a_run(boxes):
    config = Config(data_dir=str(boxes), words=("a", "box"))
    source = sources.find(config)
    assert source.config.words == ("a", "box")
    assert source.config.feature_shape == (48, 48, 3)
