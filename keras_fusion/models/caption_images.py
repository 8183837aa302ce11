import dataclasses
from collections.abc import Callable

import keras
from keras import ops

from keras_fusion.types import Tensor

# Of local response normalization; the paper does not give its constants.
# These are the ones that were in common use at its time.
NEIGHBORS, OFFSET, SLOPE, POWER = 5, 2.0, 1e-4, 0.75


@dataclasses.dataclass(frozen=True)
class CaptionImage:
    """One of the ways in which `captioner` reads an image.

    `keras_fusion.models.CAPTION_IMAGES` holds them all by name. A dense layer
    with ReLU stands behind each, as in the paper.

    Attributes:
        name: What `captioner` takes as `encoder`.
        description: What happens, in one line.
        encode: Function from the image to features, `(batch, ...)`.
        of_pixels: Boolean, whether it takes pixels, not features.
        normalized: Boolean, whether the dense layer is normalized before its
            ReLU. Words are learned long before images; until then a code that
            only disturbs them is driven below zero, from where it does not
            come back.

    Example:

    >>> for encoder in keras_fusion.models.CAPTION_IMAGES.values():
    ...     print(f"{encoder.name}: {encoder.description}")
    dense: features are taken as they are
    published: the paper's convolution over maps of a dictionary of patches
    convolution: four convolutions over pixels, trained with the rest
    """

    name: str
    description: str
    encode: Callable[[Tensor], Tensor]
    of_pixels: bool = False
    normalized: bool = False


def dense(image: Tensor) -> Tensor:
    return image


def published(image: Tensor) -> Tensor:
    """3x3, 64 filters, without padding; normalized, pooled by 3, stride 2."""
    x = keras.layers.Conv2D(
        64,
        3,
        activation="relu",
        data_format="channels_last",
        name="image_convolution",
    )(image)
    pool = keras.layers.MaxPooling2D(
        3, strides=2, data_format="channels_last", name="image_pool"
    )
    return pool(local_response_normalization(x))


def local_response_normalization(x: Tensor) -> Tensor:
    """Divides each channel by the size of its neighbors, the last axis.

    y[c] = x[c] / (2 + 1e-4 * sum over |d - c| <= 2 of x[d]**2)**0.75
    """
    reach = NEIGHBORS // 2
    channels = x.shape[-1]
    ends = ((0, 0),) * (len(x.shape) - 1) + ((reach, reach),)
    squares = ops.pad(ops.square(x), ends)
    total = sum(squares[..., i : i + channels] for i in range(NEIGHBORS))
    return x / ops.power(OFFSET + SLOPE * total, POWER)


def convolution(image: Tensor) -> Tensor:
    """Strides of 2 but at last, and the highest value in each quarter."""
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="pixels")(image)
    layers = zip((32, 32, 64, 64), (2, 2, 2, 1), strict=True)
    for number, (filters, strides) in enumerate(layers, 1):
        x = keras.layers.Conv2D(
            filters,
            3,
            strides=strides,
            padding="same",
            use_bias=False,
            data_format="channels_last",
            name=f"image_convolution_{number}",
        )(x)
        # Trainings are short.
        x = keras.layers.BatchNormalization(
            momentum=0.9, name=f"image_norm_{number}"
        )(x)
        x = keras.layers.ReLU(name=f"image_relu_{number}")(x)
    quarter = tuple(max(1, (size + 1) // 2) for size in x.shape[1:3])
    return keras.layers.MaxPooling2D(
        quarter, data_format="channels_last", padding="same", name="image_pool"
    )(x)


CAPTION_IMAGES: dict[str, CaptionImage] = {
    encoder.name: encoder
    for encoder in (
        CaptionImage("dense", "features are taken as they are", dense),
        CaptionImage(
            "published",
            "the paper's convolution over maps of a dictionary of patches",
            published,
        ),
        CaptionImage(
            "convolution",
            "four convolutions over pixels, trained with the rest",
            convolution,
            of_pixels=True,
            normalized=True,
        ),
    )
}
