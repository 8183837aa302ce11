"""Further verbs: write texts, find images and texts, learn a dictionary."""

import dataclasses
from pathlib import Path
from typing import Literal

from applications import cli


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generate(cli.RunCommand):
    """Write captions of images: drawn at random, or by a beam."""

    image: tuple[Path, ...]
    """Files of images."""
    start: str = ""
    """First words of every caption."""
    count: int = 3
    """Captions of each image."""
    temperature: float = 1.0
    """Below 1 what is likely becomes likelier."""
    top_p: float = 1.0
    """Draw from the likeliest words that together have this probability."""
    beam: int = 0
    """Search with a beam of this width instead of drawing; 0: draw."""
    seed: int = 0
    """Of the draws."""

    def __call__(self, task: str) -> None:
        from applications.captioning import commands

        commands.generate(self.open(task), self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retrieve(cli.RunCommand):
    """Find the images of a text, or texts for an image."""

    text: str | None = None
    """A text, for which images are sought."""
    image: Path | None = None
    """File of an image, for which texts are sought."""
    data_dir: str | None = None
    """Folder with other data; None: the data it was trained on."""
    split: Literal["train", "test", "validation"] | None = None
    """Where it is sought; None: images in the test part, else validation,
    texts in the training part."""
    count: int = 5
    """How many are shown."""
    shortlist: int = 100
    """Texts are sought among those of so many images, the nearest by their
    codes."""
    out: Path | None = None
    """File, .png, for a picture of the images that are found."""

    def __call__(self, task: str) -> None:
        from applications.captioning import commands

        commands.retrieve(self.open(task), self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dictionary:
    """Learn a dictionary of patches for --backbone patches."""

    out: Path
    """File to write, .npz."""
    data_dir: str | None = None
    """Folder with images and captions; None: rooms."""
    image_side: int = 48
    """Height and width to which images are brought, in pixels."""
    seed: int = 0
    """Of the patches."""

    def __call__(self, task: str) -> None:
        from applications.captioning import commands

        commands.learn_dictionary(self)


VERBS = {
    "generate": Generate,
    "retrieve": Retrieve,
    "dictionary": Dictionary,
}
