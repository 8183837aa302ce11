"""Which data the settings name, as images and sets of categories.

| data_dir | source |
|---|---|
| None | rendered rooms, or the TFDS set that `dataset` names |
| holds `dataset_info.json` | a prepared TFDS set |
| holds `ImageSets/Main/` | Pascal VOC |
| holds `labels.csv`, `train.csv`, `train/labels.csv`, or `.jsonl` | rows |
| holds `train/<modality>/` and so on | aligned images with masks |
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from applications.datasets import file_tree
from applications.datasets import label_rows
from applications.datasets import paired_folder
from applications.datasets import pascal_voc
from applications.datasets import preparation
from applications.datasets import room_scenes
from applications.datasets import rooms
from applications.datasets.file_tree import LeftOut
from applications.datasets.label_sets import Entry
from applications.datasets.label_sets import Source
from applications.datasets.label_sets import Split
from applications.datasets.label_sets import box_regions
from applications.datasets.label_sets import label_matrix
from applications.datasets.label_sets import mask_labels
from applications.datasets.label_sets import mask_regions
from applications.inputs import image as images
from applications.inputs import mask as masks
from applications.multilabel_recognition import tfds_sets
from applications.multilabel_recognition.config import ROOMS
from applications.multilabel_recognition.config import Config

# Walls and a floor are in every room.
OBJECTS = range(room_scenes.RED_BOX, len(room_scenes.CLASSES))


def find(config: Config) -> Source:
    """Looks for data once; renders rooms where they are missing."""
    if config.data_dir is None:
        if config.dataset == ROOMS:
            return _of_rooms(config)
        return tfds_sets.of_name(config)
    root = Path(config.data_dir)
    if preparation.is_prepared(root):
        return tfds_sets.of_folder(config)
    if folder := pascal_voc.find(root):
        return _of_voc(folder, config)
    if label_rows.files_of(root):
        return _of_rows(root, config)
    if paired_folder.has_splits(root):
        return _of_masks(root, config)
    raise ValueError(
        f"{root} has none of labels.csv, labels.jsonl, train.csv, train/ "
        f"(rows, or images with masks), {pascal_voc.LISTS}/ (Pascal VOC), "
        f"{preparation.INFO} (a prepared TFDS set); it holds "
        f"{file_tree.listing(root)}{file_tree.further_down(root)}"
    )


def _of_rooms(config: Config) -> Source:
    builder = rooms.prepare(config=rooms.RoomsConfig(train=config.rooms))
    pictures = set(builder.info.features) - {"id", "label", "caption"}
    if wrong := [n for n in config.modalities if n not in pictures]:
        raise ValueError(
            f"the rooms have no images called {wrong[0]!r}; their modalities "
            f"are {', '.join(sorted(pictures))}"
        )
    names = tuple(room_scenes.CLASSES[number] for number in OBJECTS)

    @functools.cache
    def read(split: str) -> Split:
        found = list(builder.as_dataset(split=split).as_numpy_iterator())
        found.sort(key=lambda example: example["id"])
        labels = [example["label"][..., 0] for example in found]
        return Split(
            tuple(example["id"].decode() for example in found),
            lambda index: {n: found[index][n] for n in config.modalities},
            _labels_of_masks(labels, OBJECTS, config),
            lambda index: mask_regions(labels[index], OBJECTS),
        )

    sizes = {
        name: builder.info.splits[name].num_examples
        for name in file_tree.SPLITS
    }
    return Source(names, sizes, read, _unknown_note(config))


def _labels_of_masks(
    found: Sequence[np.ndarray], numbers: Sequence[int], config: Config
) -> np.ndarray:
    counts = [np.bincount(mask.ravel(), minlength=256) for mask in found]
    return mask_labels(np.stack(counts), numbers, config.least_area)


def _unknown_note(config: Config) -> tuple[str, ...]:
    if not config.least_area:
        return ()
    share = f"{100 * config.least_area:g} %"
    return (f"of a class under {share} of a mask nothing is asked",)


def _of_masks(root: Path, config: Config) -> Source:
    scanned = paired_folder.scan(root, config.modalities, label=config.mask)
    names = _names_of_masks(root, scanned.splits, config)

    @functools.cache
    def read(split: str) -> Split:
        examples = scanned.splits[split]
        folder = paired_folder.PairedFolder(examples, len(names))

        def mask(index: int) -> np.ndarray:
            return masks.read(examples[index].label, len(names))

        def pictures(index: int) -> dict[str, np.ndarray]:
            files = folder.examples[index].images
            return {name: images.read(path) for name, path in files.items()}

        found = [mask(index) for index in range(len(examples))]
        return Split(
            tuple(example.id for example in examples),
            pictures,
            _labels_of_masks(found, range(len(names)), config),
            lambda index: mask_regions(mask(index), range(len(names))),
        )

    sizes = {name: len(part) for name, part in scanned.splits.items()}
    notes = (*_unknown_note(config), *scanned.notes)
    return Source(names, sizes, read, notes)


def _names_of_masks(
    root: Path, splits: dict[str, tuple], config: Config
) -> tuple[str, ...]:
    """Those of classes.txt, which is about the usual masks, or numbers.

    A part of the numbers that a run knows is no other set of classes.
    """
    if config.mask == paired_folder.LABEL:
        if listed := paired_folder.class_names(root):
            return listed
    numbered = paired_folder.numbered_classes(splits)
    known = config.classes[: len(numbered)] == numbered
    return config.classes if known else numbered


def _of_voc(root: Path, config: Config) -> Source:
    left_out = LeftOut(root)
    splits = pascal_voc.scan(root, left_out)
    classes = config.classes or pascal_voc.classes_of(splits)
    hint = "correct the annotation"
    return _of_entries(splits, classes, hint, left_out, config)


def _of_rows(root: Path, config: Config) -> Source:
    left_out = LeftOut(root)
    splits = label_rows.scan(root, left_out)
    classes = config.classes or label_rows.classes_of(root, splits)
    hint = f"correct the row, or list all in {root / paired_folder.CLASSES}"
    return _of_entries(splits, classes, hint, left_out, config)


def _of_entries(
    splits: dict[str, tuple[Entry, ...]],
    classes: tuple[str, ...],
    hint: str,
    left_out: LeftOut,
    config: Config,
) -> Source:
    if len(config.modalities) > 1:
        raise ValueError(
            f"{config.data_dir} has one image an example; give one name as "
            f"--modalities, received {', '.join(config.modalities)}"
        )
    notes = left_out.lines()
    if "train" in splits and "validation" not in splits:
        kept, held = paired_folder.hold_out(splits["train"])
        if held:
            splits = {"train": kept, "validation": held} | {
                k: v for k, v in splits.items() if k != "train"
            }
            notes = ("validation is every fifth block of train", *notes)
    labels = {
        name: label_matrix(entries, classes, hint)
        for name, entries in splits.items()
    }
    boxed = any(e.boxes for entries in splits.values() for e in entries)
    (modality,) = config.modalities

    def read(split: str) -> Split:
        entries = splits[split]
        return Split(
            tuple(entry.image.name for entry in entries),
            lambda index: {modality: images.read(entries[index].image)},
            labels[split],
            (lambda index: box_regions(entries[index], classes))
            if boxed
            else None,
        )

    sizes = {name: len(entries) for name, entries in splits.items()}
    return Source(classes, sizes, read, notes)
