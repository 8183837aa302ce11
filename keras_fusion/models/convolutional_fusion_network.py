import dataclasses
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Sequence
from typing import Any

import keras

from keras_fusion.models.branch_layers import batch_normalization
from keras_fusion.models.branch_layers import convolve
from keras_fusion.models.ceiling_pooling import ceiling_pool
from keras_fusion.models.classification_heads import MAIN
from keras_fusion.models.classification_heads import attach_head
from keras_fusion.models.classification_heads import check_head
from keras_fusion.models.classification_heads import pool
from keras_fusion.models.deeply_supervised import image_model
from keras_fusion.models.vector_fusion import HeadSettings
from keras_fusion.types import Shape
from keras_fusion.types import Tensor

# The shipped networks; the defaults of the builder are those of CIFAR-10.
CONVOLUTIONAL_FUSION_PRESETS: dict[str, dict[str, Any]] = {
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
    num_classes: int = 10,
    image_shape: Shape = (32, 32, 3),
    head: str = "locally_connected",
    sides: Sequence[int] = (1, 2),
    filters: Sequence[Sequence[int]] = ((96, 96), (192, 192), (192, 192)),
    pools: Sequence[str] = ("max", "average"),
    width: int = 192,
    side_kernel_size: int = 1,
    main_first: bool = True,
    dropout: float = 0.5,
    first_kernel_size: int = 3,
    first_strides: int = 1,
    first_bias: float = 0.0,
    normalize: bool = False,
    fusion_start: float | None = 0.333,
    fusion_bias: bool = True,
    fusion_activation: str | Callable[[Tensor], Tensor] | None = "relu",
    fused_normalization: str | None = None,
    kernel_initializer: str | keras.initializers.Initializer | None = None,
    classifier_initializer: str | keras.initializers.Initializer | None = None,
    companion_weight: float = 0.3,
    name: str = "convolutional_fusion_network",
) -> keras.Model:
    """A plain convolutional network with side branches, and its rivals.

    Groups of 3x3 convolutions with poolings between them end in a 1x1
    convolution to `width` channels, which are averaged over positions. Side
    branches leave behind the poolings in `sides`, and are lifted to the same
    width and averaged too. Dropout behind a pooling comes before the branch
    leaves, so that both ways see the same features dropped. `head` is the
    name of one of `keras_fusion.models.CLASSIFICATION_HEADS`, where each has
    a description and a formula of the weights that it adds; by default, and
    as published, branches have a weight for each channel of each.

    The defaults are the network shipped for CIFAR-10, 1,343,146 weights, or
    1,286,698 with `head="last"`; `CONVOLUTIONAL_FUSION_PRESETS` holds those
    for `"cifar10"`, `"cifar100"` and `"imagenet"` (CFN-11). The latter were
    trained with the learning rate of the fusion's weights times 0.1, of
    biases times 2, and of CFN-11's last convolution times 10:
    `keras_fusion.optimizers.MultiRateSGD`.

    Args:
        num_classes: Integer, number of classes.
        image_shape: Shape of the images without the batch dimension. Sizes
            must be known, because poolings round up as in Caffe.
        head: Name of one of `keras_fusion.models.CLASSIFICATION_HEADS`.
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
        ValueError: If `head`, `sides` or `pools` is not one of the above, or
            if a map cannot be pooled.

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
    """
    check_head(head, sides, range(1, len(filters)))
    check_arguments(filters, pools, fused_normalization)
    convolution = Convolution(
        keras.initializers.get(
            kernel_initializer or keras.initializers.RandomNormal(stddev=0.05)
        ),
        normalize,
        {
            "size": first_kernel_size,
            "strides": first_strides,
            "bias": first_bias,
        },
    )
    image = keras.Input(image_shape, name="image")
    main, side_maps = backbone(
        image, filters, pools, dropout, sides, convolution
    )
    if main_first:
        maps = {MAIN: main, **side_maps}
    else:
        maps = {**side_maps, MAIN: main}

    def lift(branch: Tensor, branch_name: str) -> Tensor:
        size = 1 if branch_name == MAIN else side_kernel_size
        lifted = convolution(branch, width, f"{branch_name}_lift", size=size)
        return pool(lifted, branch_name)

    settings = HeadSettings(
        num_classes,
        lift,
        dropout=dropout,
        start=fusion_start,
        use_bias=fusion_bias,
        activation=fusion_activation,
        normalization=fused_normalization,
        classifier_initializer=classifier_initializer
        or keras.initializers.RandomNormal(stddev=0.1),
    )
    outputs = attach_head(head, maps, settings)
    return image_model(image, outputs, companion_weight, name)


@dataclasses.dataclass(frozen=True)
class Convolution:
    """Convolution, normalization if asked for, and ReLU, all named alike.

    Attributes:
        initializer: Initializer of the kernels.
        normalize: Whether there is batch normalization.
        first: Arguments of a call for the network's first convolution.
    """

    initializer: keras.initializers.Initializer
    normalize: bool
    first: dict[str, Any]

    def __call__(
        self,
        x: Tensor,
        filters: int,
        name: str,
        size: int = 3,
        strides: int = 1,
        bias: float | None = None,
    ) -> Tensor:
        (x,) = convolve(
            [x],
            filters,
            size,
            strides,
            lambda kind: f"{name}_{kind}",
            batch_normalization(0.999, 1e-5) if self.normalize else None,
            use_bias=not self.normalize or bias is not None,
            # A copy: one without a seed would draw all kernels alike.
            kernel_initializer=keras.initializers.serialize(self.initializer),
            bias_initializer=keras.initializers.Constant(bias or 0.0),
        )
        return x


def backbone(
    image: Tensor,
    filters: Sequence[Sequence[int]],
    pools: Sequence[str],
    dropout: float,
    sides: Collection[int],
    convolution: Convolution,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The map of the main branch, and those of the side branches by name."""
    x, side_maps = image, {}
    for group, widths in enumerate(filters):
        if group:
            x = ceiling_pool(x, pools[group - 1], f"pool{group}")
            if dropout:
                drop = keras.layers.Dropout(
                    dropout, name=f"pool{group}_dropout"
                )
                x = drop(x)
            if group in sides:
                side_maps[f"pool{group}"] = x
        for number, width in enumerate(widths, start=1):
            settings = convolution.first if (group, number) == (0, 1) else {}
            name = f"group{group + 1}_{number}"
            x = convolution(x, width, name, **settings)
    return x, side_maps


def check_arguments(
    filters: Sequence[Sequence[int]],
    pools: Sequence[str],
    fused_normalization: str | None,
) -> None:
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
