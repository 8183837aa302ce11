"""The verb `graph`: what the refiner left in the fused vectors of a run."""

import dataclasses
from typing import Literal

import numpy as np

from applications import callbacks
from applications import cli


@dataclasses.dataclass(frozen=True, kw_only=True)
class Graph(cli.RunCommand):
    """Say what refining left: modality graph, neighbors, signs of collapse."""

    data_dir: str | None = None
    """Folder with other data; None: the data it was trained on."""
    split: Literal["test", "validation"] | None = None
    """Part of the data; None: test if there is one, else validation."""

    def __call__(self, task: str) -> None:
        from applications.multimodal_classification import graphs
        from applications.multimodal_classification import pictures

        run = self.open(task)
        model = run.model()
        graphs.find_refiner(model)
        data = run.data(self.data_dir)
        names = (self.split,) if self.split else ("test", "validation")
        split = data.first(*names)
        print(data.describe(split))
        _, dataset = data.split(split)
        described = graphs.describe(model, dataset, data.config)
        file = run.write(f"graph-{split}.json", described)
        picture = run.folder / "pictures" / f"graph-{split}.png"
        callbacks.save_picture(
            picture,
            pictures.draw_graph(
                np.array(described["modality_graph"]), data.config.modalities
            ),
        )
        print(f"\n{graphs.report(described, data.config)}\n")
        print(f"written: {file}, {picture}")


VERBS = {"graph": Graph}
