"""Which data a `data_dir` is, and its examples as NumPy arrays.

Taskonomy's layout of domains is told by its file names
(`datasets/taskonomy.py`); what else may be there is in
`datasets/aligned_images.py`. A modality called `label_edges` is made of the
masks that lie in `label`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from applications.datasets import aligned_images
from applications.datasets import taskonomy
from applications.datasets.aligned_images import Source
from applications.datasets.paired_folder import LABEL

LABEL_EDGES = "label_edges"


def find(data_dir: str | None, names: tuple[str, ...]) -> Source:
    """The images of all `names`, the last of which is to be made."""
    if data_dir is not None and taskonomy.is_layout(Path(data_dir)):
        return taskonomy.find(Path(data_dir), names)
    source = aligned_images.find(data_dir, stored(names), label=None)
    if LABEL_EDGES not in names:
        return source
    return source._replace(
        channels={n: source.channels.get(n, 1) for n in names},
        read=lambda split: WithLabelEdges(source.read(split)),
    )


def unlabeled_examples(
    data_dir: Path, modalities: tuple[str, ...], problems: list[str]
) -> tuple[tuple[str, ...], Sequence]:
    """Ids and examples to predict; what does not fit goes to `problems`."""
    if taskonomy.is_layout(data_dir):
        return taskonomy.unlabeled_examples(data_dir, modalities, problems)
    identifiers, examples = aligned_images.unlabeled_examples(
        data_dir, stored(modalities), problems
    )
    if LABEL_EDGES in modalities:
        examples = WithLabelEdges(examples)
    return identifiers, examples


def stored(names: tuple[str, ...]) -> tuple[str, ...]:
    """The folders that hold the modalities."""
    return tuple(LABEL if name == LABEL_EDGES else name for name in names)


class WithLabelEdges(Sequence):
    """Examples whose masks have become a modality of their edges."""

    def __init__(self, examples: Sequence) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        example = dict(self.examples[index])
        return example | {LABEL_EDGES: edges(example.pop(LABEL))}


def edges(mask: np.ndarray) -> np.ndarray:
    """255 where a pixel differs from its right or lower neighbor, else 0."""
    changed = np.zeros(mask.shape[:2], bool)
    changed[:-1] |= (mask[:-1] != mask[1:]).any(axis=-1)
    changed[:, :-1] |= (mask[:, :-1] != mask[:, 1:]).any(axis=-1)
    return changed[..., None].astype("uint8") * 255
