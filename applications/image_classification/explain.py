"""The verb `explain`: how much each branch of a run counts, on its data."""

import dataclasses
from typing import Literal

from applications import callbacks
from applications import cli
from applications import evaluation
from applications import load_task
from applications import runs
from applications import training
from applications.image_classification.branches import Branches
from applications.image_classification.branches import check_branches
from applications.image_classification.branches import statistics
from applications.image_classification.config import Config
from applications.image_classification.config import branch_names
from applications.image_classification.data import load_data
from applications.image_classification.pictures import draw_branches
from applications.image_classification.scores import branch_table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Explain(cli.Use):
    """Say how much each branch counts: table, picture and JSON in the run."""

    data_dir: str | None = None
    """Folder with other data; None: the data it was trained on."""
    split: Literal["test", "validation", "train"] | None = None
    """Part of the data; None: test if there is one, else validation."""

    def __call__(self, task: str) -> None:
        path = runs.find(task, self.run, self.runs_dir)
        config = runs.read_config(path, Config)
        check_branches(config)
        model = training.load_model(path)
        config = evaluation.with_data(load_task(task), config, self.data_dir)
        data = load_data(config)
        names = (self.split,) if self.split else ("test", "validation")
        split, dataset = data.split(*names)
        if split == "train":
            # Endless: an epoch of it.
            dataset = dataset.take(data.steps_per_epoch)
        weights, met = Branches(model, config).measure(dataset)
        branches = branch_names(config)
        found = {
            key: dict(zip(branches, map(float, values), strict=True))
            for key, values in statistics(weights, met).items()
        }
        target = path / f"explain-{split}.json"
        runs.write_json(
            target,
            {
                "split": split,
                "branches": found,
                "weights": weights.tolist(),
                "mean_activations": met.tolist(),
            },
        )
        picture = path / "pictures" / f"branches-{split}.png"
        callbacks.save_picture(picture, draw_branches(branches, weights, met))
        print(f"\n{branch_table(found)}\n\nwritten: {target}, {picture}")


VERBS = {"explain": Explain}
