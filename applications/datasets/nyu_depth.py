"""NYU Depth v2: the 1,449 labeled pairs, official split, 40 classes.

Three official files go into one folder:

| file | from |
|---|---|
| `nyu_depth_v2_labeled.mat` | the dataset's page (Silberman et al. 2012) |
| `splits.mat` | the same page: 795 training and 654 test indices |
| `classMapping40.mat` | 894 names to 40 classes (Gupta et al. 2013) |

MATLAB stores the first one as HDF5 with its axes reversed: `images` is
(1449, 3, 640, 480), `depths` and `labels` are (1449, 640, 480). Indices and
class numbers of all three start at 1; a label of 0 is unlabeled.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from applications.datasets.paired_folder import IGNORE
from applications.datasets.preparation import prepare_once
from applications.datasets.preparation import random_access_format

LABELED = "nyu_depth_v2_labeled.mat"
SPLIT_INDICES = "splits.mat"
CLASS_MAPPING = "classMapping40.mat"


@dataclass(eq=False)
class NyuDepthConfig(tfds.core.BuilderConfig):
    """`source` is the folder with the three official files."""

    source: str = ""


class NyuDepth(tfds.core.GeneratorBasedBuilder):
    """Color, metric depth with holes filled in, and masks of 40 classes."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIG_CLASS = NyuDepthConfig

    def _info(self) -> tfds.core.DatasetInfo:
        import h5py

        source = Path(self.builder_config.source)
        with h5py.File(source / LABELED, "r") as file:
            width, height = file["labels"].shape[1:]
        features = tfds.features
        return self.dataset_info_from_configs(
            description=__doc__,
            features=features.FeaturesDict(
                {
                    "id": features.Text(),
                    "rgb": features.Image(
                        shape=(height, width, 3), encoding_format="png"
                    ),
                    "depth": features.Tensor(
                        shape=(height, width, 1), dtype=np.float32
                    ),
                    "label": features.LabeledImage(
                        labels=class_mapping(source)[1],
                        shape=(height, width, 1),
                        encoding_format="png",
                    ),
                }
            ),
        )

    def _split_generators(self, dl_manager: object) -> dict[str, Iterator]:
        train, test = split_indices(Path(self.builder_config.source))
        return {
            "train": self._generate_examples(train),
            "test": self._generate_examples(test),
        }

    def _generate_examples(self, indices: np.ndarray) -> Iterator:
        import h5py

        source = Path(self.builder_config.source)
        mapping, _ = class_mapping(source)
        with h5py.File(source / LABELED, "r") as file:
            to_class = _label_table(_names(file), mapping)
            for index in indices:
                label = to_class[file["labels"][index].T]
                yield (
                    int(index),
                    {
                        "id": f"{index + 1:04d}",
                        "rgb": np.ascontiguousarray(file["images"][index].T),
                        "depth": file["depths"][index].T[..., None],
                        "label": np.ascontiguousarray(label[..., None]),
                    },
                )


def prepare(source: str | Path, data_dir: str | Path = "data/tfds") -> NyuDepth:
    """The builder of the files in `source`, prepared under `data_dir` once."""
    source = Path(source)
    _check_files(source)
    config = NyuDepthConfig(name=_fingerprint(source), source=str(source))
    return prepare_once(
        lambda: NyuDepth(config=config, data_dir=data_dir),
        file_format=random_access_format(),
    )


def split_indices(source: Path) -> tuple[np.ndarray, np.ndarray]:
    """Training and test indices, from 0, as `splits.mat` lists them."""
    splits = _load_mat(source / SPLIT_INDICES, ("trainNdxs", "testNdxs"))
    train, test = (
        np.sort(splits[name].astype("int64").ravel()) - 1
        for name in ("trainNdxs", "testNdxs")
    )
    if np.intersect1d(train, test).size:
        raise ValueError(
            f"{source / SPLIT_INDICES} lists images for training and test "
            f"at once, the first is {np.intersect1d(train, test)[0] + 1}."
        )
    return train, test


def class_mapping(source: Path) -> tuple[dict[str, int], list[str]]:
    """Raw class name -> class from 0, and the names of the classes."""
    keys = ("mapClass", "allClassName", "className")
    content = _load_mat(source / CLASS_MAPPING, keys)
    raw = _cells(content["allClassName"])
    classes = content["mapClass"].astype("int64").ravel() - 1
    names = _cells(content["className"])
    if len(raw) != len(classes) or classes.max() >= len(names):
        raise ValueError(
            f"{source / CLASS_MAPPING} maps {len(classes)} classes up to "
            f"{classes.max() + 1}, but names {len(raw)} and {len(names)}."
        )
    return dict(zip(raw, classes.tolist(), strict=True)), names


def _label_table(names: list[str], mapping: dict[str, int]) -> np.ndarray:
    """Class of every raw label; 0, which is unlabeled, is ignored."""
    unknown = [name for name in names if name not in mapping]
    if unknown:
        raise ValueError(
            f"{CLASS_MAPPING} does not map {unknown[0]!r}, a class of "
            f"{LABELED}; the files do not belong together."
        )
    classes = [mapping[name] for name in names]
    table = np.array([IGNORE, *classes])
    return np.where(table < 0, IGNORE, table).astype("uint8")


def _names(file: object) -> list[str]:
    """A MATLAB cell array of strings: references to arrays of characters."""
    return [
        "".join(chr(code) for code in np.ravel(file[reference]))
        for reference in np.ravel(file["names"])
    ]


def _cells(array: np.ndarray) -> list[str]:
    return [str(np.ravel(cell)[0]) for cell in array.ravel()]


def _check_files(source: Path) -> None:
    names = (LABELED, SPLIT_INDICES, CLASS_MAPPING)
    missing = [name for name in names if not (source / name).is_file()]
    if missing:
        raise ValueError(
            f"{source} lacks {' and '.join(missing)}; put the official files "
            f"{', '.join(names)} of NYU Depth v2 there."
        )
    import h5py

    try:
        with h5py.File(source / LABELED, "r") as file:
            absent = {"images", "depths", "labels", "names"} - set(file)
    except OSError as error:
        raise ValueError(
            f"{source / LABELED} is damaged or cut short: {error}"
        ) from error
    if absent:
        raise ValueError(
            f"{source / LABELED} has no {', '.join(sorted(absent))}; it is "
            "not the labeled set of NYU Depth v2."
        )


def _load_mat(path: Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    import scipy.io

    try:
        content = scipy.io.loadmat(path)
    except (OSError, ValueError, NotImplementedError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    absent = [key for key in keys if key not in content]
    if absent:
        raise ValueError(f"{path} has no {', '.join(absent)}.")
    return content


def _fingerprint(source: Path) -> str:
    """Other files of the same names must not find these prepared."""
    state = (source / LABELED).stat()
    key = f"{state.st_size} {state.st_mtime_ns}".encode()
    for name in (SPLIT_INDICES, CLASS_MAPPING):
        key += (source / name).read_bytes()
    return f"{zlib.crc32(key):08x}"
