"""The verb `explain`: how much each branch of a run counts, on its data."""

import dataclasses
from typing import Literal

from applications import callbacks
from applications import cli
from applications.image_classification.branches import Branches
from applications.image_classification.branches import check_branches
from applications.image_classification.config import branch_names
from applications.image_classification.pictures import draw_branches
from applications.image_classification.scores import branch_table
from keras_fusion.statistics import branch_statistics


@dataclasses.dataclass(frozen=True, kw_only=True)
class Explain(cli.RunCommand):
    """Say how much each branch counts: table, picture and JSON in the run."""

    data_dir: str | None = None
    """Folder with other data; None: the data it was trained on."""
    split: Literal["test", "validation", "train"] | None = None
    """Part of the data; None: test if there is one, else validation."""

    def __call__(self, task: str) -> None:
        run = self.open(task)
        check_branches(run.config)
        data, model = run.data(self.data_dir), run.model()
        names = (self.split,) if self.split else ("test", "validation")
        split = data.first(*names)
        print(data.describe(split))
        _, dataset = data.split(split)
        weights, activations = Branches(model, data.config).measure(dataset)
        branches = branch_names(data.config)
        described = {
            key: dict(zip(branches, map(float, values), strict=True))
            for key, values in branch_statistics(weights, activations).items()
        }
        file = run.write(
            f"explain-{split}.json",
            {
                "split": split,
                "branches": described,
                "weights": weights.tolist(),
                "mean_activations": activations.tolist(),
            },
        )
        picture = run.folder / "pictures" / f"branches-{split}.png"
        callbacks.save_picture(
            picture, draw_branches(branches, weights, activations)
        )
        print(f"\n{branch_table(described)}\n\nwritten: {file}, {picture}")


VERBS = {"explain": Explain}
