"""Models of captions under one budget: `python -m benchmarks.captioning`.

    python -m benchmarks.captioning --config.data-dir DIR \\
        --config.backbone squeezenet --config.encoder-weights FILE

Every row is trained on the same captions with the same settings, and measured
on the validation part, on which nothing is chosen. With `--lengths 8 12 20 40`
a row's epochs are those of the training, of so many, after which the captions
of a part of the training images, left out of it, have the lowest perplexity;
each seed then trains on all for as long. Features are made
once. `other images` trains `mlbl_b` on images that are dealt out at random:
what its weights alone are worth. `bag of words` is a linear map from features
to words that are there or not.
"""

import dataclasses
import json
import statistics
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tyro

from applications.captioning import Config
from applications.captioning import build_model
from applications.captioning import callbacks
from applications.captioning import data as batches
from applications.captioning import measure
from applications.captioning import scores
from applications.captioning import sources
from applications.captioning.generation import beam_search
from applications.captioning.ngrams import NGrams
from applications.captioning.scores import Captions
from applications.captioning.sources import Examples
from applications.inputs import caption as captions
from benchmarks.fitting import fit
from benchmarks.tables import percent
from benchmarks.tables import spread
from benchmarks.tables import write_table

ORDERS = (2, 3)
RANDOM, BAG = "mlbl_b, other images", "bag of words"
ROWS = (
    *(f"{order}-grams, back-off" for order in ORDERS),
    *("lbl", "mlbl_b", RANDOM, "mlbl_f", "lstm", "transformer", BAG),
)
# Changes that a model needs beside the common settings, found by hand on two
# epochs of Flickr8k.
RATES = {"lstm": 6e-3, "transformer": 1e-3}
BAG_EPOCHS = 20
# Of the training images, the last ones, on which epochs are chosen. Neighbors
# may share their captions, so they stay together.
SHARE = 1 / 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Compares models of captions."""

    rows: tuple[str, ...] = ROWS
    """Rows of the table."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds over which mean and deviation are taken."""
    config: Config = Config(length=32, min_count=5)
    """Settings of every row."""
    lengths: tuple[int, ...] = ()
    """Epochs of which each row takes the best. Empty: those of the settings."""
    common_rate: bool = False
    """Take the learning rate of the settings for LSTM and Transformer too."""
    kept: str | None = None
    """File in which results are kept, one a line, so that the same command
    goes on where it was stopped; for one set of settings."""
    name: str = "captioning"
    """Of the file under benchmarks/results."""


def main(comparison: Comparison) -> None:
    source = sources.find(comparison.config)
    lines = []
    for row in comparison.rows:
        found = []
        seeds = comparison.seeds if _is_drawn(row) else comparison.seeds[:1]
        for seed in seeds:
            found.append(kept_or_made(row, source, seed, comparison))
            print(row, seed, found[-1], flush=True)
        lines.append([row, *cells(found)])
    write_table(
        comparison.name,
        "Models of captions",
        [note(source, comparison)],
        [
            *("model", "perplexity", "paper's rule", "wrong image"),
            *("BLEU-1", "BLEU-4", "chrF", "text to image R@1", "R@10", "rank"),
            *("image to text R@1", "R@10", "rank", "epochs", "seconds"),
        ],
        lines,
    )


def kept_or_made(
    row: str, source: sources.Source, seed: int, comparison: Comparison
) -> dict[str, Any]:
    """A result, which is kept in the file that `--kept` names."""
    kept = Path(comparison.kept) if comparison.kept else None
    lines = kept.read_text().splitlines() if kept and kept.is_file() else []
    for found in map(json.loads, lines):
        if (found["row"], found["seed"]) == (row, seed):
            return found["result"]
    start = time.perf_counter()
    result = result_of(row, source, seed, comparison)
    result["seconds"] = time.perf_counter() - start
    if kept:
        with kept.open("a") as file:
            line = {"row": row, "seed": seed, "result": result}
            file.write(json.dumps(line) + "\n")
    return result


def _is_drawn(row: str) -> bool:
    return "grams" not in row


def result_of(
    row: str, source: sources.Source, seed: int, comparison: Comparison
) -> dict[str, Any]:
    keras.utils.set_random_seed(seed)
    config = dataclasses.replace(source.config, seed=seed)
    if "grams" in row:
        return of_n_grams(int(row[0]), source)
    if row == BAG:
        return of_bag(source, seed)
    model = row.split(",")[0]
    rate = config.learning_rate
    if not comparison.common_rate:
        rate = RATES.get(model, rate)
    config = dataclasses.replace(config, model=model, learning_rate=rate)
    train = source.read("train")
    held_out = source.read("validation")
    if row == RANDOM:
        rng = np.random.default_rng(seed)
        train, held_out = dealt_out(train, rng), dealt_out(held_out, rng)
    if comparison.lengths:
        config = dataclasses.replace(
            config, epochs=best_length(train, config, comparison.lengths)
        )
    network = trained(train, config)
    result = measure(network, batches.evaluation(held_out), config)
    return result | {"epochs": config.epochs}


def trained(train: Examples, config: Config) -> keras.Model:
    keras.utils.set_random_seed(config.seed)
    network = build_model(config)
    fit(
        network,
        batches.training(train, config, 0),
        config.epochs,
        callbacks(config, None, Path()),
    )
    return network


def best_length(
    train: Examples, config: Config, lengths: tuple[int, ...]
) -> int:
    """The epochs with the lowest perplexity on images that are left out."""
    rest, apart = parted(train, SHARE)

    def perplexity(epochs: int) -> float:
        changed = dataclasses.replace(config, epochs=epochs, measured=0)
        network = trained(rest, changed)
        found = measure(network, batches.evaluation(apart), changed)
        return found["perplexity"]

    return min(lengths, key=perplexity)


