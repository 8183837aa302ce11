from collections.abc import Sequence

import keras

from keras_fusion.models.classification_heads import MAIN
from keras_fusion.models.classification_heads import attach_head
from keras_fusion.models.classification_heads import check_head
from keras_fusion.models.classification_heads import pool
from keras_fusion.models.deeply_supervised import image_model
from keras_fusion.models.vector_fusion import HeadSettings
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


def lenet(
    num_classes: int = 10,
    image_shape: Shape = (28, 28, 1),
    head: str = "last",
    sides: Sequence[int] = (1, 2),
    filters: Sequence[int] = (6, 16),
    units: Sequence[int] = (120, 84),
    padding: Sequence[str] = ("same", "valid"),
    activation: str = "tanh",
    dropout: float = 0.0,
    companion_weight: float = 0.3,
    name: str = "lenet",
) -> keras.Model:
    """LeNet-5, the smallest network here, with the same choice of heads.

    Two 5x5 convolutions with average poolings behind them, two hidden layers
    and a classifier: 61,706 weights by default. It is the usual reading of
    LeNet-5: every map of the second convolution sees all maps of the first,
    poolings have no weights, and the classifier is linear.

    The main branch ends in the last hidden layer. Side branches leave behind
    the poolings in `sides`, and a 1x1 convolution and averaging over
    positions bring them to its width. For `head` see
    `convolutional_fusion_network`.

    Args:
        num_classes: Integer, number of classes.
        image_shape: Shape of the images without the batch dimension, its
            sizes known.
        head: Name of one of `keras_fusion.models.CLASSIFICATION_HEADS`.
        sides: Numbers of the poolings, of 1 and 2, behind which branches
            leave.
        filters: Filters of the two convolutions.
        units: Units of the two hidden layers.
        padding: Of the two convolutions; `("same", "same")` for images with
            less than 12 pixels a side.
        activation: Activation of all hidden layers.
        dropout: Float, share dropped before the classifier.
        companion_weight: As in `convolutional_fusion_network`.
        name: Name of the model.

    Returns:
        A functional `keras.Model` from `{"image": ...}` to `{"label": ...}`,
        logits, and with `"dsn"` those of the companions.

    Raises:
        ValueError: If `head` or `sides` is not one of the above.

    Example:

    >>> model = keras_fusion.models.lenet()
    >>> model.count_params()
    61706

    Reference:

    - [LeCun et al., 1998](https://doi.org/10.1109/5.726791), section II.B
    """
    check_head(head, sides, range(1, len(filters) + 1))
    image = keras.Input(image_shape, name="image")
    x, maps = image, {}
    for number, width in enumerate(filters, start=1):
        x = keras.layers.Conv2D(
            width,
            5,
            padding=padding[number - 1],
            activation=activation,
            name=f"conv{number}",
        )(x)
        x = keras.layers.AveragePooling2D(2, name=f"pool{number}")(x)
        if number in sides:
            maps[f"pool{number}"] = x

    def lift(branch: Tensor, branch_name: str) -> Tensor:
        if branch_name != MAIN:
            convolution = keras.layers.Conv2D(
                units[-1], 1, activation="relu", name=f"{branch_name}_lift_conv"
            )
            return pool(convolution(branch), branch_name)
        vector = keras.layers.Flatten(name="flat")(branch)
        for number, width in enumerate(units, start=1):
            dense = keras.layers.Dense(
                width, activation=activation, name=f"hidden{number}"
            )
            vector = dense(vector)
        return vector

    outputs = attach_head(
        head,
        {MAIN: x, **maps},
        HeadSettings(num_classes, lift, dropout=dropout),
    )
    return image_model(image, outputs, companion_weight, name)
