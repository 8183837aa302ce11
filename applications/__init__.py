"""Runnable tasks: `python -m applications TASK VERB`.

A task is a package `applications/<task>` with a line in `TASKS` below. It
exposes these names, and the code beside this file does the rest:

| name | what |
|---|---|
| `Config` | frozen dataclass deriving from `settings.Settings`; its fields are the command line and their docstrings its help |
| `PRESETS` | dict of name to `Config`, "default" first; `--preset NAME` gives the values that other flags then change |
| `prepare(config)` | checks the config against its data and returns it with what the data decides (classes, channels) filled in; what is filled in already is checked and kept |
| `load_data(config, first_epoch=0)` | `training.Data`; its `train` is a pure function of `config.seed` and the epoch, and starts at `first_epoch` |
| `build_model(config)` | a compiled `keras.Model` |
| `measure(model, dataset, config)` | dict of final metrics: numbers, text, lists and dicts of them |
| `table(metrics)` | the printed result, from the contents of `metrics.json` |
| `draw(model, batch, config)` | uint8 array (height, width, 3): inputs, truth and prediction of a batch |
| `predict(model, config, data_dir, out)` | writes predictions for a folder without labels, returns the paths |
| `callbacks(config, batch)` | list of further Keras callbacks, given a batch of validation data; they write under `runs.folder(task, config)` |
| `VERBS` | only where a task has verbs of its own: dict of name to a dataclass that derives from `cli.Use` as `cli.Evaluate` does |

`fit` drives the training of every task. A model with optimizers beside
`model.optimizer` keeps them as attributes and builds them in `build_model`,
so that checkpoints hold their state. `measure` and the last `draw` get the
model as loaded back from its file, on one device; a `draw` during training
gets the one in training and calls it, `model(inputs, training=False)`, because
`predict_on_batch` repeats the batch on every replica. Bad input is a `ValueError`,
`FileNotFoundError` or `FileExistsError` with one line that says what was
expected, what was received and what to do.
"""  # noqa: E501

import importlib
from types import ModuleType

TASKS = {
    "semantic_segmentation": (
        "label every pixel from aligned modalities (color, depth, ...)"
    ),
    "image_classification": (
        "name what an image shows, from fused branches of one network"
    ),
    "instruction_following": (
        "move blocks as a text says, from pictures of the board"
    ),
}


def load_task(name: str) -> ModuleType:
    if name not in TASKS:
        raise ValueError(
            f"unknown task {name!r}; the tasks are: {', '.join(TASKS)}"
        )
    return importlib.import_module(f"{__name__}.{name}")
