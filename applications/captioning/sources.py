"""From images with captions to arrays.

| data_dir | dataset | source |
|---|---|---|
| None | rooms | rendered rooms, prepared on first use |
| None | a name | that TFDS set, which has to be prepared |
| holds `dataset_info.json` | | a prepared TFDS set |
| another folder | | `captions.txt` and images, or NLVR's statements |
"""

import dataclasses
import functools
import re
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from applications.captioning.backbones import Features
from applications.captioning.config import ROOMS
from applications.captioning.config import Config
from applications.datasets import caption_folder
from applications.datasets import class_folders
from applications.datasets import file_tree
from applications.datasets import preparation
from applications.datasets import rooms
from applications.inputs import caption as captions
from applications.inputs.image import as_stored_square

IMAGES = ("image", "rgb")
CAPTIONS = ("captions", "caption")
ROOMS_CONFIG = {"size": 48, "train": 4000, "validation": 200, "test": 200}
Caption = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Part:
    """The captions of a split, and how its images are read."""

    count: int
    """Images."""
    image_of: np.ndarray
    """int64, of each caption the index of its image, in order."""
    captions: tuple[Caption, ...]
    """Their words."""
    names: tuple[str, ...]
    """Of the images."""
    load: Callable[[], np.ndarray]
    """Reads all images, uint8 (count, side, side, 3)."""

    @functools.cached_property
    def pixels(self) -> np.ndarray:
        return self.load()

    def of_images(self, chosen: np.ndarray) -> "Part":
        """Some of the images, with their captions."""
        places = np.full(self.count, -1, "int64")
        places[chosen] = np.arange(len(chosen))
        image_of = places[self.image_of]
        kept = np.flatnonzero(image_of >= 0)
        return Part(
            len(chosen),
            image_of[kept],
            tuple(self.captions[index] for index in kept),
            tuple(self.names[index] for index in chosen),
            lambda: self.pixels[chosen],
        )


class Examples(NamedTuple):
    """What a model reads of a split."""

    images: np.ndarray
    """uint8 pixels or float32 features."""
    image_of: np.ndarray
    words: np.ndarray
    """int32 (captions, width): start, words, end, padding."""
    cut: int
    """Captions that were longer."""


class Source(NamedTuple):
    """What was found where a config says that its data are."""

    config: Config
    """With the words and the shape of features in it."""
    parts: dict[str, Part]
    read: Callable[[str], Examples]
    """The examples of a split, read once."""
    notes: tuple[str, ...]


def find(config: Config) -> Source:
    parts, notes = find_parts(config)
    features = Features(config.backbone, config.encoder_weights)
    config = _filled_in(config, parts, features.shape(config.image_side))

    @functools.cache
    def read(name: str) -> Examples:
        part = parts[name]
        words = captions.encode(part.captions, config.words, config.length)
        cut = sum(len(caption) > config.length for caption in part.captions)
        return Examples(features.of(part.pixels), part.image_of, words, cut)

    return Source(config, parts, read, notes)


def find_parts(config: Config) -> tuple[dict[str, Part], tuple[str, ...]]:
    """The splits that there are, and what was left out of them."""
    builder = _builder(config)
    if isinstance(builder, rooms.Rooms):
        return _of_rooms(builder, config)
    if builder is not None:
        return _of_builder(builder, config)
    found = caption_folder.scan(config.data_dir, config.held_out)
    parts = {n: _of_files(p, config) for n, p in found.splits.items()}
    return parts, found.notes


def _filled_in(
    config: Config, parts: dict[str, Part], shape: tuple[int, ...]
) -> Config:
    if config.feature_shape not in ((), shape):
        raise ValueError(
            f"feature_shape is {config.feature_shape}, but the backbone "
            f"{config.backbone} makes {shape} of images of "
            f"{config.image_side} pixels a side; leave it empty"
        )
    known = config.words
    if not known:
        learned_from = parts.get("train") or next(iter(parts.values()))
        known = captions.vocabulary(
            learned_from.captions, config.vocabulary, config.min_count
        )
        if not known:
            raise ValueError(
                f"no word is there {config.min_count} times in the training "
                "captions; give a smaller --min-count"
            )
    return dataclasses.replace(config, words=known, feature_shape=shape)


def _of_files(part: caption_folder.Captioned, config: Config) -> Part:
    files = class_folders.ImageFiles(
        part.files, (config.image_side, config.image_side, 3), resized=True
    )
    return Part(
        len(part.files),
        part.image_of,
        tuple(captions.split(text) for text in part.texts),
        tuple(path.name for path in part.files),
        lambda: files[np.arange(len(files))],
    )


