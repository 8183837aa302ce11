"""SqueezeNet 1.1 with its weights of ImageNet, up to the pooled features."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from keras_fusion import models


def open_weights(file: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from pixels to 512 features, of a file of weights."""
    network = models.squeezenet()
    try:
        network.load_weights(file)
    # A damaged file may raise anything.
    except Exception as error:
        raise ValueError(
            f"encoder_weights {file} does not hold the weights of SqueezeNet "
            f"1.1 for Keras, without top ({error})"
        ) from error

    def extract(pixels: np.ndarray) -> np.ndarray:
        image = keras.applications.imagenet_utils.preprocess_input(
            np.array(pixels, "float32")
        )
        maps = network({"image": image}, training=False)["features"]
        return keras.ops.convert_to_numpy(keras.ops.mean(maps, axis=(1, 2)))

    return extract
