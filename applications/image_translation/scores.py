"""How near the images are to the truth: every branch, and two simple rivals.

All scores are of images from 0 to 1, which the range of the target has become.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from applications import branch_fusion_report
from applications.image_translation import distances
from applications.image_translation import inception
from applications.image_translation.config import Config
from applications.image_translation.config import output_names

SCORES = ("l1", "mse", "psnr", "ssim")
# Of two equal images it would be infinite.
HIGHEST_PSNR = 100.0
# Pixels a side of the window of SSIM.
WINDOW = 11
MEAN_IMAGE = "mean image"


def measure(
    model: keras.Model, dataset: tf.data.Dataset, config: Config
) -> dict[str, Any]:
    """The contents of `metrics.json` that are about the images.

    `l1`, `mse`, `psnr` (in dB) and `ssim`, each a dict keyed by the model's
    outputs; `baselines` holds them for the mean of the images that are
    measured and for each input copied; `without` holds `l1` with one
    modality's images set to zero, the middle of its range. `fid` and `kid`
    where the weights of the feature network are at hand.
    """
    generate = _generator(model)
    metrics = _means(dataset, lambda x, y: generate(x))
    mean = _mean_target(dataset)
    rivals = _means(dataset, lambda x, y: _baselines(x, y, mean))
    metrics["baselines"] = {
        rival: {score: rivals[score][rival] for score in SCORES}
        for rival in rivals["l1"]
    }
    if len(config.modalities) > 1:
        metrics["without"] = {
            name: {"l1": _without(generate, dataset, name)["l1"]}
            for name in config.modalities
        }
    metrics |= branch_fusion_report.measure(model, config.modalities)
    return metrics | _distances(generate, dataset, config)


def table(metrics: dict[str, Any]) -> str:
    """The result as text: a line for each output, and for each rival."""
    width = max(map(len, [*metrics["l1"], *metrics["baselines"], "output"]))
    distant = [score for score in ("fid", "kid") if score in metrics]
    heads = ["L1", "MSE", "PSNR", "SSIM", *map(str.upper, distant)]
    lines = [f"{'output':<{width}} " + " ".join(f"{h:>8}" for h in heads)]
    rows = {
        name: [metrics[score][name] for score in (*SCORES, *distant)]
        for name in metrics["l1"]
    }
    rows |= {
        name: [scores[score] for score in SCORES]
        for name, scores in metrics["baselines"].items()
    }
    for name, values in rows.items():
        texts = (
            f"{value:8.2f}" if head in ("PSNR", "FID") else f"{value:8.4f}"
            for head, value in zip(heads, values, strict=False)
        )
        lines.append(f"{name:<{width}} " + " ".join(texts))
    lines += ["", "of images from 0 to 1; PSNR in dB"]
    last = list(metrics["l1"])[-1]
    for modality, scores in metrics.get("without", {}).items():
        value = scores["l1"][last]
        lines.append(f"L1 without {modality} ({last}): {value:.4f}")
    lines += branch_fusion_report.lines(metrics)
    return "\n".join([*lines, metrics["about_fid"]])


def _generator(model: keras.Model) -> Callable[[dict], dict]:
    return tf.function(
        lambda inputs: model(inputs, training=False), reduce_retracing=True
    )


def _without(
    generate: Callable, dataset: tf.data.Dataset, name: str
) -> dict[str, dict[str, float]]:
    return _means(
        dataset, lambda x, y: generate(x | {name: tf.zeros_like(x[name])})
    )


def _mean_target(dataset: tf.data.Dataset) -> np.ndarray:
    total, count = 0.0, 0
    for _, targets in dataset:
        target = _any(targets).numpy()
        total, count = total + target.sum(axis=0, dtype="float64"), count
        count += len(target)
    return (total / count).astype("float32")


def _baselines(x: dict, y: dict, mean: np.ndarray) -> dict[str, tf.Tensor]:
    target = _any(y)
    images = {MEAN_IMAGE: tf.broadcast_to(mean, tf.shape(target))}
    for name, image in x.items():
        if target.shape[-1] == 1:
            image = tf.reduce_mean(image, axis=-1, keepdims=True)
        images[f"copy of {name}"] = image
    return images


def _any(targets: dict) -> tf.Tensor:
    """Every output has the same."""
    return next(iter(targets.values()))


def _means(
    dataset: tf.data.Dataset, make: Callable[[dict, dict], dict]
) -> dict[str, dict[str, float]]:
    """Each score of each image that is made of a batch, over all examples."""
    found: dict[str, dict[str, list]] = {score: {} for score in SCORES}
    for inputs, targets in dataset:
        truth = _from_0_to_1(_any(targets))
        for name, image in make(inputs, targets).items():
            window = min(WINDOW, truth.shape[1])
            scores = _of_each(_from_0_to_1(image), truth, window)
            for score, values in zip(SCORES, scores, strict=True):
                found[score].setdefault(name, []).append(values.numpy())
    return {
        score: {
            name: float(np.concatenate(values).mean(dtype="float64"))
            for name, values in named.items()
        }
        for score, named in found.items()
    }


def _from_0_to_1(image: tf.Tensor) -> tf.Tensor:
    return (tf.cast(image, "float32") + 1) / 2


@tf.function(reduce_retracing=True)
def _of_each(
    image: tf.Tensor, truth: tf.Tensor, window: int
) -> tuple[tf.Tensor, ...]:
    axes = (1, 2, 3)
    psnr = tf.image.psnr(image, truth, max_val=1.0)
    return (
        tf.reduce_mean(tf.abs(image - truth), axes),
        tf.reduce_mean(tf.square(image - truth), axes),
        tf.minimum(psnr, HIGHEST_PSNR),
        tf.image.ssim(image, truth, max_val=1.0, filter_size=window),
    )


def _distances(
    generate: Callable, dataset: tf.data.Dataset, config: Config
) -> dict[str, Any]:
    """FID and KID of each output, and how to read them."""
    file = inception.weights_file(config)
    if file is None:
        return {"about_fid": inception.MISSING}
    network = inception.network(file)
    found: dict[str, list] = {name: [] for name in output_names(config)}
    real = []
    for inputs, targets in dataset:
        real.append(inception.features(network, _any(targets)))
        for name, image in generate(inputs).items():
            found[name].append(inception.features(network, image))
    truth = np.concatenate(real)
    if len(truth) < 2:
        return {"about_fid": "FID and KID need two images or more"}
    made = {name: np.concatenate(parts) for name, parts in found.items()}
    about = f"FID and KID by Keras's InceptionV3, of {len(truth):,} images"
    if len(truth) < distances.ENOUGH:
        about += (
            f"; FID of fewer than {distances.ENOUGH:,} is too large, and "
            "comparable for equally many only: prefer KID"
        )
    return {
        "fid": {
            name: distances.frechet_distance(truth, features)
            for name, features in made.items()
        },
        "kid": {
            name: distances.kernel_distance(truth, features)
            for name, features in made.items()
        },
        "about_fid": about,
    }
