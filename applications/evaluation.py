"""What one does with a trained run: evaluate it, predict with it."""

from pathlib import Path
from typing import Any

from applications import settings
from applications import training
from applications.reports import Incomplete
from applications.runs import Run


def evaluate(
    run: Run, split: str | None = None, data_dir: str | None = None
) -> dict[str, Any]:
    """Measures a run on a split and writes `evaluate-<split>.json`.

    Without a split it takes the test data if there are any, else validation.
    """
    data, model = run.data(data_dir), run.model()
    split = data.first(*([split] if split else ["test", "validation"]))
    print(data.describe(split))
    _, dataset = data.split(split)
    metrics = run.task.measure(model, dataset, data.config) | {
        "split": split,
        "data_dir": data.config.data_dir,
        "parameters": model.count_params(),
        "versions": training.versions(),
    }
    file = run.write(f"evaluate-{split}.json", metrics)
    print(f"\n{run.task.table(metrics)}\n\nwritten: {file}")
    return metrics


def predict(run: Run, data_dir: str, out: Path | None = None) -> list[Path]:
    """Writes predictions for the examples of a folder without labels."""
    settings.check_folder(data_dir, "data_dir")
    out = out or run.folder / "predictions"
    if out.resolve().is_relative_to(Path(data_dir).resolve()):
        raise ValueError(
            f"out must be a folder outside of data_dir, received {out} in "
            f"{data_dir}"
        )
    config, model, problems = run.config, run.model(), []
    paths = run.task.predict(model, config, Path(data_dir), out, problems)
    print(f"{len(paths)} files written to {out}")
    for problem in problems:
        print(f"left out: {problem}")
    if problems:
        raise Incomplete(
            f"{len(problems)} of the examples could not be read, of the others "
            f"{len(paths)} files were written to {out}: {problems[0]}"
        )
    return paths