def _builder(config: Config) -> tfds.core.DatasetBuilder | None:
    """The TFDS builder behind the settings; None for plain folders."""
    if config.data_dir is not None:
        folder = Path(config.data_dir)
        prepared = preparation.is_prepared(folder)
        return preparation.open_prepared(folder) if prepared else None
    if config.dataset == ROOMS:
        return rooms.prepare(config=rooms.RoomsConfig(**ROOMS_CONFIG))
    builder = preparation.open_named(config.dataset, ROOMS)
    # Such sets are of many gigabytes, and nobody asked for a download.
    if not builder.is_prepared():
        folder = preparation.TFDS_DIR
        raise ValueError(
            f"the TFDS set {config.dataset!r} is not prepared in {folder}; "
            f"prepare it with `tfds build {config.dataset} --data_dir "
            f"{folder}`, or give {ROOMS}, or --data-dir"
        )
    return builder


def _of_builder(
    builder: tfds.core.DatasetBuilder, config: Config
) -> tuple[dict[str, Part], tuple[str, ...]]:
    features = builder.info.features
    image = next((name for name in IMAGES if name in features), None)
    caption = next((name for name in CAPTIONS if name in features), None)
    if image is None or caption is None:
        raise ValueError(
            f"{builder.name} has the features {', '.join(features)}; expected "
            f"one of {', '.join(IMAGES)} and one of {', '.join(CAPTIONS)}"
        )
    found = {
        split: name
        for name in builder.info.splits
        if (split := file_tree.split_of(name)) is not None
    }
    parts = {
        name: _of_split(builder, found[name], (image, caption), config)
        for name in file_tree.SPLITS
        if name in found
    }
    if not parts:
        raise ValueError(
            f"{builder.name} has the splits {', '.join(builder.info.splits)}; "
            f"expected {', '.join(file_tree.SPLITS)}"
        )
    others = [n for n in builder.info.splits if n not in found.values()]
    notes = [f"left out, other splits: {', '.join(others)}"] if others else []
    if "train" in parts and "validation" not in parts and config.held_out:
        kept, held = class_folders.hold_out(
            np.zeros(parts["train"].count, "int64"), config.held_out
        )
        if len(held):
            train = parts["train"]
            parts["train"] = train.of_images(kept)
            parts["validation"] = train.of_images(held)
            every = class_folders.every(config.held_out)
            notes.insert(0, f"validation is 1 in {every} images of train")
    return parts, tuple(notes)


def _of_rooms(
    builder: rooms.Rooms, config: Config
) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Rooms, of which each thing and each relation is a caption."""
    parts, notes = _of_builder(builder, config)
    apart = {}
    for name, part in parts.items():
        said = [in_clauses(caption) for caption in part.captions]
        apart[name] = dataclasses.replace(
            part,
            image_of=np.repeat(part.image_of, [len(texts) for texts in said]),
            captions=tuple(text for texts in said for text in texts),
        )
    return apart, ("each thing and relation is a caption", *notes)


def in_clauses(caption: Caption) -> list[Caption]:
    """ "A room with a box and a ball. The box is ..." in its clauses."""
    text = " ".join(caption)
    first, *relations = [s.strip() for s in text.split(".") if s.strip()]
    things = re.split(" , | and ", first.removeprefix("a room with "))
    return [tuple(words.split()) for words in (*things, *relations)]


def _of_split(
    builder: tfds.core.DatasetBuilder,
    split: str,
    names: tuple[str, str],
    config: Config,
) -> Part:
    image, caption = names

    def examples(name: str) -> Iterator[Any]:
        # What is not asked for is not decoded.
        decoders = tfds.decode.PartialDecoding({name: True})
        dataset = builder.as_dataset(
            split=split, shuffle_files=False, decoders=decoders
        )
        return (example[name] for example in dataset.as_numpy_iterator())

    said = [
        [words for text in _texts(value) if (words := captions.split(text))]
        for value in examples(caption)
    ]
    side = config.image_side
    kept = [place for place, texts in enumerate(said) if texts]
    return Part(
        len(said),
        np.repeat(np.arange(len(said)), [len(texts) for texts in said]),
        tuple(words for texts in said for words in texts),
        tuple(f"{split} {number}" for number in range(1, len(said) + 1)),
        lambda: np.stack([as_stored_square(x, side) for x in examples(image)]),
    ).of_images(np.array(kept, "int64"))


def _texts(value: Any) -> list[str]:
    """The texts of a caption, of a list of them, or of COCO's records."""
    if isinstance(value, dict):
        value = value["text"]
    return [text.decode() for text in np.atleast_1d(value).tolist()]
