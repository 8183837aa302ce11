"""The verbs of the task: evaluation by the data's own names, and `play`."""

import dataclasses
from pathlib import Path
from typing import Literal

from applications import cli


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate(cli.Evaluate):
    """Measure a trained run, print the table, write evaluate-SPLIT.json."""

    split: Literal["test", "validation", "dev"] | None = None
    """Part of the data, dev being validation; None: test, else validation."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Play(cli.RunCommand):
    """Play an episode with a trained run and draw it as an animated GIF."""

    instruction: str | None = None
    """What to do, in your words; None: what the data say."""
    data_dir: str | None = None
    """Folder with other data; None: the data it was trained on."""
    split: Literal["test", "validation", "dev"] = "dev"
    """Part of the data that the board is from, dev being validation."""
    index: int = 0
    """Number of the instruction in that part, which has the board too."""
    out: Path | None = None
    """File to write; None: RUN/pictures/play.gif."""

    def __call__(self, task: str) -> None:
        from applications.instruction_following.predictions import play_one

        run = self.open(task)
        split = "validation" if self.split == "dev" else self.split
        out = self.out or run.folder / "pictures" / "play.gif"
        if out.suffix != ".gif":
            raise ValueError(f"out must end in .gif, received {out}")
        played = play_one(
            run, split, self.index, out, self.instruction, self.data_dir
        )
        print(played)


VERBS = {"evaluate": Evaluate, "play": Play}
