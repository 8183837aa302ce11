"""What the task's own verbs do."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from applications import files
from applications.callbacks import save_picture
from applications.captioning import generation
from applications.captioning import patches
from applications.captioning import scores
from applications.captioning import sources
from applications.captioning.backbones import Features
from applications.captioning.config import Config
from applications.captioning.likelihoods import Teller
from applications.captioning.predictions import read_images
from applications.captioning.sources import Source
from applications.inputs import caption as captions
from applications.inputs.image import panel
from applications.reports import Incomplete
from applications.runs import Run
from applications.settings import check_folder

SHOWN = 5


def generate(run: Run, asked: Any) -> None:
    """Prints captions of images, likeliest first if a beam sought them."""
    config: Config = run.config
    _check(asked, config)
    start = known_words(asked.start, config)
    if len(start) >= config.length:
        raise ValueError(
            f"start has {len(start)} words; the model writes up to "
            f"{config.length}, so give fewer"
        )
    problems: list[str] = []
    read, codes, teller = _codes(run, asked.image, problems)
    rng = np.random.default_rng(asked.seed)
    for row, path in enumerate(read):
        step = teller.step(np.repeat(codes[row : row + 1], asked.count, axis=0))
        if asked.beam:
            width = max(asked.beam, asked.count)
            (texts,) = generation.beam_search(
                step, 1, config.length, width, start
            )
        else:
            texts = generation.sample(
                step,
                asked.count,
                config.length,
                rng,
                start,
                asked.temperature,
                asked.top_p,
            )
        print(f"{path}:")
        for text in texts[: asked.count]:
            words = captions.decode(text.words, config.words)
            print(f"  {text.score:8.3f}  {captions.join(words)}")
    _report(problems, len(read))


def _check(asked: Any, config: Config) -> None:
    for name, good, text in (
        ("count", 1 <= asked.count <= 1000, "from 1 to 1000"),
        ("temperature", 0.01 <= asked.temperature <= 100, "from 0.01 to 100"),
        ("top_p", 0 < asked.top_p <= 1, "more than 0, up to 1"),
        ("beam", 0 <= asked.beam <= 1000, "from 0 to 1000"),
        ("seed", 0 <= asked.seed < 2**31, "from 0"),
    ):
        if not good:
            raise ValueError(
                f"{name} must be {text}, received {getattr(asked, name)}"
            )
    if not asked.image:
        raise ValueError("image must be one or more files of images")


def known_words(text: str, config: Config) -> list[int]:
    """The numbers of the words of a text, all of which must be known."""
    numbers = {w: n for n, w in enumerate(config.words, captions.RESERVED)}
    words = captions.split(text)
    if unknown := [word for word in words if word not in numbers]:
        some = ", ".join(config.words[:SHOWN])
        raise ValueError(
            f"the model does not know the word {unknown[0]!r}; it knows "
            f"{len(config.words):,} words: {some}, ..."
        )
    return [numbers[word] for word in words]


def retrieve(run: Run, asked: Any) -> None:
    """Prints the images of a text, or the texts for an image, best first."""
    if (asked.text is None) == (asked.image is None):
        raise ValueError(
            "give either text or image, received "
            f"{'none' if asked.text is None else 'both'}"
        )
    for name in ("count", "shortlist"):
        if getattr(asked, name) < 1:
            raise ValueError(
                f"{name} must be 1 or more, received {getattr(asked, name)}"
            )
    if asked.out is not None:
        if asked.text is None or asked.out.suffix != ".png":
            raise ValueError(
                "out must end in .png and is for the images of a text, "
                f"received {str(asked.out)!r}"
            )
        files.check_places(asked.out.parent, (), (asked.out.name,))
    if asked.text is not None:
        _images_of(run, asked)
    else:
        _texts_for(run, asked)


def _images_of(run: Run, asked: Any) -> None:
    source = _source(run, asked.data_dir)
    words = captions.split(asked.text)
    numbers = captions.encode([words], run.config.words, run.config.length)
    unknown = [
        word
        for word, number in zip(words, numbers[0, 1:], strict=False)
        if number == captions.UNKNOWN
    ]
    if not words or len(unknown) == len(words):
        raise ValueError(
            f"text must have a word that the model knows, received "
            f"{asked.text!r}"
        )
    if unknown:
        print(f"not known to the model: {', '.join(unknown)}")
    name = _split(source, asked.split, "test", "validation")
    examples = source.read(name)
    teller = Teller(run.model(), run.config)
    costs = teller.pairs(teller.codes(examples.images), numbers)[:, 0]
    print(f"of {len(costs):,} images of the {name} part, by perplexity:")
    part, best = source.parts[name], np.argsort(costs, kind="stable")
    best = best[: asked.count]
    for place in best:
        print(f"  {2 ** costs[place]:10.3f}  {part.names[place]}")
    if asked.out is not None:
        shown = [(f"{2 ** costs[p]:.3f}", [part.pixels[p]]) for p in best]
        save_picture(asked.out, panel(shown))
        print(f"picture: {asked.out}")


def _texts_for(run: Run, asked: Any) -> None:
    """The paper's two steps: the nearest images, and the ratio rule."""
    source = _source(run, asked.data_dir)
    name = _split(source, asked.split, "train", "validation", "test")
    problems: list[str] = []
    read, code, teller = _codes(run, (asked.image,), problems)
    _report(problems, len(read))
    examples, part = source.read(name), source.parts[name]
    codes = teller.codes(examples.images)
    distances = np.square(codes - code).reshape(len(codes), -1).sum(axis=1)
    near = np.argsort(distances, kind="stable")[: asked.shortlist]
    texts = np.flatnonzero(np.isin(examples.image_of, near))
    words = examples.words[texts]
    costs = teller.pairs(code, words)[0]
    alone = teller.pairs(scores.mean_code(codes), words)[0]
    ratio = scores.ratios(costs, alone)
    print(
        f"of {len(texts):,} texts of the {len(near):,} nearest images of the "
        f"{name} part, by the ratio of log-perplexities:"
    )
    shown: list[tuple[str, ...]] = []
    for place in np.argsort(ratio, kind="stable"):
        text = part.captions[texts[place]]
        if text not in shown:
            print(f"  {ratio[place]:10.3f}  {captions.join(text)}")
            shown.append(text)
        if len(shown) == asked.count:
            break


