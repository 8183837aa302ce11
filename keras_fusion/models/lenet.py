import keras

from keras_fusion.models.classification_heads import MAIN
from keras_fusion.models.classification_heads import Head
from keras_fusion.models.classification_heads import attach_head
from keras_fusion.models.classification_heads import check_head
from keras_fusion.models.classification_heads import pool
from keras_fusion.models.deeply_supervised import DeeplySupervised


def lenet(
    num_classes=10,
    image_shape=(28, 28, 1),
    head="last",
    sides=(1, 2),
    filters=(6, 16),
    units=(120, 84),
    padding=("same", "valid"),
    activation="tanh",
    dropout=0.0,
    companion_weight=0.3,
    name="lenet",
):
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
        head: How the branches meet.
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
        ValueError: If `head` or `sides` have no such meaning.

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
    for place, width in enumerate(filters, start=1):
        x = keras.layers.Conv2D(
            width,
            5,
            padding=padding[place - 1],
            activation=activation,
            name=f"conv{place}",
        )(x)
        x = keras.layers.AveragePooling2D(2, name=f"pool{place}")(x)
        if place in sides:
            maps[f"pool{place}"] = x

    def lift(branch, branch_name):
        if branch_name != MAIN:
            convolution = keras.layers.Conv2D(
                units[-1], 1, activation="relu", name=f"{branch_name}_lift_conv"
            )
            return pool(convolution(branch), branch_name)
        vector = keras.layers.Flatten(name="flat")(branch)
        for place, width in enumerate(units, start=1):
            dense = keras.layers.Dense(
                width, activation=activation, name=f"hidden{place}"
            )
            vector = dense(vector)
        return vector

    outputs = attach_head(
        {MAIN: x, **maps}, Head(head, num_classes, lift, dropout=dropout)
    )
    if head == "dsn":
        return DeeplySupervised(
            {"image": image},
            outputs,
            companion_weight=companion_weight,
            name=name,
        )
    return keras.Model({"image": image}, outputs, name=name)
