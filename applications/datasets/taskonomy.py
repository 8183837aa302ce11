"""Taskonomy's layout: a folder for each domain of an image.

```
DIR/rgb/point_0_view_1_domain_rgb.png
DIR/reshading/allensville/point_0_view_1_domain_reshading.png
DIR/train.txt, validation.txt, test.txt      optional
```

Files lie in a domain's folder, or in folders of buildings there, the same in
every domain. An example is called by what stands before `_domain_`, its
building included. A list has an example or a whole building a line; without
lists every fifth block of points is held out for validation, so that no two
parts look from the same place.

Of the values of 16 bits, `depth_zbuffer` and `depth_euclidean` become
log(1 + d) / 11.1 and edges are divided by 11,584, as in the code of Wang et
al. 2020, both floats that lie between 0 and 1.
"""

import itertools
import re
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from applications import files
from applications.datasets import file_tree
from applications.datasets import paired_folder
from applications.datasets.aligned_images import Source
from applications.datasets.file_tree import LeftOut
from applications.datasets.paired_folder import Example
from applications.datasets.paired_folder import PairedFolder

NAME = re.compile(r"(?P<view>.*point_(?P<point>\d+)_view_\d+)_domain_\w+\.png")
# Of depths, in log(1 + d): a little more than 16 bits can hold.
LOG_RANGE = 11.1
# The released code divides one of the two kinds of edges by 11,355.
EDGE_RANGE = 11584.0
LIST = ".txt"


def log_depth(counts: np.ndarray) -> np.ndarray:
    return (np.log1p(counts.astype("float32")) / LOG_RANGE).astype("float32")


def edge_strength(counts: np.ndarray) -> np.ndarray:
    return counts.astype("float32") / np.float32(EDGE_RANGE)


SCALES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "depth_zbuffer": log_depth,
    "depth_euclidean": log_depth,
    "edge_occlusion": edge_strength,
    "edge_texture": edge_strength,
}
SCALED_RANGE = (0.0, 1.0)


def is_layout(root: Path) -> bool:
    """Whether a folder of `root` holds files that are named in this way."""
    if paired_folder.has_splits(root):
        return False
    left_out = LeftOut(root)
    domains = [p for p in file_tree.entries(root, left_out) if p.is_dir()]
    return any(
        NAME.fullmatch(path.name)
        for domain in domains
        for path in file_tree.files_below(domain, left_out)
    )


def find(root: Path, domains: tuple[str, ...]) -> Source:
    """The examples that have an image of every domain."""
    left_out = LeftOut(root)
    examples = _examples(root, domains, left_out)
    lists = file_tree.find_split_files(root, (LIST,), LeftOut(root))
    if lists:
        splits = _listed(examples, lists)
        unnamed = len(examples) - sum(map(len, splits.values()))
        rules = [f"left out, in no list: {unnamed:,} examples"] * bool(unnamed)
    else:
        splits = _held_out(examples)
        rules = ["validation is every fifth block of points"]
        rules *= "validation" in splits
    paired_folder.check_channels(splits)
    return Source(
        (),
        {
            name: max(example.channels[name] for example in examples)
            for name in domains
        },
        {name: len(found) for name, found in splits.items()},
        lambda split: Views(splits[split]),
        (*rules, *left_out.lines()),
        {name: SCALED_RANGE for name in domains if name in SCALES},
    )


def unlabeled_examples(
    root: Path, domains: tuple[str, ...], problems: list[str]
) -> tuple[tuple[str, ...], Sequence]:
    """Ids and examples that have an image of every domain."""
    left_out = LeftOut(root)
    examples = _examples(root, domains, left_out, problems)
    print("\n".join([f"{len(examples):,} examples", *left_out.lines()]))
    return tuple(example.id for example in examples), Views(examples)


