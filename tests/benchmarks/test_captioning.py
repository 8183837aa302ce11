"""The rows of the table, on images that a test of the task draws."""

import dataclasses

import numpy as np
import pytest

from applications.captioning import Config
from applications.captioning import sources
from benchmarks import captioning
from tests.applications.test_captioning import write_boxes


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    root = write_boxes(tmp_path_factory.mktemp("data") / "boxes", each=6)
    config = Config(
        data_dir=str(root),
        epochs=2,
        batch_size=8,
        image_side=32,
        image_units=8,
        embedding_size=8,
        measured=12,
        length=12,
    )
    return captioning.Comparison(config=config, seeds=(0, 1))


def test_every_kind_of_row_has_its_numbers(comparison):
    source = sources.find(comparison.config)
    width = None
    for row in ("2-grams, back-off", "mlbl_b", captioning.BAG):
        found = [
            captioning.result_of(row, source, 0, comparison) | {"seconds": 1.0}
        ]
        cells = captioning.cells(found)
        width = width or len(cells)
        assert len(cells) == width
        # A bag of words tells no next word, n-grams seek nothing.
        assert (cells[0] == "") == (row == captioning.BAG)
        assert (cells[6] == "") == ("grams" in row)
    perplexity = captioning.of_n_grams(2, source)["perplexity"]
    # Twelve texts of nine numbers or eight cannot be told by two words.
    assert np.exp(np.log(12) / 8.5) < perplexity < len(source.config.words)


def test_epochs_are_chosen_on_captions_of_other_images(comparison):
    source = sources.find(comparison.config)
    examples = source.read("train")
    train, apart = captioning.parted(examples, 0.25)
    of_train, of_apart = set(train.image_of), set(apart.image_of)
    assert len(train.words) + len(apart.words) == len(examples.words)
    assert max(of_train) < min(of_apart)
    assert len(of_apart) == pytest.approx(len(examples.images) / 4, abs=1)
    choosing = dataclasses.replace(comparison, lengths=(1, 6))
    # Texts that can be learned are told better after more of them.
    assert captioning.result_of("lbl", source, 0, choosing)["epochs"] == 6


def test_images_are_dealt_out_whole(comparison):
    examples = sources.find(comparison.config).read("train")
    other = captioning.dealt_out(examples, np.random.default_rng(0))
    pairs = {*zip(examples.image_of, other.image_of, strict=True)}
    # The captions of an image stay together, beside another one.
    assert len(pairs) == len(examples.images)
    assert len({new for _, new in pairs}) == len(pairs)
    assert (examples.image_of != other.image_of).mean() > 0.8


def test_a_bag_of_words_finds_what_features_say(comparison):
    source = sources.find(comparison.config)
    found = captioning.of_bag(source, seed=0)
    # By chance it would be 6.5 of twelve.
    assert found["text_to_image"]["median_rank"] < 5
