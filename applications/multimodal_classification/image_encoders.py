"""Networks that may know ImageNet already, as encoders of pictures.

Each takes RGB pictures from 0 to 255, does with them what its own weights
want, and gives the mean over positions of its last maps. Nothing is
downloaded: weights come from a file.
"""

import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from applications.multimodal_classification import hub_presets
from applications.multimodal_classification.config import CONVOLUTIONS
from applications.multimodal_classification.config import Config
from keras_fusion import models

SQUEEZENET = "SqueezeNet"
LAYER = "image_encoder"


def names() -> tuple[str, ...]:
    """The networks that there are, by their names."""
    found = (n for n in dir(keras.applications) if n[0].isupper())
    return (*found, SQUEEZENET)


def check(config: Config) -> None:
    """Raises ValueError if the pictures' encoder cannot be made."""
    name, weights = config.image_encoder, config.image_weights
    if name == CONVOLUTIONS:
        if weights is not None:
            raise ValueError(
                f"image_weights are for a network that --image-encoder names; "
                f"received {weights!r} for {CONVOLUTIONS}"
            )
        return
    if name not in names() and not hub_presets.is_folder(name):
        raise ValueError(
            f"image_encoder must be {CONVOLUTIONS}, or one of "
            f"{', '.join(names())}, or the folder of a KerasHub preset; "
            f"received {name!r}"
        )
    if not config.images:
        raise ValueError(
            f"image_encoder is {name}, and the data have no pictures"
        )
    if name not in names():
        if weights is not None:
            raise ValueError(
                f"image_weights are for a network, and {name} is a preset, "
                f"which has its own; received {weights!r}"
            )
        hub_presets.check(name, "image_encoder")
    elif weights is None and not config.fine_tune:
        raise ValueError(
            f"{name} would stay as random as it starts; give a file with "
            "--image-weights, or train it with --fine-tune"
        )


def source(config: Config) -> str:
    """Where the weights come from."""
    name = config.image_encoder
    if name not in names():
        return f"the preset {name!r}"
    return f"{name}, from {config.image_weights or 'random weights'}"


def notes(config: Config) -> tuple[str, ...]:
    """What a run says of its encoder."""
    if config.image_encoder == CONVOLUTIONS:
        return ()
    how = "trained too" if config.fine_tune else "frozen"
    return (f"pictures' encoder {source(config)}, {how}",)


def make(config: Config) -> keras.Model:
    """From pictures (batch, side, side, 3) to vectors, with its weights."""
    shape = (config.image_side, config.image_side, 3)
    picture = keras.Input(shape, name="picture")
    maps = _maps(config, picture)
    # Transformers have their places in a row.
    mean = {
        3: keras.layers.GlobalAveragePooling1D,
        4: keras.layers.GlobalAveragePooling2D,
    }[len(maps.shape)]
    return hub_presets.FrozenStatistics(
        picture, mean(name="mean")(maps), name=LAYER
    )


def _maps(config: Config, picture: Any) -> Any:
    name = config.image_encoder
    if name not in names():
        return hub_presets.read(
            name,
            "a network of pictures",
            lambda keras_hub, path: _of_preset(keras_hub, path, picture),
        )
    prepare = _preprocessing(name)
    try:
        if name == SQUEEZENET:
            network = models.squeezenet(picture.shape[1:])
        else:
            network = getattr(keras.applications, name)(
                include_top=False, weights=None, input_shape=picture.shape[1:]
            )
    except ValueError as error:
        raise ValueError(
            f"{name} cannot take pictures of --image-side "
            f"{config.image_side}: {hub_presets.first_line(error)}"
        ) from error
    if config.image_weights is not None:
        _load(network, name, config.image_weights)
    if name == SQUEEZENET:
        return network({"image": prepare(picture)})["features"]
    return network(prepare(picture))


def _of_preset(keras_hub: Any, path: str, picture: Any) -> Any:
    """The last maps of a preset's network, pictures made as it wants them."""
    converter = keras_hub.layers.ImageConverter.from_preset(path)
    backbone = keras_hub.models.Backbone.from_preset(path)
    maps = backbone(converter(picture))
    if isinstance(maps, dict) or len(maps.shape) not in (3, 4):
        raise ValueError("it gives no maps, nor vectors of places in a row")
    return maps


def _preprocessing(name: str) -> Callable:
    """What the published weights of a network want done to RGB pictures."""
    if name == SQUEEZENET:
        return keras.applications.imagenet_utils.preprocess_input
    for module in vars(keras.applications).values():
        if isinstance(module, types.ModuleType) and hasattr(module, name):
            return module.preprocess_input
    # MobileNetV3, whose module does not list it, has it among its layers.
    return lambda picture: picture


def _load(network: keras.Model, name: str, file: str) -> None:
    if not Path(file).is_file():
        raise FileNotFoundError(
            f"image_weights must be an existing file, received {file!r}"
        )
    if Path(file).suffix != ".h5":
        raise ValueError(
            "image_weights must be a file that Keras wrote, its name ending "
            f"in .h5 or .weights.h5; received {file!r}"
        )
    try:
        with warnings.catch_warnings():
            # Of layers that would stay random.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(file)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        raise ValueError(
            f"image_weights must hold the weights of {name} without its top, "
            f"received {file!r}: {hub_presets.first_line(error)}"
        ) from error
