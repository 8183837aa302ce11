"""Folders of KerasHub presets, from which encoders start.

KerasHub downloads what it is given the name of; here it is given the whole
path of a folder that exists.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

FILE = "config.json"


def is_folder(name: str) -> bool:
    return Path(name).is_dir()


def check(folder: str, field: str) -> None:
    """Raises ValueError if a folder is no preset, or cannot be read here."""
    if not Path(folder, FILE).is_file():
        raise ValueError(
            f"{field} must be the folder of a KerasHub preset, which has a "
            f"{FILE}; received {folder!r}, which has none"
        )
    _keras_hub(folder)


def read(folder: str, wanted: str, make: Callable[[Any, str], Any]) -> Any:
    """What a function makes of KerasHub and the whole path of a folder.

    Args:
        folder: a preset.
        wanted: what it must be a preset of.
        make: the function; a ValueError says what stopped it.
    """
    check(folder, "the encoder")
    keras_hub = _keras_hub(folder)
    try:
        return make(keras_hub, str(Path(folder).resolve()))
    # Of what is in the files anything may be wrong.
    except Exception as error:
        raise ValueError(
            f"{folder!r} is no KerasHub preset of {wanted}: {first_line(error)}"
        ) from error


def _keras_hub(folder: str) -> Any:
    try:
        import keras_hub
    except ImportError as error:
        raise ValueError(
            f"{first_line(error)}; presets such as {folder!r} need the extra "
            "packages: pip install 'keras-fusion[hub]'"
        ) from error
    return keras_hub


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def freeze(layer: keras.layers.Layer) -> None:
    """Keeps a layer and all within it from learning.

    Not by `trainable` of the outermost alone: where it is False already,
    setting it does nothing, and within a preset that was loaded again there
    are layers that learn.
    """
    for part in layer._flatten_layers():
        part.trainable = False


@keras.saving.register_keras_serializable(package="multimodal_classification")
class FrozenStatistics(keras.Model):
    """A functional model whose batch normalization does not learn.

    Batches are too small for statistics that replace those of ImageNet. What
    is within a preset forgets that it does not learn, so it is said whenever
    the model is made, also when it is loaded.
    """

    def __init__(
        self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(inputs, outputs, name=name, **kwargs)
        for part in self._flatten_layers():
            if isinstance(part, keras.layers.BatchNormalization):
                part.trainable = False