def _source(run: Run, data_dir: str | None) -> Source:
    """The run's data, or those of another folder, in the words it knows."""
    config = run.config
    if data_dir is not None:
        config = dataclasses.replace(config, data_dir=data_dir)
    if config.data_dir is not None:
        check_folder(config.data_dir, "data_dir")
    return sources.find(config)


def _split(source: Source, asked: str | None, *preferred: str) -> str:
    for name in [asked] if asked else preferred:
        if name in source.parts:
            return name
    raise ValueError(
        f"the data has no {asked or ' or '.join(preferred)} split; it has: "
        f"{', '.join(source.parts)}"
    )


def _codes(
    run: Run, paths: tuple[Path, ...], problems: list[str]
) -> tuple[list[Path], np.ndarray, Teller]:
    """The codes of images that can be read."""
    config = run.config
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"there is no image {str(path)!r}")
    teller = Teller(run.model(), config)
    read, pixels = read_images(paths, config, problems)
    if not read:
        return [], np.zeros((0, 1)), teller
    features = Features(config.backbone, config.encoder_weights)
    return read, teller.codes(features.of(pixels)), teller


def _report(problems: list[str], count: int) -> None:
    if not problems:
        return
    if not count:
        raise ValueError(problems[0])
    for problem in problems:
        print(f"left out: {problem}")
    raise Incomplete(
        f"{len(problems)} of the images could not be read: {problems[0]}"
    )


def learn_dictionary(asked: Any) -> None:
    """Writes a dictionary of patches of the training images."""
    if asked.out.suffix != ".npz":
        raise ValueError(f"out must end in .npz, received {str(asked.out)!r}")
    config = Config(
        data_dir=asked.data_dir, image_side=asked.image_side, seed=asked.seed
    )
    parts, _ = sources.find_parts(config)
    if "train" not in parts:
        raise ValueError(
            f"{asked.data_dir} has no training part to learn patches of"
        )
    learned = patches.learn(parts["train"].pixels, asked.seed)
    patches.write(asked.out, learned)
    print(
        f"{patches.GROUPS} patches of {parts['train'].count:,} images: "
        f"{asked.out}"
    )