class Views(Sequence):
    """Decoded examples: a dict of (height, width, channels) arrays each."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.folder = PairedFolder(examples)

    def __len__(self) -> int:
        return len(self.folder)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {
            name: scaled(image, name)
            for name, image in self.folder[index].items()
        }


def scaled(image: np.ndarray, domain: str) -> np.ndarray:
    """Values of 16 bits by their scale; 8 bits hold 255 times its result."""
    if domain not in SCALES or image.dtype == "float32":
        return image
    if image.dtype == "uint8":
        return image.astype("float32") / np.float32(255)
    return SCALES[domain](image)


def _examples(
    root: Path,
    domains: tuple[str, ...],
    left_out: LeftOut,
    problems: list[str] | None = None,
) -> tuple[Example, ...]:
    found = {name: _files_by_id(root, name, left_out) for name in domains}
    for path in file_tree.entries(root, left_out):
        if path.is_dir() and path.name not in domains:
            left_out.add(path, "domains that were not asked for")
        if not path.is_dir() and path.suffix.lower() != LIST:
            left_out.add(path, "beside the domains")
    examples = []
    ids = sorted(set().union(*found.values()), key=file_tree.natural_order)
    for identifier in ids:
        try:
            paired_folder.check_partners(root, found, identifier)
            examples.append(paired_folder.example_of(identifier, found, None))
        except ValueError as error:
            if problems is None:
                raise
            problems.append(str(error))
    return tuple(examples)


def _files_by_id(root: Path, name: str, left_out: LeftOut) -> dict[str, Path]:
    domain = root / name
    if not domain.is_dir():
        raise ValueError(
            f"{root} has no folder {name}/; it holds "
            f"{file_tree.listing(root)}. Its folders are the domains to choose "
            "--modalities and --target from"
        )
    found = {}
    for path in file_tree.files_below(domain, left_out):
        if match := NAME.fullmatch(path.name):
            view = path.relative_to(domain).with_name(match["view"])
            found[view.as_posix()] = path
        else:
            left_out.add(path, "not named point_N_view_M_domain_NAME.png")
    if not found:
        raise ValueError(
            f"{domain} holds no file that is named "
            f"point_N_view_M_domain_{name}.png; it holds "
            f"{file_tree.listing(domain)}"
        )
    return found


def _listed(
    examples: tuple[Example, ...], lists: dict[str, Path]
) -> dict[str, tuple[Example, ...]]:
    by_name: dict[str, list[Example]] = {}
    for example in examples:
        for name in {example.id, _building(example)}:
            by_name.setdefault(name, []).append(example)
    splits: dict[str, tuple[Example, ...]] = {}
    for split, file in lists.items():
        chosen = _chosen(file, by_name)
        for other, members in splits.items():
            if both := chosen.keys() & {member.id for member in members}:
                raise ValueError(
                    f"{min(both)} is in {lists[other]} and in {file}; take it "
                    "out of one of them"
                )
        splits[split] = tuple(chosen.values())
    return splits


def _chosen(
    file: Path, by_name: dict[str, list[Example]]
) -> dict[str, Example]:
    """The examples, by id, whose names or buildings a list holds."""
    chosen: dict[str, Example] = {}
    for number, line in enumerate(files.read_text(file).splitlines(), start=1):
        name = line.strip()
        if name and name not in by_name:
            raise ValueError(
                f"{file}, line {number}: there is no example and no building "
                f"{name!r}; expected such as {next(iter(by_name))!r}"
            )
        members = by_name[name] if name else []
        chosen |= {example.id: example for example in members}
    if not chosen:
        raise ValueError(f"{file} is empty; list examples, or remove it")
    return chosen


def _held_out(
    examples: tuple[Example, ...],
) -> dict[str, tuple[Example, ...]]:
    groups = [
        tuple(group) for _, group in itertools.groupby(examples, key=_place)
    ]
    parts = zip(
        ("train", "validation"), paired_folder.hold_out(groups), strict=True
    )
    return {
        name: tuple(itertools.chain.from_iterable(part))
        for name, part in parts
        if part
    }


def _building(example: Example) -> str:
    return example.id.rpartition("/")[0]


def _place(example: Example) -> str:
    """The building and the point that a view is of."""
    return example.id.rpartition("_view_")[0]
