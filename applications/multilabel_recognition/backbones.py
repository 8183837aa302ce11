"""Networks from an image to a map of features.

Images come with values from 0 to 255, and every backbone brings them to what
it was made for itself.
"""

import inspect
from collections.abc import Callable
from pathlib import Path

import keras

from keras_fusion import models

SMALL = "small"
# Of a published classifier, which every model has by these names.
BUILDER = ("include_top", "weights", "input_shape")


def _of_keras() -> dict[str, Callable]:
    found = {}
    for name, offered in vars(keras.applications).items():
        if inspect.isfunction(offered):
            if set(BUILDER) <= set(inspect.signature(offered).parameters):
                found[name] = offered
    return dict(sorted(found.items()))


OF_KERAS = _of_keras()
ARCHITECTURES = (SMALL, *OF_KERAS)


def build(
    architecture: str,
    image_shape: tuple[int, int, int],
    blocks: tuple[int, ...],
    width: int,
    weights: str | None,
    pooling: int,
    name: str,
) -> keras.Model:
    """A model of images `(batch, *image_shape)` to maps.

    Args:
        architecture: `"small"`, or the name of a model of
            `keras.applications`.
        image_shape: Height, width and channels.
        blocks: Bottlenecks in each stage of the small one.
        width: Filters of its first stage.
        weights: File for a model of Keras, or `"imagenet"`.
        pooling: Side of the windows in which the map is averaged.
        name: Name of the model.

    Raises:
        ValueError: If the weights are of no such model, or if the image is
            too small for it.
    """
    image = keras.Input(image_shape, name=name)
    if architecture == SMALL:
        maps = _small(image, blocks, width)
    else:
        maps = _published(architecture, image, weights)
    if pooling > 1:
        if min(maps.shape[1:3]) < pooling:
            raise ValueError(
                f"map_pooling must be at most {min(maps.shape[1:3])}, the side "
                f"of the map; received {pooling}"
            )
        maps = keras.layers.AveragePooling2D(pooling, name="map_pooling")(maps)
    return keras.Model(image, maps, name=f"backbone_{name}")


def _small(
    image: keras.KerasTensor, blocks: tuple[int, ...], width: int
) -> keras.KerasTensor:
    """A ResNet up to its last map, a quarter of the image's side and less."""
    scaled = keras.layers.Rescaling(1 / 64, offset=-127.5 / 64)(image)
    network = models.squeeze_excite_resnet(
        num_classes=1,
        image_shape=image.shape[1:],
        blocks=blocks,
        width=width,
        ratio=None,
        stride_on="3x3",
    )
    maps = network.get_layer("pooled").input
    return keras.Model(network.inputs, maps, name="resnet")([scaled])


def _published(
    architecture: str, image: keras.KerasTensor, weights: str | None
) -> keras.KerasTensor:
    builder = OF_KERAS[architecture]
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise FileNotFoundError(
            f"backbone_weights must be a file of Keras's weights for "
            f"{architecture}, or imagenet; received {weights!r}"
        )
    try:
        network = builder(
            include_top=False, weights=weights, input_shape=image.shape[1:]
        )
    # A damaged file may raise anything.
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise ValueError(
            f"{architecture} could not be built for images of "
            f"{' x '.join(map(str, image.shape[1:]))} with the weights "
            f"{weights} ({reason}); give a larger --side, or weights without "
            "top for it"
        ) from error
    preprocess = inspect.getmodule(builder).preprocess_input
    return network(preprocess(image))
