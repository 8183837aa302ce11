"""Where episodes come from: a folder in the Blocks format, or the generator.

| data_dir | train | validation | test |
|---|---|---|---|
| None | generated from the seed | 400 generated boards | 400 others |
| a folder | `train.json` | `dev.json` | `test.json` |
"""

from typing import TYPE_CHECKING

from applications.instruction_following import episodes
from applications.instruction_following import instructions
from applications.instruction_following import mini_world
from applications.instruction_following.episodes import Episodes

if TYPE_CHECKING:
    from applications.instruction_following.config import Config

HELD_OUT = 400
# Far from what anyone takes for a training seed.
HELD_OUT_SEEDS = {"validation": 2**40, "test": 2**40 + 1}


def splits(config: "Config") -> dict[str, Episodes]:
    """The parts that there are."""
    if config.data_dir is None:
        held_out = {
            name: mini_world.generate(HELD_OUT, seed)
            for name, seed in HELD_OUT_SEEDS.items()
        }
        train = mini_world.generate(config.boards, config.seed)
        return {"train": train} | held_out
    found = {
        part: episodes.read(config.data_dir, part) for part in episodes.FILES
    }
    found = {part: content for part, content in found.items() if content}
    if not found:
        raise ValueError(
            f"{config.data_dir} has none of "
            f"{', '.join(episodes.FILES.values())}; give a folder in the "
            "Blocks format"
        )
    return found


def vocabulary(config: "Config") -> tuple[str, ...]:
    """The words of the training texts."""
    if config.data_dir is None:
        every = [
            phrase.format(color, side, color)
            for phrase in mini_world.PHRASES
            for color in mini_world.COLORS
            for side in mini_world.SIDES
        ]
        return instructions.vocabulary(every)
    train = episodes.read(config.data_dir, "train")
    if train is None:
        raise ValueError(
            f"{config.data_dir} has no {episodes.FILES['train']}, from which "
            "the words to learn would come"
        )
    return instructions.vocabulary(train.texts)
