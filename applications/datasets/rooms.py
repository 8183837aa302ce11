"""Rendered rooms as a TFDS set: color, depth and what a camera never tells.

| feature | |
|---|---|
| `rgb` | uint8, lit, textured, with camera noise and dark corners |
| `depth` | float32 meters along the optical axis, noisy; 0 where lost |
| `normals` | uint8, (n + 1) * 127.5: right, up, towards the camera |
| `shading`, `albedo` | uint8; color without noise is their product |
| `edges` | uint8, 255 on outlines and creases |
| `label` | class index, see `room_scenes.CLASSES` |
| `caption` | one or two sentences about what can be seen |

Everything follows from (seed, split, index), so no two splits share a room.
"""

from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from applications.datasets.file_tree import SPLITS
from applications.datasets.preparation import prepare_once
from applications.datasets.ray_casting import Picture
from applications.datasets.ray_casting import render
from applications.datasets.room_scenes import CLASSES
from applications.datasets.room_scenes import Furnished
from applications.datasets.room_scenes import draw_scene

GAMMA = 1 / 1.6
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven")


@dataclass(eq=False)
class RoomsConfig(tfds.core.BuilderConfig):
    """Pixels a side, rooms of each split, and the seed: they make the name."""

    name: str = ""
    size: int = 96
    train: int = 400
    validation: int = 50
    test: int = 100
    seed: int = 0

    def __post_init__(self):
        counts = (self.train, self.validation, self.test)
        if min(self.size, *counts) < 1:
            raise ValueError(
                "size and the counts of rooms must be at least 1, received "
                f"size={self.size}, train={self.train}, "
                f"validation={self.validation}, test={self.test}."
            )
        self.name = "{}px-{}-{}-{}-seed-{}".format(
            self.size, *counts, self.seed
        )


class Rooms(tfds.core.GeneratorBasedBuilder):
    """Rooms with boxes, balls, cylinders, posters and rugs."""

    # To be raised with every change of what is rendered: prepared data of the
    # same version is never made again.
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIG_CLASS = RoomsConfig

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features
        size = self.builder_config.size

        def image(channels: int) -> tfds.features.Image:
            return features.Image(
                shape=(size, size, channels), encoding_format="png"
            )

        return self.dataset_info_from_configs(
            description=__doc__,
            features=features.FeaturesDict(
                {
                    "id": features.Text(),
                    "rgb": image(3),
                    "depth": features.Tensor(
                        shape=(size, size, 1), dtype=np.float32
                    ),
                    "normals": image(3),
                    "shading": image(1),
                    "albedo": image(3),
                    "edges": image(1),
                    "label": features.LabeledImage(
                        labels=list(CLASSES),
                        shape=(size, size, 1),
                        encoding_format="png",
                    ),
                    "caption": features.Text(),
                }
            ),
        )

    def _split_generators(self, dl_manager: object) -> dict[str, Iterator]:
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator:
        config = self.builder_config
        for index in range(getattr(config, split)):
            example = room_example(config.seed, split, index, config.size)
            yield index, {"id": f"{split}-{index:04d}"} | example


def prepare(
    data_dir: str | Path = "data/tfds", config: RoomsConfig | None = None
) -> Rooms:
    """The builder, prepared under `data_dir` unless it is already."""
    return prepare_once(
        lambda: Rooms(config=config or RoomsConfig(), data_dir=data_dir)
    )


def room_example(
    seed: int, split: str, index: int, size: int
) -> dict[str, np.ndarray | str]:
    """The features of one room; the same arguments give the same room."""
    rng = np.random.default_rng((seed, SPLITS.index(split), index))
    furnished = draw_scene(rng)
    picture = render(furnished.scene, size)
    return {
        "rgb": photograph(rng, picture.color),
        "depth": measure_depth(rng, picture.depth),
        "normals": _to_bytes(picture.normals / 2 + 0.5),
        "shading": _to_bytes(picture.shading),
        "albedo": _to_bytes(picture.albedo),
        "edges": outlines(picture).astype("uint8") * 255,
        "label": picture.label.astype("uint8"),
        "caption": describe(rng, furnished, picture),
    }


