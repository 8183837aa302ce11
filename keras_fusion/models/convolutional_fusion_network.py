import keras

from keras_fusion.models.ceiling_pooling import ceiling_pool
from keras_fusion.models.classification_heads import MAIN
from keras_fusion.models.classification_heads import Head
from keras_fusion.models.classification_heads import attach_head
from keras_fusion.models.classification_heads import check_head
from keras_fusion.models.classification_heads import pool
from keras_fusion.models.deeply_supervised import DeeplySupervised
from keras_fusion.models.resnet_encoder import channel_axis

# The shipped networks; the defaults of the builder are those of CIFAR-10.
CONVOLUTIONAL_FUSION_PRESETS = {
    "cifar10": {},
    "cifar100": {
        "num_classes": 100,
        "filters": ((192, 192), (192, 192), (192, 192)),
        # The text speaks of 1x1 side branches; this network has 3x3 ones.
        "side_kernel_size": 3,
    },
    "imagenet": {
        "num_classes": 1000,
        "image_shape": (224, 224, 3),
        "filters": ((64,), (64, 64), (128, 128), (256, 256), (512, 512)),
        "first_kernel_size": 7,
        "first_strides": 2,
        "first_bias": 0.2,
        "pools": ("max",) * 4,
        "sides": (2, 3, 4),
        "main_first": False,
        "width": 1024,
        "dropout": 0.0,
        "normalize": True,
        "fusion_start": 0.25,
        "fusion_bias": False,
        # One mean and variance for all features of the fused vector.
        "fused_normalization": "vector",
        # Caffe's "xavier", which looks at the inputs of a unit only.
        "kernel_initializer": "lecun_uniform",
        "classifier_initializer": "lecun_uniform",
    },
}


def convolutional_fusion_network(
    num_classes=10,
    image_shape=(32, 32, 3),
    head="locally_connected",
    sides=(1, 2),
    filters=((96, 96), (192, 192), (192, 192)),
    pools=("max", "average"),
    width=192,
    side_kernel_size=1,
    main_first=True,
    dropout=0.5,
    first_kernel_size=3,
    first_strides=1,
    first_bias=0.0,
    normalize=False,
    fusion_start=0.333,
    fusion_bias=True,
    fusion_activation="relu",
    fused_normalization=None,
    kernel_initializer=None,
    classifier_initializer=None,
    companion_weight=0.3,
    name="convolutional_fusion_network",
):
    """A plain convolutional network with side branches, and its rivals.

    Groups of 3x3 convolutions with poolings between them end in a 1x1
    convolution to `width` channels, which are averaged over positions. Side
    branches leave behind the poolings in `sides`, and are lifted to the same
    width and averaged too. Dropout behind a pooling comes before the branch
    leaves, so that both ways see the same features dropped. `head` says how
    the branches meet; by default, and as published, a weight for each channel
    of each branch.

    | `head` | meets | added weights, S branches of width K, C classes |
    |---|---|---|
    | `"last"` | nowhere: the plain network, no side branches | 0 |
    | `"locally_connected"` | weighted for each channel, ReLU | `K (S + 1)` |
    | `"shared"` | weighted for each branch, ReLU | `S + 1` |
    | `"sum"`, `"mean"`, `"max"` | added, averaged, the largest | 0 |
    | `"gated"` | by gates that see all branches | see the code |
    | `"concat"` | side by side, in a wider classifier | `(S - 1) K C` |
    | `"eplf"` | as scores, weighted for each class | `(S - 1) (K + 1) C + C (S + 1)` |
    | `"dag"` | as scores of unlifted maps of unit norm, added | `(channels + 1) C` a side |
    | `"dsn"` | not; sides help in training through companion classifiers | of whole maps |

    All but the last two also have the side branches' convolutions. The
    defaults are the network shipped for CIFAR-10, 1,343,146 weights, or
    1,286,698 with `head="last"`; `CONVOLUTIONAL_FUSION_PRESETS` holds those
    for `"cifar10"`, `"cifar100"` and `"imagenet"` (CFN-11). The latter were
    trained with the learning rate of the fusion's weights times 0.1, of
    biases times 2, and of CFN-11's last convolution times 10:
    `keras_fusion.optimizers.MultiRateSGD`.

    Args:
        num_classes: Integer, number of classes.
        image_shape: Shape of the images without the batch dimension. Sizes
            must be known, because poolings round up as in Caffe.
        head: One of the table.
        sides: Numbers from 1 of the poolings behind which branches leave.
        filters: For each group, the filters of its convolutions.
        pools: For each pooling, `"max"` or `"average"`.
        width: Integer, channels of every branch.
        side_kernel_size: Integer, window of the side branches' convolutions.
        main_first: Boolean, whether the main branch is the first of the
            stack or the last.
        dropout: Float, share dropped behind each pooling and before the
            classifier.
        first_kernel_size: Integer, window of the first convolution.
        first_strides: Integer, its steps.
        first_bias: Float at which its bias starts.
        normalize: Boolean, whether batch normalization follows every
            convolution; then all but the first are without bias.
        fusion_start: Float at which the fusion's weights start; `None` is
            one over the number of branches, of which `0.333` is short.
        fusion_bias: Boolean, whether the fusion has a bias.
        fusion_activation: Activation of the fusion.
        fused_normalization: `None`; `"vector"` to normalize the fused vector
            with one mean and variance for all features, as shipped for
            ImageNet; or `"channel"`. ReLU follows it in place of
            `fusion_activation`.
        kernel_initializer: Initializer of the convolutions; `None` is a
            normal distribution of deviation 0.05.
        classifier_initializer: Initializer of the classifier; `None` is a
            normal distribution of deviation 0.1.
        companion_weight: Float, of the companions' losses of `"dsn"` at the
            start; see `keras_fusion.callbacks.CompanionDecay`.
        name: Name of the model.

    Returns:
        A functional `keras.Model` from `{"image": ...}` to `{"label": ...}`,
        logits, with `"dsn"` a `DeeplySupervised` with the companions' logits
        beside them.

    Raises:
        ValueError: If `head`, `sides` or `pools` have no such meaning, or a
            map cannot be pooled.

    Example:

    >>> model = keras_fusion.models.convolutional_fusion_network()
    >>> model.count_params()
    1343146
    >>> presets = keras_fusion.models.CONVOLUTIONAL_FUSION_PRESETS
    >>> model = keras_fusion.models.convolutional_fusion_network(
    ...     **presets["cifar100"]
    ... )
    >>> tuple(model({"image": np.zeros((1, 32, 32, 3))})["label"].shape)
    (1, 100)

    Reference:

    - [Liu et al., 2017](https://arxiv.org/abs/1611.05503), sizes and starts
      of its released code
    - [Lee et al., 2015](https://arxiv.org/abs/1409.5185), `"dsn"`
    - [Yang and Ramanan, 2015](https://arxiv.org/abs/1505.05232), `"dag"`
    """  # noqa: E501
    check_arguments(head, sides, filters, pools, fused_normalization)
    convolve = Convolution(
        kernel_initializer or keras.initializers.RandomNormal(stddev=0.05),
        normalize,
    )
    image = keras.Input(image_shape, name="image")
    first = {
        "size": first_kernel_size,
        "strides": first_strides,
        "bias": first_bias,
    }
    maps = backbone(
        image, filters, pools, dropout, sides, convolve, first, main_first
    )

    def lift(branch, branch_name):
        size = 1 if branch_name == MAIN else side_kernel_size
        lifted = convolve(branch, width, f"{branch_name}_lift", size=size)
        return pool(lifted, branch_name)

    outputs = attach_head(
        maps,
        Head(
            head,
            num_classes,
            lift,
            dropout=dropout,
            start=fusion_start,
            use_bias=fusion_bias,
            activation=fusion_activation,
            normalization=fused_normalization,
            classifier_initializer=classifier_initializer
            or keras.initializers.RandomNormal(stddev=0.1),
        ),
    )
    if head == "dsn":
        return DeeplySupervised(
            {"image": image},
            outputs,
            companion_weight=companion_weight,
            name=name,
        )
    return keras.Model({"image": image}, outputs, name=name)


