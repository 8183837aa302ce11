"""Features of images by Keras's InceptionV3, for FID and KID.

It is that of `keras.applications` with weights for ImageNet, its 2,048 pooled
features and bilinear resizing to 299 x 299. Published figures come from
another network of that name: compare only what was measured here.
"""

import os
from pathlib import Path

import h5py
import keras
import numpy as np

from applications.image_translation.config import Config
from applications.inputs.image import three_channels

SIDE = 299
BATCH_SIZE = 16
# What Keras calls the file that it downloads.
FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
MISSING = (
    "FID and KID were not computed: they need the weights of Keras's "
    f"InceptionV3, a file {FILE}; train with --inception-weights FILE, or put "
    "it into ~/.keras/models and evaluate the run"
)


def check(config: Config) -> None:
    """Raises an error unless a file that is given can be one of weights."""
    if config.inception_weights is None:
        return
    if not Path(config.inception_weights).is_file():
        raise FileNotFoundError(
            "inception_weights must be an existing file, received "
            f"{config.inception_weights!r}"
        )
    if not h5py.is_hdf5(config.inception_weights):
        raise _wrong(config.inception_weights, "it is not HDF5")


def weights_file(config: Config) -> Path | None:
    """The file that is given, or Keras's; None: there is neither."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    given = config.inception_weights
    file = home / "models" / FILE if given is None else Path(given)
    return file if file.is_file() else None


def network(file: Path) -> keras.Model:
    """The network with the weights of a file; nothing is downloaded."""
    model = keras.applications.InceptionV3(
        include_top=False,
        weights=None,
        pooling="avg",
        input_shape=(SIDE, SIDE, 3),
    )
    try:
        model.load_weights(file)
    # A file of anything else may raise anything.
    except Exception as error:
        raise _wrong(str(file), str(error)) from error
    return model


def _wrong(file: str, reason: str) -> ValueError:
    return ValueError(
        f"inception_weights must be a file such as Keras's {FILE}, received "
        f"{file!r}: {reason}"
    )


def features(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """float64 (images, 2048) of images from -1 to 1, as the network wants."""
    parts = [
        model(
            keras.ops.image.resize(
                three_channels(images[start : start + BATCH_SIZE]),
                (SIDE, SIDE),
            ),
            training=False,
        )
        for start in range(0, len(images), BATCH_SIZE)
    ]
    return np.concatenate(parts).astype("float64")