def photograph(rng: np.random.Generator, color: np.ndarray) -> np.ndarray:
    """A camera: exposure, white balance, gamma, and noise."""
    balance = rng.uniform(1.0, 1.5) * rng.uniform(0.92, 1.08, 3)
    light = np.clip(color * balance.astype("float32"), 0, 1)
    noise = rng.normal(0, rng.uniform(0.01, 0.035), light.shape)
    return _to_bytes(light**GAMMA + noise)


def measure_depth(rng: np.random.Generator, depth: np.ndarray) -> np.ndarray:
    """A depth camera: noise grows with the square of the distance, and pixels
    at steps in depth, on patches and here and there are lost (0).

    Nothing here may look at color or label: what lies flat stays unseen.
    """
    spread = 0.002 + 0.0025 * depth**2
    measured = depth + rng.normal(0, 1, depth.shape) * spread
    steps = _changes(depth, lambda a, b: abs(a / b - 1) > 0.08)
    lost = rng.random(depth.shape) < 0.01 + 0.4 * steps
    rows, columns = np.indices(depth.shape[:2])
    for _ in range(rng.integers(0, 4)):
        row, column = rng.uniform(0, len(depth), 2)
        radius = rng.uniform(0.02, 0.07, 2) * len(depth)
        patch = ((rows - row) / radius[0]) ** 2
        patch = patch + ((columns - column) / radius[1]) ** 2
        lost |= (patch < 1)[..., None]
    return np.where(lost, 0, measured).astype("float32")


def outlines(picture: Picture) -> np.ndarray:
    """Where class, object or orientation changes to the right or below."""

    def crease(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a * b).sum(axis=-1, keepdims=True) < 0.7

    return (
        _changes(picture.label, np.not_equal)
        | _changes(picture.instance, np.not_equal)
        | _changes(picture.normals, crease)
    )


def _changes(
    values: np.ndarray,
    differ: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Where a pixel and its right or lower neighbor differ."""
    changed = np.zeros((*values.shape[:2], 1), bool)
    changed[:-1] |= differ(values[:-1], values[1:])
    changed[:, :-1] |= differ(values[:, :-1], values[:, 1:])
    return changed


def describe(
    rng: np.random.Generator, furnished: Furnished, picture: Picture
) -> str:
    """What the room holds, and how two of the things stand to each other."""
    names = (*furnished.objects, *furnished.decals)
    pixels = np.bincount(
        picture.instance.ravel() + 1, minlength=len(names) + 1
    )[1:]
    visible = np.flatnonzero(pixels > 0.003 * picture.label.size)
    if not len(visible):
        return "An empty room."
    counts = Counter(names[index] for index in visible)
    phrases = [_counted(name, count) for name, count in counts.items()]
    caption = f"A room with {_enumerated(phrases)}."
    single = [
        index
        for index in visible
        if index < len(furnished.objects)
        and furnished.objects.count(names[index]) == 1
    ]
    if len(single) < 2:
        return caption
    subject, other = rng.choice(single, 2, replace=False)
    relation = _relation(furnished, picture, subject, other)
    return f"{caption} The {names[subject]} is {relation} the {names[other]}."


def _relation(
    furnished: Furnished, picture: Picture, subject: int, other: int
) -> str:
    if furnished.supports[subject] == other:
        return "on top of"
    if furnished.supports[other] == subject:
        return "under"
    masks = [picture.instance[..., 0] == index for index in (subject, other)]
    middles = [np.nonzero(mask)[1].mean() for mask in masks]
    if abs(middles[0] - middles[1]) > 0.1 * len(masks[0]):
        side = "left" if middles[0] < middles[1] else "right"
        return f"to the {side} of"
    depths = [picture.depth[mask].mean() for mask in masks]
    return "in front of" if depths[0] < depths[1] else "behind"


def _counted(name: str, count: int) -> str:
    if count == 1:
        return f"a {name}"
    noun, *support = name.split(" on ", 1)
    plural = noun + ("es" if noun.endswith("x") else "s")
    return " on ".join([f"{NUMBERS[count]} {plural}", *support])


def _enumerated(phrases: Sequence[str]) -> str:
    if len(phrases) == 1:
        return phrases[0]
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 1) * 255).astype("uint8")
