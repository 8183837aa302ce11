import keras

from keras_fusion.models.branch_layers import channel_axis
from keras_fusion.types import Shape
from keras_fusion.types import Tensor

# Filters of the squeezing convolution and of each of the two that expand.
FIRES = (
    (16, 64),
    (16, 64),
    (32, 128),
    (32, 128),
    (48, 192),
    (48, 192),
    (64, 256),
    (64, 256),
)
# The fires behind which the maps are pooled.
POOLED = (3, 5)


def squeezenet(
    image_shape: Shape = (None, None, 3), name: str = "squeezenet"
) -> keras.Model:
    """SqueezeNet 1.1 without its top, an encoder with 722,496 weights.

    A 3x3 convolution, then eight fires: a 1x1 convolution that squeezes, and
    beside each other a 1x1 and a 3x3 convolution that expand. Three poolings
    lie between them, and nothing is padded but the 3x3 convolutions of fires,
    so an image of 224 pixels a side becomes maps of 13.

    `model.load_weights(FILE)` takes the weights that were published for
    Keras, a file of its own `model.save_weights`, or any `.h5` file that has
    the convolutions in their order. It checks their number and their shapes;
    the two that expand differ in shape, so they cannot be mistaken. The
    published weights come from Caffe and want the channels in the order
    blue, green, red, from 0 to 255, less 103.939, 116.779 and 123.68: what
    `keras.applications.imagenet_utils.preprocess_input` makes of RGB images.

    Args:
        image_shape: Shape of the images without the batch dimension; 31
            pixels a side or more.
        name: Name of the model.

    Returns:
        A functional `keras.Model` from `{"image": ...}` to
        `{"features": ...}`, maps with 512 channels.

    Raises:
        ValueError: If a side is known to be less than 31 pixels.

    Example:

    >>> model = keras_fusion.models.squeezenet((224, 224, 3))
    >>> model.output["features"].shape
    (None, 13, 13, 512)
    >>> model.count_params()
    722496

    References:

    - [Iandola et al., 2016](https://arxiv.org/abs/1602.07360)
    - [Version 1.1](https://github.com/forresti/SqueezeNet)
    """
    sides = image_shape[:-1] if channel_axis() == -1 else image_shape[1:]
    if any(side is not None and side < 31 for side in sides):
        raise ValueError(
            "`image_shape` must have 31 pixels a side or more, as there are "
            f"four halvings. Received: image_shape={tuple(image_shape)}"
        )
    image = keras.Input(image_shape, name="image")
    x = keras.layers.Conv2D(64, 3, 2, activation="relu", name="conv1")(image)
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for number, (squeeze, expand) in enumerate(FIRES, start=2):
        x = fire(x, squeeze, expand, f"fire{number}")
        if number in POOLED:
            x = keras.layers.MaxPooling2D(3, strides=2, name=f"pool{number}")(x)
    return keras.Model({"image": image}, {"features": x}, name=name)


def fire(x: Tensor, squeeze: int, expand: int, name: str) -> Tensor:
    def convolve(maps: Tensor, filters: int, size: int, kind: str) -> Tensor:
        return keras.layers.Conv2D(
            filters,
            size,
            padding="same",
            activation="relu",
            name=f"{name}_{kind}{size}x{size}",
        )(maps)

    squeezed = convolve(x, squeeze, 1, "squeeze")
    expanded = [convolve(squeezed, expand, size, "expand") for size in (1, 3)]
    concatenate = keras.layers.Concatenate(
        axis=channel_axis(), name=f"{name}_concatenate"
    )
    return concatenate(expanded)