class Convolution:
    """Convolution, normalization if asked for, and ReLU, all named alike."""

    def __init__(self, initializer, normalize):
        self.initializer = keras.initializers.get(initializer)
        self.normalize = normalize

    def __call__(self, x, filters, name, size=3, strides=1, bias=None):
        if strides > 1:
            # "same" would pad a strided convolution on one side only.
            pad = keras.layers.ZeroPadding2D(size // 2, name=f"{name}_padding")
            x = pad(x)
        x = keras.layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding="valid" if strides > 1 else "same",
            use_bias=not self.normalize or bias is not None,
            # A copy: one without a seed would draw all kernels alike.
            kernel_initializer=keras.initializers.serialize(self.initializer),
            bias_initializer=keras.initializers.Constant(bias or 0.0),
            name=f"{name}_conv",
        )(x)
        if self.normalize:
            x = keras.layers.BatchNormalization(
                axis=channel_axis(),
                momentum=0.999,
                epsilon=1e-5,
                name=f"{name}_norm",
            )(x)
        return keras.layers.ReLU(name=f"{name}_relu")(x)


def backbone(
    image, filters, pools, dropout, sides, convolve, first, main_first
):
    """The maps of all branches, by name, in the order of their stack."""
    x, maps = image, {}
    for group, widths in enumerate(filters):
        if group:
            x = ceiling_pool(x, pools[group - 1], f"pool{group}")
            if dropout:
                drop = keras.layers.Dropout(
                    dropout, name=f"pool{group}_dropout"
                )
                x = drop(x)
            if group in sides:
                maps[f"pool{group}"] = x
        for place, width in enumerate(widths, start=1):
            settings = first if (group, place) == (0, 1) else {}
            x = convolve(x, width, f"group{group + 1}_{place}", **settings)
    return {MAIN: x, **maps} if main_first else {**maps, MAIN: x}


def check_arguments(head, sides, filters, pools, fused_normalization):
    check_head(head, sides, range(1, len(filters)))
    if len(pools) != len(filters) - 1:
        raise ValueError(
            "`pools` must name a pooling between any two groups of `filters`, "
            f"{len(filters) - 1}. Received: pools={pools}"
        )
    if fused_normalization not in (None, "vector", "channel"):
        raise ValueError(
            '`fused_normalization` must be None, "vector" or "channel". '
            f"Received: fused_normalization={fused_normalization}"
        )