def parted(examples: Examples, share: float) -> tuple[Examples, Examples]:
    """The captions of most images, and those of the last ones."""
    count = len(examples.images)
    apart = examples.image_of >= count - round(count * share)
    rest, left_out = (
        examples._replace(
            image_of=examples.image_of[chosen], words=examples.words[chosen]
        )
        for chosen in (~apart, apart)
    )
    return rest, left_out


def dealt_out(examples: Examples, rng: np.random.Generator) -> Examples:
    """The same captions beside images that others belong to."""
    order = rng.permutation(len(examples.images))
    return examples._replace(image_of=order[examples.image_of])


def of_n_grams(order: int, source: sources.Source) -> dict[str, Any]:
    config = source.config
    train, held_out = source.read("train"), source.read("validation")
    size = len(config.words) + captions.RESERVED
    model = NGrams(train.words, order, size)
    logs = model.log_likelihoods(held_out.words)
    following = held_out.words[:, 1:]
    said = following != captions.PADDING
    counted = scores.paper_counts(following, config.context)
    result = {
        "perplexity": float(np.exp(-logs[said].mean())),
        "perplexity_by_the_paper": float(np.exp(-logs[counted].mean())),
    }
    if config.measured:
        found = Captions(*held_out[:3]).first(config.measured)
        ((best, *_),) = beam_search(
            model.step, 1, config.length, config.beam_width
        )
        text = captions.decode(best.words, config.words)
        texts = [text] * len(found.images)
        result |= scores.quality(texts, found, config)
    return result


def of_bag(source: sources.Source, seed: int) -> dict[str, Any]:
    """Searches by the mean log-likelihood of a caption's words."""
    config = source.config
    train, held_out = source.read("train"), source.read("validation")
    size = len(config.words) + captions.RESERVED
    inputs = keras.Input(train.images.shape[1:])
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1.0)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(size)(flat))
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    there = np.zeros((len(train.images), size), "float32")
    np.maximum.at(there, (train.image_of[:, None], train.words), 1.0)
    images, mean, deviation = _standardized(train.images)
    model.fit(images, there, batch_size=64, epochs=BAG_EPOCHS, verbose=0)
    found = Captions(*held_out[:3])
    if not config.measured:
        return {}
    found = found.first(config.measured)
    shown = (found.images.astype("float32") - mean) / deviation
    logits = model.predict(shown, verbose=0)
    likely = keras.ops.convert_to_numpy(keras.ops.log_sigmoid(logits))
    is_word = found.words >= captions.RESERVED
    costs = -(likely[:, found.words] * is_word).sum(axis=2)
    costs = costs / np.maximum(1, is_word.sum(axis=1))
    right = found.image_of[:, None] == np.arange(len(found.images))[None]
    return {
        "text_to_image": scores.searched(right, -costs.T),
        "image_to_text": scores.searched(right.T, -costs),
    }


def _standardized(images: np.ndarray) -> tuple[np.ndarray, ...]:
    values = images.astype("float32")
    mean, deviation = values.mean(axis=0), values.std(axis=0) + 1e-3
    return (values - mean) / deviation, mean, deviation


def cells(found: list[dict[str, Any]]) -> list[str]:
    """A row's numbers; what a model does not have is empty."""

    def cell(values: list[Any], share: bool = False, digits: int = 1) -> str:
        if any(value is None for value in values):
            return ""
        return percent(values) if share else spread(values, digits)

    def of(*path: str) -> list[Any]:
        values = []
        for result in found:
            value: Any = result
            for key in path:
                value = (value or {}).get(key)
            values.append(value)
        return values

    searches = [
        (way, key, share)
        for way in ("text_to_image", "image_to_text")
        for key, share in (
            ("recall_at_1", True),
            ("recall_at_10", True),
            ("median_rank", False),
        )
    ]
    return [
        cell(of("perplexity"), digits=2),
        cell(of("perplexity_by_the_paper"), digits=2),
        cell(of("wrong_image", "perplexity"), digits=2),
        *(cell(of(name), True) for name in ("bleu_1", "bleu_4", "chrf")),
        *(cell(of(way, key), share) for way, key, share in searches),
        cell(of("epochs"), digits=0),
        f"{statistics.mean(of('seconds')):.0f}",
    ]


def note(source: sources.Source, comparison: Comparison) -> str:
    config, parts = source.config, source.parts
    return (
        f"Data: {Path(config.data_dir or config.dataset).name}; "
        f"{len(parts['train'].captions):,} captions of "
        f"{parts['train'].count:,} images to learn from, "
        f"{len(parts['validation'].captions):,} of "
        f"{parts['validation'].count:,} to measure; {len(config.words):,} "
        f"words. Images: {config.backbone}, {config.image_side} pixels a side. "
        f"{_epochs(comparison)}, batch {config.batch_size}, seeds "
        f"{', '.join(map(str, comparison.seeds))}; texts and searches among "
        f"the first {config.measured} images. Perplexity counts all words and "
        "the end. Shares in per cent, mean and deviation over seeds; seconds "
        "hold training and measuring."
    )


def _epochs(comparison: Comparison) -> str:
    if not comparison.lengths:
        return f"{comparison.config.epochs} epochs"
    return (
        f"Epochs: the best of {', '.join(map(str, comparison.lengths))} on "
        f"the captions of the last {SHARE:.0%} of the training images"
    )


if __name__ == "__main__":
    main(tyro.cli(Comparison, description=__doc__))
