"""Which data a `data_dir` is, and its examples as NumPy arrays.

| data_dir | source |
|---|---|
| None | rendered rooms, prepared on first use |
| holds `nyu_depth_v2_labeled.mat` | NYU Depth v2, prepared on first use |
| holds `dataset_info.json` | any prepared TFDS set with a `label` mask |
| holds `train/`, `validation/` or `test/` | paired images |

Every source gives, for each split, a sequence of dicts: a (height, width,
channels) array for each modality and, unless no labels are asked for, a
(height, width) uint8 `label`.
"""

from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from applications.datasets import file_tree
from applications.datasets import nyu_depth
from applications.datasets import paired_folder
from applications.datasets import preparation
from applications.datasets import rooms
from applications.datasets.file_tree import SPLITS
from applications.datasets.file_tree import LeftOut
from applications.datasets.paired_folder import LABEL


class Source(NamedTuple):
    """What was found where a config says that its data are."""

    classes: tuple[str, ...]
    """Names of the values of labels; empty where none are asked for."""
    channels: dict[str, int]
    """Of each modality; 1 where all of its images are gray."""
    sizes: dict[str, int]
    """Examples of every split that there is."""
    read: Callable[[str], Sequence]
    """The examples of a split, decoded when they are asked for."""
    notes: tuple[str, ...] = ()
    """What was left out, and how a validation part was made."""
    ranges: dict[str, tuple[float, float]] = {}
    """Of modalities whose least and largest value are known."""


def find(
    data_dir: str | None,
    modalities: tuple[str, ...],
    label: str | None = LABEL,
) -> Source:
    """Looks for data once; makes the embedded data where they are missing.

    With None for `label` the examples need none and have none.
    """
    builder = prepared_builder(data_dir)
    if builder is not None:
        return _of_builder(builder, modalities, label)
    return _of_folder(data_dir, modalities, label)


def unlabeled_examples(
    data_dir: Path, modalities: tuple[str, ...], problems: list[str]
) -> tuple[tuple[str, ...], Sequence]:
    """Ids and examples of `data_dir/<modality>/`, or of its one split.

    A folder of splits serves too: its test part, else validation, else train.
    What does not fit is left out, and said in `problems`.
    """
    folder, left_out = data_dir, LeftOut(data_dir)
    if not (folder / modalities[0]).is_dir():
        splits = file_tree.find_splits(folder, left_out)
        folder = next(reversed(splits.values()), folder)
    examples = paired_folder.scan_split(folder, modalities, left_out, problems)
    print("\n".join([f"{len(examples):,} examples", *left_out.lines()]))
    identifiers = tuple(example.id for example in examples)
    return identifiers, paired_folder.PairedFolder(examples)


def prepared_builder(data_dir: str | None) -> tfds.core.DatasetBuilder | None:
    """The TFDS builder behind `data_dir`; None where it holds plain images."""
    if data_dir is None:
        return rooms.prepare()
    folder = Path(data_dir)
    if (folder / nyu_depth.LABELED).is_file():
        return nyu_depth.prepare(folder)
    if preparation.is_prepared(folder):
        return preparation.open_prepared(folder)
    if paired_folder.has_splits(folder):
        return None
    raise ValueError(
        f"{folder} has none of {', '.join(s + '/' for s in SPLITS)} "
        f"(folders of images), {nyu_depth.LABELED} (NYU Depth v2), "
        f"{preparation.INFO} (a prepared TFDS set); it holds "
        f"{file_tree.listing(folder)}{file_tree.further_down(folder)}"
    )


def _of_folder(
    data_dir: str, modalities: tuple[str, ...], label: str | None
) -> Source:
    splits, notes = paired_folder.scan(data_dir, modalities, label=label)
    classes = ()
    if label is not None:
        classes = paired_folder.class_names(
            data_dir
        ) or paired_folder.numbered_classes(splits)
    examples = [example for split in splits.values() for example in split]
    return Source(
        classes,
        {
            name: max(example.channels[name] for example in examples)
            for name in modalities
        },
        {name: len(examples) for name, examples in splits.items()},
        lambda split: paired_folder.PairedFolder(splits[split], len(classes)),
        notes,
    )


def _of_builder(
    builder: tfds.core.DatasetBuilder,
    modalities: tuple[str, ...],
    label: str | None,
) -> Source:
    wanted = (*modalities, label) if label is not None else modalities
    _check_features(builder, wanted)
    features, splits = builder.info.features, builder.info.splits
    names = tuple(split for split in SPLITS if split in splits)
    if not names:
        raise ValueError(
            f"{builder.data_dir} has the splits {', '.join(splits)}; expected "
            f"{', '.join(SPLITS)}"
        )
    return Source(
        tuple(features[label].names) if label is not None else (),
        {
            # Without a third axis they are gray.
            name: (*features[name].shape, 1)[2]
            for name in modalities
        },
        {name: splits[name].num_examples for name in names},
        lambda split: _builder_examples(builder, split, wanted, label),
    )


class RandomAccess(Sequence):
    """Examples of a prepared split that are read when they are asked for."""

    def __init__(
        self,
        source: Sequence,
        names: Sequence[str],
        label: str | None = LABEL,
    ) -> None:
        self.source = source
        self.names = names
        self.label = label

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        example = self.source[int(index)]
        chosen = {name: example[name] for name in self.names}
        return _with_channels(chosen, self.label)


def _builder_examples(
    builder: tfds.core.DatasetBuilder,
    split: str,
    names: Sequence[str],
    label: str | None,
) -> Sequence:
    if preparation.has_random_access(builder):
        return RandomAccess(builder.as_data_source(split), names, label)
    decoders = tfds.decode.PartialDecoding(dict.fromkeys(names, True))
    dataset = builder.as_dataset(split=split, decoders=decoders)
    return [
        _with_channels(example, label)
        for example in dataset.as_numpy_iterator()
    ]


def _with_channels(
    example: dict[str, np.ndarray], label: str | None
) -> dict[str, np.ndarray]:
    arrays = {
        name: array if array.ndim == 3 else array[..., None]
        for name, array in example.items()
    }
    if label is not None:
        arrays[label] = arrays[label][..., 0]
    return arrays


def _check_features(
    builder: tfds.core.DatasetBuilder, names: Sequence[str]
) -> None:
    features = builder.info.features
    for name in names:
        if name not in features or len(features[name].shape) not in (2, 3):
            images = [
                key
                for key in features
                if len(features[key].shape) in (2, 3) and key != LABEL
            ]
            raise ValueError(
                f"{builder.data_dir} has no images called {name!r}; its "
                f"modalities are {', '.join(images)}"
            )
