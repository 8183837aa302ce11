"""Which data a `data_dir` is, and its examples as NumPy arrays.

| data_dir | source |
|---|---|
| None | rendered rooms, prepared on first use |
| holds `nyu_depth_v2_labeled.mat` | NYU Depth v2, prepared on first use |
| holds `dataset_info.json` | any prepared TFDS set with a `label` mask |
| holds `train/`, `validation/` or `test/` | paired images |

Every source gives, for each split, a sequence of dicts: a (height, width,
channels) array for each modality and a (height, width) uint8 `label`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from applications.datasets import nyu_depth
from applications.datasets import paired_folder
from applications.datasets import rooms
from applications.datasets.paired_folder import LABEL
from applications.datasets.paired_folder import SPLITS
from applications.datasets.paired_folder import as_color

if TYPE_CHECKING:
    from applications.semantic_segmentation.config import Config


class Description(NamedTuple):
    """What the data decides: class names, channels of each modality."""

    classes: tuple[str, ...]
    channels: tuple[int, ...]


def describe(config: "Config") -> Description:
    """Reads what a model must know of the data; makes embedded data."""
    _check_modalities(config.modalities)
    builder = prepared_builder(config)
    if builder is not None:
        _check_features(builder, config.modalities)
        classes = tuple(builder.info.features[LABEL].names)
        shapes = [builder.info.features[m].shape for m in config.modalities]
        return Description(
            classes, tuple(as_color(shape[-1]) for shape in shapes)
        )
    splits = paired_folder.scan(config.data_dir, config.modalities)
    first = next(iter(splits.values()))[0]
    return Description(
        paired_folder.class_names(config.data_dir),
        tuple(as_color(count) for count in first.channels.values()),
    )


def labeled_splits(config: "Config") -> dict[str, Sequence]:
    """The examples of every split that there is, in a fixed order."""
    _check_modalities(config.modalities)
    builder = prepared_builder(config)
    if builder is not None:
        _check_features(builder, config.modalities)
        return _builder_splits(builder, config.modalities)
    classes = config.classes or paired_folder.class_names(config.data_dir)
    return {
        split: paired_folder.PairedFolder(examples, len(classes))
        for split, examples in paired_folder.scan(
            config.data_dir, config.modalities
        ).items()
    }


def unlabeled_examples(
    config: "Config", data_dir: str
) -> tuple[tuple[str, ...], Sequence]:
    """Ids and examples of `data_dir/<modality>/`, or of its one split.

    A folder of splits serves too: its test part, else validation, else train.
    """
    _check_modalities(config.modalities)
    folder = Path(data_dir)
    if not (folder / config.modalities[0]).is_dir():
        splits = [s for s in reversed(SPLITS) if (folder / s).is_dir()]
        folder = folder / splits[0] if splits else folder
    examples = paired_folder.scan_split(
        folder, config.modalities, labeled=False
    )
    reader = paired_folder.PairedFolder(examples, len(config.classes))
    return tuple(example.id for example in examples), reader


def prepared_builder(
    config: "Config",
) -> tfds.core.DatasetBuilder | None:
    """The TFDS builder behind `data_dir`; None where it holds plain images."""
    if config.data_dir is None:
        return rooms.prepare()
    folder = Path(config.data_dir)
    if (folder / nyu_depth.LABELED).is_file():
        return nyu_depth.prepare(folder)
    if (folder / "dataset_info.json").is_file():
        return tfds.builder_from_directory(folder)
    if paired_folder.has_splits(folder):
        return None
    state = "has neither of" if folder.is_dir() else "is no folder; expected"
    raise ValueError(
        f"{folder} {state}: {', '.join(s + '/' for s in SPLITS)} "
        f"(folders of images), {nyu_depth.LABELED} (NYU Depth v2), "
        "dataset_info.json (a prepared TFDS set)."
    )


class RandomAccess(Sequence):
    """Examples of a prepared split that are read when they are asked for."""

    def __init__(self, source: Sequence, names: Sequence[str]):
        self.source = source
        self.names = names

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        example = self.source[int(index)]
        return _with_channels({name: example[name] for name in self.names})


def _builder_splits(
    builder: tfds.core.DatasetBuilder,
    modalities: Sequence[str],
) -> dict[str, Sequence]:
    splits = {
        split: _builder_examples(builder, split, (*modalities, LABEL))
        for split in SPLITS
        if split in builder.info.splits
    }
    if not splits:
        raise ValueError(
            f"{builder.data_dir} has the splits "
            f"{', '.join(builder.info.splits)}; expected {', '.join(SPLITS)}."
        )
    return splits


def _builder_examples(
    builder: tfds.core.DatasetBuilder,
    split: str,
    names: Sequence[str],
) -> Sequence:
    if builder.info.file_format.file_suffix == "array_record":
        return RandomAccess(builder.as_data_source(split), names)
    decoders = tfds.decode.PartialDecoding(dict.fromkeys(names, True))
    dataset = builder.as_dataset(split=split, decoders=decoders)
    return [_with_channels(example) for example in dataset.as_numpy_iterator()]


def _with_channels(
    example: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    arrays = {
        name: array if array.ndim == 3 else array[..., None]
        for name, array in example.items()
    }
    arrays[LABEL] = arrays[LABEL][..., 0]
    return arrays


def _check_modalities(modalities: Sequence[str]) -> None:
    if not modalities or len(set(modalities)) < len(modalities):
        raise ValueError(
            "Expected one or more different modalities, received "
            f"{list(modalities)}."
        )
    if LABEL in modalities:
        raise ValueError(
            f"{LABEL!r} is what is to be predicted, not a modality; received "
            f"{list(modalities)}."
        )


def _check_features(
    builder: tfds.core.DatasetBuilder,
    modalities: Sequence[str],
) -> None:
    features = builder.info.features
    for name in (*modalities, LABEL):
        if name not in features or len(features[name].shape) not in (2, 3):
            images = [
                key
                for key in features
                if len(features[key].shape) in (2, 3) and key != LABEL
            ]
            raise ValueError(
                f"{builder.data_dir} has no images called {name!r}; its "
                f"modalities are {', '.join(images)}."
            )
