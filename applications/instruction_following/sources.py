"""Where episodes come from: a folder in the Blocks format, or the generator.

| data_dir | train | validation | test |
|---|---|---|---|
| None | generated from the seed | 400 generated boards | 400 others |
| a folder | `train.json` | `dev.json`, `val.json` and so on | `test.json` |
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from applications.datasets import file_tree
from applications.datasets.file_tree import LeftOut
from applications.instruction_following import episodes
from applications.instruction_following import instructions
from applications.instruction_following import mini_world
from applications.instruction_following.config import Config
from applications.instruction_following.episodes import Episodes

HELD_OUT = 400
# Far from what anyone takes for a training seed.
HELD_OUT_SEEDS = {"validation": 2**40, "test": 2**40 + 1}


class Source(NamedTuple):
    """What was found where a config says that its episodes are."""

    splits: dict[str, Callable[[], Episodes]]
    """Every part that there is, read when it is called."""
    vocabulary: Callable[[], tuple[str, ...]]
    """The words of the training texts."""
    notes: tuple[str, ...] = ()
    """What was left out."""


def find(config: Config) -> Source:
    """Looks for episodes once, and reads or makes none yet."""
    return _generated(config) if config.data_dir is None else _stored(config)


def _generated(config: Config) -> Source:
    counts = {"train": (config.boards, config.seed)}
    counts |= {name: (HELD_OUT, seed) for name, seed in HELD_OUT_SEEDS.items()}
    texts = [
        phrase.format(color, side, color)
        for phrase in mini_world.PHRASES
        for color in mini_world.COLORS
        for side in mini_world.SIDES
    ]
    return Source(
        {
            name: functools.partial(mini_world.generate, count, seed)
            for name, (count, seed) in counts.items()
        },
        functools.partial(instructions.vocabulary, texts),
    )


def _stored(config: Config) -> Source:
    root = Path(config.data_dir)
    left_out = LeftOut(root)
    files = file_tree.find_split_files(root, (".json",), left_out)
    if not files:
        raise ValueError(
            f"{root} has none of train.json, dev.json, test.json; give a "
            "folder in the Blocks format"
        )
    # Words and boards of a part come from one reading.
    read = functools.cache(episodes.read)

    def vocabulary() -> tuple[str, ...]:
        if "train" not in files:
            raise ValueError(
                f"{root} has no train.json, from which the words to learn "
                "would come"
            )
        return instructions.vocabulary(read(files["train"]).texts)

    return Source(
        {name: functools.partial(read, file) for name, file in files.items()},
        vocabulary,
        left_out.lines(),
    )
