"""The verbs `graph` and `mistakes`: what is in the fused vectors of a run,
and which rows it gets wrong."""

import dataclasses
from pathlib import Path
from typing import Any
from typing import Literal

import numpy as np

from applications import callbacks
from applications import cli
from applications import files


@dataclasses.dataclass(frozen=True, kw_only=True)
class Graph(cli.RunCommand):
    """Draw modality graph and neighbors, and tell signs of collapse."""

    data_dir: str | None = None
    """Folder with other data; None: the data it was trained on."""
    split: Literal["test", "validation"] | None = None
    """Part of the data; None: test if there is one, else validation."""

    def __call__(self, task: str) -> None:
        from applications.multimodal_classification import figures
        from applications.multimodal_classification import frozen
        from applications.multimodal_classification import graphs

        run = self.open(task)
        graphs.check_fused(run.config)
        model = run.model()
        split, dataset, config = _opened(self, run)
        described = graphs.describe(model, dataset, config)
        fused, labels = graphs.fused_vectors(
            frozen.classifier(model), frozen.encoded(model, dataset, config)
        )
        pictures = {
            "neighbors": figures.sample_graph(fused, labels, config.classes)
        }
        if "modality_graph" in described:
            pictures["graph"] = figures.modality_graph(
                described["modality_graph"], config.modalities
            )
        written = [run.write(f"graph-{split}.json", described)]
        written += _save(run, split, pictures)
        print(f"\n{graphs.report(described, config)}\n")
        print(f"written: {', '.join(map(str, written))}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mistakes(cli.RunCommand):
    """Show the rows that it gets most wrong, and which classes it confuses."""

    data_dir: str | None = None
    """Folder with other data; None: the data it was trained on."""
    split: Literal["test", "validation", "train"] | None = None
    """Part of the data; None: test if there is one, else validation."""

    def __call__(self, task: str) -> None:
        from applications.multimodal_classification import figures
        from applications.multimodal_classification import mistakes
        from applications.multimodal_classification import pictures
        from applications.multimodal_classification import scores

        run = self.open(task)
        model = run.model()
        split, dataset, config = _opened(self, run)
        found = mistakes.find(model, dataset, config)
        shown = len(found.inputs["presence"])
        drawn = {
            "mistakes": pictures.panel(
                found.inputs,
                found.chances[:shown],
                found.labels[:shown],
                config,
            )
        }
        if not config.multilabel:
            said = found.chances.argmax(axis=1)
            drawn["confusion"] = figures.confusion(
                scores.confusion(found.labels, said, len(config.classes)),
                config.classes,
            )
        records = mistakes.as_table(found, config)
        table = run.folder / f"mistakes-{split}.csv"
        files.write_csv(table, records)
        written = [table, *_save(run, split, drawn)]
        wrong = sum(r["label"] != r["predicted"] for r in records)
        print(f"\n{wrong} of {len(records)} rows are wrong; the worst of them:")
        for record in records[:5]:
            print(
                f"row {record['row']}: {record['predicted'] or 'none'} for "
                f"{record['label'] or 'none'}, loss {record['loss']:.2f}"
            )
        print(f"written: {', '.join(map(str, written))}")


def _opened(command: Any, run: Any) -> tuple[str, Any, Any]:
    """The part of the data that a verb looks at."""
    data = run.data(command.data_dir)
    names = (command.split,) if command.split else ("test", "validation")
    split = data.first(*names)
    print(data.describe(split))
    return split, data.split(split)[1], data.config


def _save(run: Any, split: str, drawn: dict[str, np.ndarray]) -> list[Path]:
    written = []
    for name, picture in drawn.items():
        path = run.folder / "pictures" / f"{name}-{split}.png"
        callbacks.save_picture(path, picture)
        written.append(path)
    return written


VERBS = {"graph": Graph, "mistakes": Mistakes}
