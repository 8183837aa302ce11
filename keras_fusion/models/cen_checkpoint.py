import os
import re
from collections.abc import Callable
from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np

from keras_fusion.layers import ChannelExchange
from keras_fusion.layers import LearnedEnsemble
from keras_fusion.models.idle_norm import IdleNorm
from keras_fusion.models.weight_files import Arrays
from keras_fusion.models.weight_files import read_arrays

# What normalizations of PyTorch call the weights of ours.
NORM_NAMES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# What the released code owns and never uses.
UNUSED = re.compile(
    r".*\.num_batches_tracked"
    r"|.*insnorm_\d+\.running_(mean|var)"
    r"|(conv1|conv8|deconv8)\.insnorm_(conv|deconv)\.insnorm_\d+\.\w+"
)


class Part(NamedTuple):
    """A weight, and the array or the rows of arrays that it starts from."""

    weight: keras.Variable
    names: list[str]
    """One, or one for each modality where the weight has a row for each."""
    transpose: tuple[int, ...]
    """From PyTorch's order of axes."""


def load_cen_checkpoint(
    model: keras.Model, file: str | os.PathLike[str]
) -> None:
    """Starts a model from a checkpoint of the authors' own PyTorch code.

    Every array of the file is used once, but for the counters of PyTorch's
    normalizations and, in the generator, for the statistics and
    normalizations that the released code never uses. A segmentation network
    then computes what theirs does. Nothing is copied if something does not
    fit, and nothing in the file is executed.

    Args:
        model: Keras model made by `refinenet` with `blocks` of the file and
            otherwise published sizes, or by `unet_generator`; with as many
            modalities as the file.
        file: Path of a PyTorch file, as released, with the arrays themselves
            or a dict with the key `segmenter` or `generator` around them; or
            of the same arrays in a `.safetensors` or `.npz` file. PyTorch
            files need PyTorch, others do not.

    Raises:
        ValueError: If the file is no whole file of arrays, or the first array
            that does not fit is missing, left over or of another shape.
        FileNotFoundError: If there is no such file.
        ImportError: If reading needs a package that is not installed.

    Example:

    >>> model = keras_fusion.models.refinenet(
    ...     blocks=(1, 1, 1, 1), width=4, decoder_width=4
    ... )
    >>> keras_fusion.models.load_cen_checkpoint(model, "missing.pth.tar")
    Traceback (most recent call last):
    FileNotFoundError: There is no file missing.pth.tar.

    Reference:

    - [Wang et al., 2020](https://arxiv.org/abs/2011.05005), whose
      [code](https://github.com/yikaiw/CEN) has links to the checkpoints.
    """
    generates = any(layer.name == "down1_conv" for layer in model.layers)
    arrays = read_arrays(file, "generator" if generates else "segmenter")
    parts = list(parts_of(model, generator_name if generates else network_name))
    values = [value_of(part, arrays, os.fspath(file)) for part in parts]
    used = {name for part in parts for name in part.names}
    for name in arrays:
        if name not in used and not UNUSED.fullmatch(name):
            raise ValueError(
                f"Every array of {os.fspath(file)} must have a place in "
                f"{model.name}. Received: {name}, which has none. Build the "
                "model with the file's blocks and modalities."
            )
    for part, value in zip(parts, values, strict=True):
        part.weight.assign(value)


def parts_of(
    model: keras.Model, name_of: Callable[[str], str]
) -> Iterator[Part]:
    """The weights of a model, with the names that the authors' code has."""
    for layer in model.layers:
        if isinstance(layer, LearnedEnsemble):
            yield Part(layer.alpha, ["alpha"], (0,))
        elif isinstance(layer, ChannelExchange):
            yield from norm_parts(layer, name_of(layer.name))
        elif layer.weights and not isinstance(layer, IdleNorm):
            name = name_of(layer.name)
            # Both kinds of convolution have the window's axes last there.
            yield Part(layer.kernel, [f"{name}.module.weight"], (2, 3, 1, 0))
            if layer.use_bias:
                yield Part(layer.bias, [f"{name}.module.bias"], (0,))


def norm_parts(layer: ChannelExchange, name: str) -> Iterator[Part]:
    for ours, theirs in NORM_NAMES.items():
        if layer.normalization == "batch" or ours in ("gamma", "beta"):
            weight = getattr(layer, ours)
            rows = range(weight.shape[0])
            yield Part(weight, [f"{name}_{m}.{theirs}" for m in rows], (0,))


def value_of(part: Part, arrays: Arrays, file: str) -> np.ndarray:
    shape, rows = tuple(part.weight.shape)[-len(part.transpose) :], []
    for name in part.names:
        if name not in arrays:
            raise ValueError(
                f"{file} must have the array {name} of {part.weight.path}. "
                "Received: one without it. Build the model with the file's "
                "blocks and modalities."
            )
        array = arrays[name]
        if array.ndim == len(part.transpose):
            array = np.transpose(array, part.transpose)
        if array.shape != shape:
            raise ValueError(
                f"{name} in {file} must have the shape {shape} of "
                f"{part.weight.path}. Received: {array.shape}. Build the "
                "model with the file's sizes and classes."
            )
        rows.append(array)
    return np.reshape(np.stack(rows), part.weight.shape)


def network_name(name: str) -> str:
    """The authors' name of a layer of `refinenet`."""
    if match := re.fullmatch(r"stem_(conv|norm)", name):
        return {"conv": "conv1", "norm": "bn1.bn"}[match[1]]
    if match := re.fullmatch(r"stage(\d)_block(\d+)_(conv|norm)(\d)", name):
        stage, block, kind, number = match.groups()
        prefix = f"layer{stage}.{int(block) - 1}"
        if number == "0":
            ends = {"conv": "downsample.0", "norm": "downsample.1.bn"}
        else:
            ends = {"conv": f"conv{number}", "norm": f"bn{number}.bn"}
        return f"{prefix}.{ends[kind]}"
    if match := re.fullmatch(r"level(\d)_(.*)", name):
        # They count the levels from the coarsest.
        return level_name(5 - int(match[1]), match[2])
    return {"classifier": "clf_conv"}.get(name, name)


def level_name(level: int, name: str) -> str:
    if match := re.fullmatch(r"units_(in|out)(\d)_conv(\d)", name):
        where, unit, number = match.groups()
        block = {"in": f"adapt_stage{level}_b", "out": f"mflow_conv_g{level}_b"}
        ending = {"1": "conv", "2": "conv_relu_varout_dimred"}[number]
        return f"{block[where]}.0.{unit}_{ending}"
    if match := re.fullmatch(r"pool(\d)_conv", name):
        return f"mflow_conv_g{level}_pool.0.{match[1]}_outvar_dimred"
    return {
        "entry": f"p_ims1d2_outl{level}_dimred",
        "adapt": f"adapt_stage{level}_b2_joint_varout_dimred",
        "exit": f"mflow_conv_g{level}_b3_joint_varout_dimred",
    }.get(name, name)


def generator_name(name: str) -> str:
    """The authors' name of a layer of `unet_generator`."""
    match = re.fullmatch(r"(down|up)(\d)_(conv|norm)", name)
    if match is None:
        return name
    way, number, kind = match.groups()
    inner = {"down": "conv", "up": "deconv"}[way]
    ending = inner if kind == "conv" else f"insnorm_{inner}.insnorm"
    return f"{inner}{number}.{ending}"
