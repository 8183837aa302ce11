"""Multi-label sets of TensorFlow Datasets, such as voc/2007 and coco/2017.

A set has `image` and, with names of classes, `objects` (`label`, `bbox`, and
`is_difficult` where it is known) or `labels`. This is looked at before
anything is downloaded.

Images of a set in the format `array_record`, in which named sets are prepared
where the system has it, are read when they are asked for. Those of other
formats can only be read one after another, so they are held in memory.
"""

import functools
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from applications.datasets import preparation
from applications.datasets.file_tree import SPLITS
from applications.datasets.label_sets import UNKNOWN
from applications.datasets.label_sets import Entry
from applications.datasets.label_sets import Source
from applications.datasets.label_sets import Split
from applications.datasets.label_sets import box_regions
from applications.datasets.label_sets import label_matrix
from applications.datasets.paired_folder import hold_out
from applications.inputs import image as images
from applications.multilabel_recognition.config import ROOMS
from applications.multilabel_recognition.config import Config

# Images that can only be read one after another stay in memory up to this
# size, brought to their side.
MEMORY_BYTES = 2**32


def of_name(config: Config) -> Source:
    """The set that `config.dataset` names, downloaded on first use."""
    check_features(preparation.open_named(config.dataset, ROOMS))
    builder = preparation.prepare_named(
        config.dataset, ROOMS, preparation.random_access_format()
    )
    return _of_builder(builder, config)


def of_folder(config: Config) -> Source:
    builder = preparation.open_prepared(Path(config.data_dir))
    check_features(builder)
    return _of_builder(builder, config)


def check_features(builder: tfds.core.DatasetBuilder) -> None:
    """Raises ValueError unless there are 8-bit images and sets of classes."""
    features = builder.info.features
    is_image = "image" in features and features["image"].np_dtype == np.uint8
    if not is_image or not class_names(builder):
        raise ValueError(
            f"{builder.name} has the features {', '.join(features)}; expected "
            "`image` of 8 bits, and `objects` or `labels` with names of "
            "classes"
        )


def class_names(builder: tfds.core.DatasetBuilder) -> tuple[str, ...]:
    """The names of the classes of an image's objects or labels."""
    features = builder.info.features
    for name in ("objects", "labels"):
        if name in features:
            inner: Any = getattr(features[name], "feature", features[name])
            if name == "objects" and "label" in inner:
                inner = inner["label"]
            if found := getattr(inner, "names", None):
                return tuple(found)
    return ()


def _of_builder(builder: tfds.core.DatasetBuilder, config: Config) -> Source:
    if len(config.modalities) > 1:
        raise ValueError(
            f"{builder.name} has one image an example; give one name as "
            f"--modalities, received {', '.join(config.modalities)}"
        )
    classes, infos = class_names(builder), builder.info.splits
    sizes = {name: infos[name].num_examples for name in SPLITS if name in infos}
    if not sizes:
        raise ValueError(
            f"{builder.name} has the splits {', '.join(infos)}; expected some "
            f"of {', '.join(SPLITS)}"
        )
    if not preparation.has_random_access(builder):
        _check_memory(builder, sum(sizes.values()), config)
    notes: tuple[str, ...] = ()
    parts = {name: (name, np.arange(count)) for name, count in sizes.items()}
    if "train" in sizes and "validation" not in sizes:
        kept, held = hold_out(range(sizes["train"]))
        if held:
            parts |= {"train": ("train", np.array(kept))}
            parts |= {"validation": ("train", np.array(held))}
            notes = ("validation is every fifth block of train",)

    @functools.cache
    def whole(split: str) -> Split:
        return _read(builder, split, classes, config)

    def read(name: str) -> Split:
        split, rows = parts[name]
        return chosen(whole(split), rows)

    counts = {name: len(rows) for name, (_, rows) in parts.items()}
    return Source(classes, counts, read, notes)


def _check_memory(
    builder: tfds.core.DatasetBuilder, count: int, config: Config
) -> None:
    size = count * config.side**2 * 3
    if size > MEMORY_BYTES:
        raise ValueError(
            f"{builder.data_dir} has {size / 2**30:.1f} GiB of images of side "
            f"{config.side}, in a format that is held in memory, up to "
            f"{MEMORY_BYTES / 2**30:.0f} GiB; give a smaller --side, or "
            "prepare the set with `--file_format array_record`, which is read "
            "as it is asked for"
        )


def chosen(split: Split, rows: np.ndarray) -> Split:
    """The examples of these rows."""
    regions = split.regions
    return Split(
        tuple(split.names[row] for row in rows),
        lambda index: split.read(rows[index]),
        split.labels[rows],
        None if regions is None else lambda index: regions(rows[index]),
    )


def _read(
    builder: tfds.core.DatasetBuilder,
    split: str,
    classes: tuple[str, ...],
    config: Config,
) -> Split:
    examples: Iterable[dict]
    if preparation.has_random_access(builder):
        undecoded = {"image": tfds.decode.SkipDecoding()}
        examples = builder.as_data_source(split, decoders=undecoded)
        pictures = builder.as_data_source(split)

        def pixels(index: int) -> np.ndarray:
            return pictures[int(index)]["image"]

    else:
        held: list[np.ndarray] = []
        examples = _holding(builder, split, config, held)
        pixels = held.__getitem__
    entries, unlabeled = [], []
    for number, example in enumerate(examples):
        entry, known = _entry(example, f"{split} {number}", classes)
        entries.append(entry)
        if not known:
            unlabeled.append(number)
    labels = label_matrix(entries, classes, "prepare the set again")
    labels[unlabeled] = UNKNOWN
    (modality,) = config.modalities
    return Split(
        tuple(entry.source for entry in entries),
        lambda index: {modality: pixels(index)},
        labels,
        (lambda index: box_regions(entries[index], classes))
        if any(entry.boxes for entry in entries)
        else None,
    )


def _holding(
    builder: tfds.core.DatasetBuilder,
    split: str,
    config: Config,
    held: list[np.ndarray],
) -> Iterator[dict]:
    """The examples in their order, whose images are added to `held`."""
    size = (config.side, config.side)
    dataset = builder.as_dataset(split=split, shuffle_files=False)
    for example in dataset.as_numpy_iterator():
        held.append(images.resize_as_stored(example["image"], size))
        yield example


def _entry(
    example: dict, source: str, classes: tuple[str, ...]
) -> tuple[Entry, bool]:
    """What is known of an example, and whether anything is.

    TFDS marks labels that a set keeps to itself by -1.
    """
    objects = example.get("objects")
    numbers = example["labels"] if objects is None else objects["label"]
    # Read by number, an example has lists.
    numbers = np.asarray(numbers, "int64")
    known = not np.any(numbers < 0)
    numbers = numbers[numbers >= 0]
    none = np.zeros(len(numbers), bool)
    difficult = none if objects is None else objects.get("is_difficult", none)
    difficult = np.asarray(difficult, bool)
    boxes: dict[str, list] = {}
    present = [classes[n] for n in numbers[~difficult[: len(numbers)]]]
    unknown = [classes[n] for n in numbers if classes[n] not in present]
    if objects is not None and "bbox" in objects and known:
        for number, box, hard in zip(
            numbers, objects["bbox"], difficult, strict=True
        ):
            if not hard:
                top, left, bottom, right = map(float, box)
                boxes.setdefault(classes[number], []).append(
                    (left, top, right, bottom)
                )
    entry = Entry(
        source,
        Path(source),
        tuple(dict.fromkeys(present)),
        tuple(dict.fromkeys(unknown)),
        boxes,
    )
    return entry, known
