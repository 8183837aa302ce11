"""SqueezeNet 1.1 with its weights of ImageNet, up to the pooled features."""

from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np

# Of ImageNet, in the order blue, green, red.
MEAN = (103.939, 116.779, 123.68)
# Filters that squeeze, and of either size that expand, of each fire module.
FIRES = {
    2: (16, 64),
    3: (16, 64),
    4: (32, 128),
    5: (32, 128),
    6: (48, 192),
    7: (48, 192),
    8: (64, 256),
    9: (64, 256),
}
POOLED_BEFORE = (2, 4, 6)


def squeezenet(side: int | None = None) -> keras.Model:
    """From BGR pixels less their mean to 512 features."""
    image = keras.Input((side, side, 3))
    x = keras.layers.Conv2D(64, 3, strides=2, activation="relu", name="conv1")(
        image
    )
    for number, (squeezed, expanded) in FIRES.items():
        if number in POOLED_BEFORE:
            x = keras.layers.MaxPooling2D(3, strides=2)(x)
        x = _convolve(x, squeezed, 1, f"fire{number}-squeeze1x1")
        sides = [
            _convolve(x, expanded, size, f"fire{number}-expand{size}x{size}")
            for size in (1, 3)
        ]
        x = keras.layers.Concatenate()(sides)
    pooled = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, pooled, name="squeezenet")


def _convolve(x, filters: int, size: int, name: str):
    return keras.layers.Conv2D(
        filters, size, padding="same", activation="relu", name=name
    )(x)


def open_weights(file: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from pixels to features, of a file of weights."""
    model = squeezenet()
    try:
        with h5py.File(file) as opened:
            arrays = _arrays(opened)
        for layer in model.layers:
            if layer.weights:
                layer.set_weights(arrays[layer.name])
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"encoder_weights {file} does not hold the weights of SqueezeNet "
            f"1.1 for Keras, without top ({error})"
        ) from error

    def extract(pixels: np.ndarray) -> np.ndarray:
        found = model(pixels[..., ::-1] - np.array(MEAN, "float32"))
        return keras.ops.convert_to_numpy(found)

    return extract


def _arrays(opened: h5py.File) -> dict[str, list[np.ndarray]]:
    """Kernel and bias of each layer."""
    found: dict[str, list[np.ndarray]] = {}

    def add(path: str, entry: object) -> None:
        if isinstance(entry, h5py.Dataset):
            # Names of layers in fire modules have a stroke, thus two groups.
            name, inner = path.split("/")[:2]
            if name.startswith("fire"):
                name = f"{name}-{inner}"
            found.setdefault(name, []).append(np.array(entry))

    opened.visititems(add)
    # Kernels have four axes, biases one.
    return {
        name: sorted(arrays, key=np.ndim, reverse=True)
        for name, arrays in found.items()
    }
