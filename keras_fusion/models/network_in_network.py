import keras

from keras_fusion.layers import MLPConv
from keras_fusion.models.ceiling_pooling import ceiling_pool
from keras_fusion.models.classification_heads import COMPANION
from keras_fusion.models.classification_heads import LABEL
from keras_fusion.models.deeply_supervised import DeeplySupervised

# The released networks; the defaults of the builder are those of CIFAR-10.
NETWORK_IN_NETWORK_PRESETS = {
    "cifar10": {},
    "cifar100": {"num_classes": 100},
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
    num_classes=10,
    image_shape=(32, 32, 3),
    filters=((192, 160, 96), (192, 192, 192), (192, 192)),
    kernel_sizes=(5, 5, 3),
    first_strides=1,
    first_padding="same",
    pools=("max", "max"),
    dropout=(0.5, 0.5),
    last_activation="relu",
    kernel_initializer=None,
    deeply_supervised=False,
    companion_weight=0.3,
    name="network_in_network",
):
    """Network in network: perceptrons moved over the image, no classifier.

    Each block is an `MLPConv`, a convolution and 1x1 convolutions behind it.
    The last block ends in one map for each class, whose averages over
    positions are the logits.

    The defaults are the released network for CIFAR-10, with 966,986 weights;
    `NETWORK_IN_NETWORK_PRESETS` holds those for `"cifar10"`, `"cifar100"`
    (984,356; there the released kernels of the first block start smaller),
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
        deeply_supervised: Boolean, whether to add companion classifiers.
        companion_weight: Float, of the companions' losses at the start; see
            `keras_fusion.callbacks.CompanionDecay`.
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
    for block, widths in enumerate(filters, start=1):
        first, last = block == 1, block == len(filters)
        x, linear = mlp_conv(
            x,
            widths,
            kernel_sizes[block - 1],
            f"block{block}",
            apart=deeply_supervised,
            strides=first_strides if first else 1,
            padding=first_padding if first else "same",
            last_activation=last_activation if last else "relu",
            kernel_initializer=initializer,
        )
        if deeply_supervised:
            companion = f"{COMPANION}block{block}"
            companions[companion] = classify(linear, num_classes, companion)
        if not last:
            x = ceiling_pool(x, pools[block - 1], f"pool{block}")
            rate = dropout[block - 1]
            drop = keras.layers.Dropout(rate, name=f"pool{block}_dropout")
            x = drop(x) if rate else x
    pooled = keras.layers.GlobalAveragePooling2D(dtype="float32", name=LABEL)(x)
    outputs = {LABEL: pooled, **companions}
    if deeply_supervised:
        return DeeplySupervised(
            {"image": image},
            outputs,
            companion_weight=companion_weight,
            name=name,
        )
    return keras.Model({"image": image}, outputs, name=name)


def mlp_conv(x, widths, kernel_size, name, apart, strides, padding, **settings):
    """The block's maps, and with `apart` those of its bare convolution."""
    if not apart:
        block = MLPConv(
            widths, kernel_size, strides, padding, name=name, **settings
        )
        return block(x), None
    linear = keras.layers.Conv2D(
        widths[0],
        kernel_size,
        strides=strides,
        padding=padding,
        kernel_initializer=keras.initializers.serialize(
            settings["kernel_initializer"]
        ),
        name=f"{name}_conv",
    )(x)
    x = keras.layers.ReLU(name=f"{name}_relu")(linear)
    return MLPConv(widths[1:], 1, name=name, **settings)(x), linear


def classify(maps, num_classes, name):
    flat = keras.layers.Flatten(name=f"{name}_flat")(maps)
    return keras.layers.Dense(num_classes, dtype="float32", name=name)(flat)


def check_arguments(filters, kernel_sizes, pools, dropout):
    blocks = len(filters)
    counts = (len(kernel_sizes), len(pools) + 1, len(dropout) + 1)
    if counts != (blocks,) * 3 or not all(filters):
        raise ValueError(
            "As many `kernel_sizes` as blocks in `filters`, and `pools` and "
            "`dropout` for the places between them, go together. Received: "
            f"filters={filters}, kernel_sizes={kernel_sizes}, pools={pools}, "
            f"dropout={dropout}"
        )
