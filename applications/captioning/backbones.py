"""How images become what the model reads: pixels, or features made once."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from applications import files
from applications.captioning import patches
from applications.captioning import squeezenet

# Where features are kept, so that no image is read twice by a backbone.
FEATURES_DIR = Path("data/features")
BATCH = 64
Extract = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Backbone:
    """One of the ways in which images are read."""

    name: str
    description: str
    encoder: str
    """The encoder of `keras_fusion.models.captioner` behind it."""
    open: Callable[[Path], Extract] | None = None
    """Function from a file to a function from pixels to features; None: the
    model reads the pixels."""
    file: str = ""
    """What its file is; empty: it has none."""


def _model(file: Path) -> Extract:
    """Any model of one image input, of pixels from 0 to 255."""
    try:
        model = keras.models.load_model(file, compile=False)
    # A damaged file may raise anything.
    except Exception as error:
        raise ValueError(
            f"encoder_weights {file} could not be read as a model of Keras "
            f"({type(error).__name__}: {error})"
        ) from error
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"encoder_weights {file} has {len(model.inputs)} inputs and "
            f"{len(model.outputs)} outputs; expected a model from one image "
            "to its features"
        )

    def extract(pixels: np.ndarray) -> np.ndarray:
        (features,) = keras.tree.flatten(model(pixels, training=False))
        return keras.ops.convert_to_numpy(features)

    return extract


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        Backbone(
            "convolution",
            "a small network trained with the rest",
            "convolution",
        ),
        Backbone(
            "patches",
            "the paper's, behind maps of a dictionary of patches",
            "published",
            patches.open_dictionary,
            "a file that the verb dictionary wrote",
        ),
        Backbone(
            "squeezenet",
            "SqueezeNet 1.1, as it is",
            "dense",
            squeezenet.open_weights,
            "its weights of ImageNet for Keras, without top (.h5)",
        ),
        Backbone(
            "saved_model",
            "any Keras model from pixels to features, as it is",
            "dense",
            _model,
            "a model that Keras has saved (.keras)",
        ),
    )
}


class Features:
    """What a backbone makes of pixels, kept in memory and in files.

    Args:
        name: Name of the backbone.
        file: Its file, or None.
    """

    def __init__(self, name: str, file: str | None) -> None:
        self.record = BACKBONES[name]
        self._extract: Extract | None = None
        self._key = b""
        if file is not None and self.record.open is not None:
            path = Path(file)
            if not path.is_file():
                raise FileNotFoundError(
                    f"encoder_weights must be a file, received {file!r}: "
                    f"{self.record.file}"
                )
            self._extract = self.record.open(path)
            self._key = name.encode() + path.read_bytes()

    def shape(self, side: int) -> tuple[int, ...]:
        """Of what comes of an image of this height and width."""
        if self._extract is None:
            return (side, side, 3)
        blank = np.zeros((1, side, side, 3), "float32")
        return self._extract(blank).shape[1:]

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """Features of uint8 (count, side, side, 3), or the pixels."""
        if self._extract is None:
            return pixels
        key = hashlib.sha256(self._key)
        key.update(str(pixels.shape).encode() + pixels.tobytes())
        kept = FEATURES_DIR / f"{key.hexdigest()[:32]}.npy"
        if kept.is_file():
            return np.load(kept)
        found = [
            self._extract(pixels[first : first + BATCH].astype("float32"))
            for first in range(0, len(pixels), BATCH)
        ]
        features = np.concatenate(found).astype("float32")
        if not np.isfinite(features).all():
            raise ValueError(
                f"the backbone {self.record.name} made values that are not "
                "finite; give another encoder_weights"
            )
        with files.replacing(kept) as temporary:
            np.save(temporary, features)
        return features
