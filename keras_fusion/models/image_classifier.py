"""How networks for images begin, and how they end in one classifier."""

import keras

from keras_fusion.models.argument_checks import check_choice
from keras_fusion.models.branch_layers import Normalize
from keras_fusion.models.branch_layers import convolve
from keras_fusion.types import Tensor


def stem_of(
    image: Tensor, stem: str, width: int, normalize: Normalize
) -> Tensor:
    """The stem called `"imagenet"` or `"small"`, which keeps the resolution."""
    check_choice("stem", stem, ("imagenet", "small"))
    size, strides = (3, 1) if stem == "small" else (7, 2)
    (x,) = convolve([image], width, size, strides, "stem_{}".format, normalize)
    if stem == "small":
        return x
    pool = keras.layers.MaxPooling2D(
        3, strides=2, padding="same", name="stem_pool"
    )
    return pool(x)


def classify_pooled(
    x: Tensor, num_classes: int, dropout: float
) -> dict[str, Tensor]:
    """The logits of the means over positions, as `"label"`."""
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="head_dropout")(x)
    classifier = keras.layers.Dense(num_classes, dtype="float32", name="label")
    return {"label": classifier(x)}
