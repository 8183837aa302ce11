"""What one does with a trained run: evaluate it, predict with it."""

import dataclasses
from pathlib import Path
from types import ModuleType

from applications import load_task
from applications import runs
from applications import settings
from applications import training


def evaluate(
    task_name: str,
    path: Path,
    split: str | None = None,
    data_dir: str | None = None,
) -> dict:
    """Measures a run on a split and writes `evaluate-<split>.json`.

    Without a split it takes the test data if there are any, else validation.
    """
    task = load_task(task_name)
    config = runs.read_config(path, task.Config)
    model = training.load_model(path)
    config = with_data(task, config, data_dir)
    splits = (split,) if split else ("test", "validation")
    split, dataset = task.load_data(config).split(*splits)
    metrics = task.measure(model, dataset, config) | {
        "split": split,
        "data_dir": config.data_dir,
        "parameters": model.count_params(),
        "versions": training.versions(),
    }
    target = path / f"evaluate-{split}.json"
    runs.write_json(target, metrics)
    print(f"\n{task.table(metrics)}\n\nwritten: {target}")
    return metrics


def with_data(
    task: ModuleType, config: settings.Settings, data_dir: str | None
) -> settings.Settings:
    """The config of a run with other data, checked to be of the same kind."""
    if data_dir is None:
        data_dir = config.data_dir
    if data_dir is not None:
        settings.check_folder(data_dir, "data_dir")
    asked = dataclasses.replace(config, data_dir=data_dir)
    prepared = task.prepare(asked)
    before, after = dataclasses.asdict(asked), dataclasses.asdict(prepared)
    different = [
        f"{name} {before[name]!r} -> {after[name]!r}"
        for name in after
        if before[name] != after[name]
    ]
    if different:
        raise ValueError(
            f"the data in {data_dir} differ from what the run learned: "
            f"{', '.join(different)}"
        )
    return prepared


def predict(
    task_name: str, path: Path, data_dir: str, out: Path | None = None
) -> list[Path]:
    """Writes predictions for the examples of a folder without labels."""
    task = load_task(task_name)
    settings.check_folder(data_dir, "data_dir")
    out = out or path / "predictions"
    if out.resolve().is_relative_to(Path(data_dir).resolve()):
        raise ValueError(
            f"out must be a folder outside of data_dir, received {out} in "
            f"{data_dir}"
        )
    config = runs.read_config(path, task.Config)
    model = training.load_model(path)
    out.mkdir(parents=True, exist_ok=True)
    written = task.predict(model, config, Path(data_dir), out)
    print(f"{len(written)} files written to {out}")
    return written
