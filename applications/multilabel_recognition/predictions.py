"""Categories of images without labels, as a CSV file, and maps as pictures."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from applications import files
from applications.callbacks import save_picture
from applications.datasets import class_folders
from applications.datasets import file_tree
from applications.datasets import paired_folder
from applications.datasets.file_tree import LeftOut
from applications.inputs import image as images
from applications.multilabel_recognition import data
from applications.multilabel_recognition.config import Config
from applications.multilabel_recognition.pictures import overlay
from applications.multilabel_recognition.scores import THRESHOLD
from applications.multilabel_recognition.scores import predictor

FILE = "predictions.csv"
SEPARATOR = "|"


def predict(
    model: keras.Model,
    config: Config,
    data_dir: Path,
    out: Path,
    problems: list[str],
) -> list[Path]:
    """Writes `predictions.csv`, and `maps/<id>/<category>.png`.

    The examples are those of `data_dir/<modality>/`, or of its last split, or
    with one modality all images below the folder. A row has the categories
    whose probability is over one half, and all probabilities; a picture shows
    where each of these categories, or else the likeliest, was looked for.
    """
    call = predictor(model)
    text, written = io.StringIO(), []
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["file", "labels", *(f"probability {name}" for name in config.classes)]
    )
    progress = keras.utils.Progbar(None, unit_name="image")
    for count, (name, example) in enumerate(
        _examples(config, data_dir, problems), 1
    ):
        try:
            pixels = data.prepare(example, config)[None].astype("float32")
        except ValueError as error:
            problems.append(f"{name}: {error}")
            continue
        outputs = call(data.as_inputs(pixels, config))
        chance = outputs["label"][0].numpy()
        found = np.flatnonzero(chance > THRESHOLD)
        names = SEPARATOR.join(config.classes[c] for c in found)
        writer.writerow([name, names, *(f"{value:.6f}" for value in chance)])
        if config.has_maps:
            shown = found if len(found) else [int(chance.argmax())]
            maps = outputs["attention"][0].numpy()
            written += _write_maps(
                out / "maps" / name, maps, shown, pixels[0], config
            )
        progress.update(count)
    print()
    files.write(out / FILE, text.getvalue())
    return [out / FILE, *written]


def _write_maps(
    folder: Path,
    maps: np.ndarray,
    shown: np.ndarray | list[int],
    pixels: np.ndarray,
    config: Config,
) -> list[Path]:
    written = []
    for c in shown:
        # A name of a category may hold what a file's must not.
        safe = config.classes[c].replace("/", "_").replace("\0", "_")
        path = folder.with_suffix("") / f"{safe}.png"
        save_picture(path, overlay(pixels[..., :3], maps[c]))
        written.append(path)
    return written


def _examples(
    config: Config, data_dir: Path, problems: list[str]
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Names and images; what cannot be read is said in `problems`."""
    left_out = LeftOut(data_dir)
    folder = data_dir
    if not (folder / config.modalities[0]).is_dir():
        splits = file_tree.find_splits(folder, left_out)
        folder = next(reversed(splits.values()), folder)
    if len(config.modalities) > 1 or (folder / config.modalities[0]).is_dir():
        found = paired_folder.scan_split(
            folder, config.modalities, left_out, problems
        )
        paths = [(example.id, example.images) for example in found]
    else:
        (modality,) = config.modalities
        left_out = LeftOut(data_dir)
        paths = [
            (str(path.relative_to(data_dir)), {modality: path})
            for path in class_folders.images_below(data_dir, left_out)
        ]
    print("\n".join([f"{len(paths):,} examples", *left_out.lines()]))
    for name, by_modality in paths:
        try:
            yield name, {k: images.read(p) for k, p in by_modality.items()}
        except ValueError as error:
            problems.append(str(error))
