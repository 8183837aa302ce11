"""Captions of the images of a folder, as CSV."""

import csv
import io
from pathlib import Path

import keras
import numpy as np

from applications import files
from applications.captioning.backbones import Features
from applications.captioning.config import Config
from applications.captioning.generation import beam_search
from applications.captioning.likelihoods import Teller
from applications.datasets import class_folders
from applications.datasets.class_folders import ImageFiles
from applications.datasets.file_tree import LeftOut
from applications.inputs import caption as captions

# Images that are held at once.
AT_ONCE = 256


def predict(
    model: keras.Model,
    config: Config,
    data_dir: Path,
    out: Path,
    problems: list[str],
) -> list[Path]:
    """Writes `captions.csv`: image, caption, mean log-likelihood of a word.

    All images under the folder are taken, however deep.
    """
    left_out = LeftOut(data_dir)
    found = class_folders.images_below(data_dir, left_out)
    print("\n".join([f"{len(found):,} images", *left_out.lines()]))
    teller = Teller(model, config)
    features = Features(config.backbone, config.encoder_weights)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "caption", "mean log-likelihood"])
    for first in range(0, len(found), AT_ONCE):
        read, pixels = read_images(
            found[first : first + AT_ONCE], config, problems
        )
        if not read:
            continue
        codes = teller.codes(features.of(pixels))
        texts = beam_search(
            teller.step(codes), len(read), config.length, config.beam_width
        )
        for path, (best, *_) in zip(read, texts, strict=True):
            words = captions.decode(best.words, config.words)
            name = path.relative_to(data_dir)
            writer.writerow([name, captions.join(words), f"{best.score:.6f}"])
    if len(problems) == len(found):
        return []
    file = out / "captions.csv"
    files.write(file, text.getvalue())
    return [file]


def read_images(
    paths: tuple[Path, ...], config: Config, problems: list[str]
) -> tuple[list[Path], np.ndarray]:
    """The images that can be read; what is wrong with others is said."""
    side = config.image_side
    images = ImageFiles(paths, (side, side, 3), resized=True)
    read, pixels = [], []
    for index, path in enumerate(paths):
        try:
            pixels.append(images[np.array([index])][0])
            read.append(path)
        except ValueError as error:
            problems.append(str(error))
    return read, np.array(pixels)
