import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_fusion.layers import MLPConv
from keras_fusion.models.ceiling_pooling import ceiling_pool
from keras_fusion.models.classification_heads import COMPANION
from keras_fusion.models.classification_heads import LABEL
from keras_fusion.models.deeply_supervised import image_model
from keras_fusion.types import Shape
from keras_fusion.types import Tensor

# The released networks; the defaults of the builder are those of CIFAR-10.
NETWORK_IN_NETWORK_PRESETS: dict[str, dict[str, Any]] = {
    "cifar10": {},
    "cifar100": {"num_classes": 100, "first_deviations": (0.001, 0.01, 0.01)},
    "mnist": {
        "image_shape": (28, 28, 1),
        "filters": ((96, 64, 48), (128, 96, 48), (128, 96)),
        "kernel_sizes": (5, 5, 5),
    },
    "svhn": {
        "filters": ((128, 96, 64), (320, 256, 128), (384, 256)),
        "kernel_sizes": (5, 5, 5),
    },
    "imagenet": {
        "num_classes": 1000,
        "image_shape": (224, 224, 3),
        "filters": ((96,) * 3, (256,) * 3, (384,) * 3, (1024, 1024)),
        "kernel_sizes": (11, 5, 3, 3),
        "first_strides": 4,
        "first_padding": "valid",
        "pools": ("max",) * 3,
        "dropout": (0.0, 0.0, 0.5),
    },
}


def network_in_network(
    num_classes: int = 10,
    image_shape: Shape = (32, 32, 3),
    filters: Sequence[Sequence[int]] = (
        (192, 160, 96),
        (192, 192, 192),
        (192, 192),
    ),
    kernel_sizes: Sequence[int] = (5, 5, 3),
    first_strides: int = 1,
    first_padding: str = "same",
    pools: Sequence[str] = ("max", "max"),
    dropout: Sequence[float] = (0.5, 0.5),
    last_activation: str | None = "relu",
    kernel_initializer: str | keras.initializers.Initializer | None = None,
    first_deviations: Sequence[float] | None = None,
    deeply_supervised: bool = False,
    companion_weight: float = 0.3,
    name: str = "network_in_network",
) -> keras.Model:
    """Network in network: perceptrons moved over the image, no classifier.

    Each block is an `MLPConv`, a convolution and 1x1 convolutions behind it.
    The last block ends in one map for each class, whose averages over
    positions are the logits.

    The defaults are the released network for CIFAR-10, with 966,986 weights;
    `NETWORK_IN_NETWORK_PRESETS` holds those for `"cifar10"`, `"cifar100"`
    (984,356; the kernels of the first block start smaller there),
    `"mnist"`, `"svhn"` and, from a Caffe model, `"imagenet"` (7,595,176).

    With `deeply_supervised=True` a companion classifier reads the flattened
    map of every block's first convolution, before its ReLU, as in
    deeply-supervised nets: 1,966,090, 491,530 and 122,890 weights for
    CIFAR-10, of use in training only.

    Args:
        num_classes: Integer, number of classes.
        image_shape: Shape of the images without the batch dimension. Sizes
            must be known, because poolings round up as in Caffe.
        filters: For each block, the filters of its steps; the last block has
            one more, of as many filters as there are classes.
        kernel_sizes: Window of each block's convolution.
        first_strides: Steps of the first block's convolution.
        first_padding: Its padding, `"same"` or `"valid"`.
        pools: For each pooling between blocks, `"max"` or `"average"`.
        dropout: For each pooling, the share dropped behind it.
        last_activation: Activation of the class maps: `"relu"` as released,
            where no logit is negative, or `None` as in deeply-supervised
            nets.
        kernel_initializer: Initializer of all kernels; `None` is a normal
            distribution of deviation 0.05.
        first_deviations: Deviations of the normal distributions that the
            kernels of the first block's steps start from; `None`: as all.
        deeply_supervised: Boolean, whether to add companion classifiers.
        companion_weight: Float, of the companions' losses at the start; see
            `keras_fusion.callbacks.CompanionDecay`. The released nets have no
            such weight: `1`.
        name: Name of the model.

    Returns:
        A functional `keras.Model` from `{"image": ...}` to `{"label": ...}`,
        logits; with companions a `DeeplySupervised`, with theirs too.

    Raises:
        ValueError: If blocks, poolings and dropout do not go together, or a
            map cannot be pooled.

    Example:

    >>> model = keras_fusion.models.network_in_network()
    >>> model.count_params()
    966986
    >>> tuple(model({"image": np.zeros((1, 32, 32, 3))})["label"].shape)
    (1, 10)

    Reference:

    - [Lin et al., 2014](https://arxiv.org/abs/1312.4400), sizes of its
      released models
    - [Lee et al., 2015](https://arxiv.org/abs/1409.5185), the companions
    """
    check_arguments(filters, kernel_sizes, pools, dropout)
    filters = (*filters[:-1], (*filters[-1], num_classes))
    initializer = keras.initializers.get(
        kernel_initializer or keras.initializers.RandomNormal(stddev=0.05)
    )
    image = keras.Input(image_shape, name="image")
    x, companions = image, {}
    for number, widths in enumerate(filters, start=1):
        first, last = number == 1, number == len(filters)
        block = Block(
            name=f"block{number}",
            widths=widths,
            kernel_size=kernel_sizes[number - 1],
            strides=first_strides if first else 1,
            padding=first_padding if first else "same",
            settings={
                "last_activation": last_activation if last else "relu",
                "kernel_initializer": starts(
                    initializer, first_deviations if first else None, widths
                ),
            },
        )
        if deeply_supervised:
            x, linear = block.in_two_steps(x)
            companion = f"{COMPANION}block{number}"
            companions[companion] = classify(linear, num_classes, companion)
        else:
            x = block.in_one_layer(x)
        if not last:
            x = ceiling_pool(x, pools[number - 1], f"pool{number}")
            rate = dropout[number - 1]
            drop = keras.layers.Dropout(rate, name=f"pool{number}_dropout")
            x = drop(x) if rate else x
    pooled = keras.layers.GlobalAveragePooling2D(dtype="float32", name=LABEL)(x)
    outputs = {LABEL: pooled, **companions}
    return image_model(image, outputs, companion_weight, name)


