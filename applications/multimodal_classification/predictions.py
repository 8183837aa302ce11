"""Classes of rows without labels, and what each modality changed, as CSV."""

import csv
import io
from pathlib import Path

import keras
import numpy as np

from applications import files
from applications.datasets import rows as row_files
from applications.multimodal_classification import data
from applications.multimodal_classification import frozen
from applications.multimodal_classification import sources
from applications.multimodal_classification.config import Config
from applications.multimodal_classification.scores import predictor
from applications.multimodal_classification.scores import seen


def predict(
    model: keras.Model,
    config: Config,
    data_dir: Path,
    out: Path,
    problems: list[str],
) -> list[Path]:
    """Writes a CSV for every file of rows: label, probabilities, changes.

    `without NAME` is how much the probability of the label would change, had
    the row not had this modality. A file of a row that cannot be read counts
    as missing.
    """
    found = [
        path
        for path in sorted(data_dir.iterdir())
        if path.suffix.lower() in row_files.SUFFIXES
    ]
    if not found:
        raise ValueError(
            f"{data_dir} has no file of rows; expected *.csv or *.jsonl"
        )
    written = []
    for file in found:
        try:
            table = row_files.read(file)
        except ValueError as error:
            problems.append(str(error))
            continue
        text = _predicted(model, config, table, data_dir, problems)
        written.append(out / f"{file.stem}.csv")
        files.write(written[-1], text)
    return written


def _predicted(
    model: keras.Model,
    config: Config,
    table: row_files.Table,
    root: Path,
    problems: list[str],
) -> str:
    """The CSV file of a table's rows."""
    examples = sources.of_rows(
        config, table, range(len(table.rows)), root, problems
    )
    call, names = predictor(model, config), frozenset(config.modalities)
    batches = frozen.encoded(model, data.evaluation(examples, config), config)
    kept = [names, *(names - {name} for name in config.modalities)]
    if len(names) == 1:
        kept = [names]
    chances = [
        np.concatenate(
            [call(seen(inputs, config, those)).numpy() for inputs, _ in batches]
        )
        for those in kept
    ]
    return _as_csv(config, chances)


def _as_csv(config: Config, chances: list[np.ndarray]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    without = config.modalities if len(chances) > 1 else ()
    writer.writerow(
        [
            *("row", "label"),
            *(f"probability {name}" for name in config.classes),
            *(f"without {name}" for name in without),
        ]
    )
    first = chances[0]
    for row, chance in enumerate(first):
        best = int(chance.argmax())
        label = config.classes[best]
        if config.multilabel:
            chosen = np.flatnonzero(chance > 0.5)
            label = "|".join(config.classes[place] for place in chosen)
        changes = [other[row, best] - chance[best] for other in chances[1:]]
        writer.writerow(
            [
                *(row + 1, label),
                *(f"{value:.6f}" for value in chance),
                *(f"{change:+.6f}" for change in changes),
            ]
        )
    return text.getvalue()