def starts(
    initializer: keras.initializers.Initializer,
    deviations: Sequence[float] | None,
    widths: Sequence[int],
) -> list[keras.initializers.Initializer]:
    """An initializer for each step of a block."""
    if deviations is None:
        return [initializer] * len(widths)
    return [keras.initializers.RandomNormal(stddev=d) for d in deviations]


@dataclasses.dataclass(frozen=True)
class Block:
    """A convolution, and 1x1 convolutions behind it.

    Attributes:
        name: Name of the block's layer.
        widths: Filters of its steps.
        kernel_size: Window of its convolution.
        strides: Steps of its convolution.
        padding: Padding of its convolution.
        settings: Further arguments of its `MLPConv`.
    """

    name: str
    widths: Sequence[int]
    kernel_size: int
    strides: int
    padding: str
    settings: dict[str, Any]

    def in_one_layer(self, x: Tensor) -> Tensor:
        layer = MLPConv(
            self.widths,
            self.kernel_size,
            self.strides,
            self.padding,
            name=self.name,
            **self.settings,
        )
        return layer(x)

    def in_two_steps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The block's maps, and those of its convolution before ReLU."""
        first, *others = self.settings["kernel_initializer"]
        convolution = keras.layers.Conv2D(
            self.widths[0],
            self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            kernel_initializer=keras.initializers.serialize(first),
            name=f"{self.name}_conv",
        )
        linear = convolution(x)
        x = keras.layers.ReLU(name=f"{self.name}_relu")(linear)
        settings = self.settings | {"kernel_initializer": others}
        rest = MLPConv(self.widths[1:], 1, name=self.name, **settings)
        return rest(x), linear


def classify(maps: Tensor, num_classes: int, name: str) -> Tensor:
    flat = keras.layers.Flatten(name=f"{name}_flat")(maps)
    # The released nets start from Caffe's Xavier, which counts inputs only.
    dense = keras.layers.Dense(
        num_classes,
        kernel_initializer="lecun_uniform",
        dtype="float32",
        name=name,
    )
    return dense(flat)


def check_arguments(
    filters: Sequence[Sequence[int]],
    kernel_sizes: Sequence[int],
    pools: Sequence[str],
    dropout: Sequence[float],
) -> None:
    blocks = len(filters)
    counts = (len(kernel_sizes), len(pools) + 1, len(dropout) + 1)
    if counts != (blocks,) * 3 or not all(filters):
        raise ValueError(
            "`kernel_sizes` must have an entry for each block of `filters`, "
            "none of them empty, and `pools` and `dropout` one less, for what "
            "is between the blocks. Received: "
            f"filters={filters}, kernel_sizes={kernel_sizes}, pools={pools}, "
            f"dropout={dropout}"
        )
