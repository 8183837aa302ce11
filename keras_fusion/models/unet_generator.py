from collections.abc import Collection
from collections.abc import Sequence
from typing import Any

import keras

from keras_fusion.layers import ChannelExchange
from keras_fusion.models.argument_checks import check_choice
from keras_fusion.models.branch_fusion import BRANCH_FUSIONS
from keras_fusion.models.branch_fusion import NO_FUSION
from keras_fusion.models.branch_fusion import check_fusion
from keras_fusion.models.branch_fusion_settings import BranchFusionSettings
from keras_fusion.models.branch_layers import Normalize
from keras_fusion.models.branch_layers import channel_axis
from keras_fusion.models.branch_layers import sides
from keras_fusion.models.branch_outputs import check_modalities
from keras_fusion.models.branch_outputs import outputs_by_name
from keras_fusion.models.idle_norm import IdleNorm
from keras_fusion.models.unet_layers import decode
from keras_fusion.models.unet_layers import encode
from keras_fusion.types import Shape
from keras_fusion.types import Tensor

EPSILON = 1e-5
# Blocks have at most this many times the filters of the first.
WIDEST = 8


def unet_generator(
    modalities: Sequence[str] = ("rgb", "depth"),
    image_shape: Shape = (256, 256, 3),
    target_channels: int = 3,
    fusion: str = "exchange",
    fusion_stages: Collection[int] | None = None,
    threshold: float = 0.01,
    l1: float = 1e-3,
    penalized_only: bool = False,
    minimum_kept: float = 0.0,
    begin_step: int = 0,
    shrinkage: float = 0.0,
    gate_ratio: int = 16,
    alignment: float = 0.1,
    gamma_initializer: str | keras.initializers.Initializer = "ones",
    width: int = 64,
    depth: int = 8,
    dropout: float = 0.5,
    unused_norms: bool = False,
    name: str = "unet_generator",
) -> keras.Model:
    """The U-Net of pix2pix, from aligned images of N modalities to one image.

    All modalities run through one network: each convolution is one layer,
    called once for each of them, and each instance normalization is one
    `ChannelExchange` with scales and shifts for each of them. The encoder
    has `depth` blocks, each with a 4x4 convolution that halves the
    resolution, the decoder as many that double it; each block of the decoder
    but the last also gets the maps of the encoder that are as large as its
    own, behind their fusion. The first and the last block of the encoder and
    the last of the decoder have no normalization.

    Inputs are a dict of images keyed by modality. Outputs are a dict of
    images of the same height and width from -1 to 1, by tanh, keyed by
    modality, and `"ensemble"`, their sum by the softmax of learned weights,
    whose loss trains these weights only. With one modality, and with a
    fusion that joins the branches, outputs are those of `refinenet`.

    Exchange is that of the blocks in `fusion_stages`, with an L1 penalty
    on their scales. The defaults are the published network with 54,429,317
    trainable weights for two modalities and 54,419,460 for one; each further
    one adds twice the channels of all normalizations, plus 1. The released
    code counts 54,431,633 and 54,420,618, as the three blocks without a
    normalization own one that is never called; `unused_norms=True` has them
    too. It also penalizes those of the encoder, which are not penalized here.

    The released code leaves dropout on when it evaluates. Here dropout
    follows `training`, as everywhere in Keras: call the model with
    `training=True` for the published behavior. Instance normalization is the
    same in training and outside: it has no moving statistics.

    Args:
        modalities: Names of the inputs, in the order of the rows of the
            normalizations' weights; any but `"ensemble"`.
        image_shape: Shape of the images of every modality without the batch
            dimension. Height and width must be multiples of `2**depth`. Tile
            a map of one channel to those of the others: the first convolution
            is shared.
        target_channels: Integer, channels of the image that is made.
        fusion: Name of one of `keras_fusion.models.BRANCH_FUSIONS`.
        fusion_stages: Numbers from 1 of the encoder's blocks in which
            branches exchange channels, or behind which they are fused, as in
            `refinenet`. `None`, the default, is all of them; for exchange,
            all that have a normalization, `2` to `depth - 1`.
        threshold: Float, scale under which a channel is exchanged.
        l1: Float, weight of the sum of the penalized scales, which is added
            to the loss once.
        penalized_only: Boolean, whether only channels under the penalty may
            be exchanged.
        minimum_kept: Float, share of its channels that each modality keeps
            in any case.
        begin_step: Integer, training steps before which nothing is exchanged.
        shrinkage: Float, what a penalized scale loses with every update, down
            to exactly 0.
        gate_ratio: Integer, channels that a gate sees for each of its hidden
            units: those of all branches in `"squeeze_excite"` and
            `"self_attention"`, of one in `"self_squeeze_excite"`.
        alignment: Float, at least 0. Weight of the loss of `"align"`, which
            is added once for each of the `fusion_stages`.
        gamma_initializer: Initializer of the scales of all normalizations.
            The published training ran on a PyTorch that drew them evenly from
            0 to 1, `keras.initializers.RandomUniform(0, 1)`, while others
            and Keras start with ones. It decides how fast channels die: the
            penalty moves a scale by about the learning rate a step.
        width: Integer, filters of the first block. Each block has twice as
            many as the one before it, up to 8 times `width`.
        depth: Integer, at least 2, blocks of the encoder.
        dropout: Float, share dropped in the three coarsest blocks of the
            decoder that have a normalization.
        unused_norms: Boolean, whether to own the normalizations that are
            never used, so that the weights are as many as published.
        name: Name of the model.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If `modalities`, `image_shape`, `fusion`,
            `fusion_stages` or `depth` is not one of the above.

    Example:

    >>> model = keras_fusion.models.unet_generator(
    ...     modalities=("shading", "texture"),
    ...     image_shape=(32, 48, 3),
    ...     width=4,
    ...     depth=4,
    ... )
    >>> images = keras.ops.zeros((1, 32, 48, 3))
    >>> outputs = model({"shading": images, "texture": images})
    >>> for output in outputs:
    ...     print(output, outputs[output].shape)
    shading (1, 32, 48, 3)
    texture (1, 32, 48, 3)
    ensemble (1, 32, 48, 3)

    Reference:

    - [Wang et al., 2020](https://arxiv.org/abs/2011.05005)
    - [Isola et al., 2017](https://arxiv.org/abs/1611.07004)
    """
    check_modalities(modalities)
    check_sides(image_shape, depth)
    alone = len(modalities) == 1
    possible = blocks_that_fuse(fusion, depth)
    stages = possible if fusion_stages is None else fusion_stages
    check_fusion(
        fusion, stages, possible, f"the blocks that fuse with `depth={depth}`"
    )
    branch_fusion = NO_FUSION if alone else BRANCH_FUSIONS[fusion]
    settings = BranchFusionSettings(stages, gate_ratio, alignment)
    plain = instance_norm(gamma_initializer)
    exchanging = instance_norm(
        gamma_initializer,
        threshold=threshold,
        l1=l1,
        penalized_only=penalized_only,
        minimum_kept=minimum_kept,
        begin_step=begin_step,
        shrinkage=shrinkage,
    )
    without = idle_norm if unused_norms else no_norm
    inner = range(2, depth)
    inputs = {
        modality: keras.Input(image_shape, name=modality)
        for modality in modalities
    }
    pyramid = encode(
        list(inputs.values()),
        filters=[width * min(2**block, WIDEST) for block in range(depth)],
        norms=[
            without,
            *(
                exchanging
                if branch_fusion.exchanges and block in stages
                else plain
                for block in inner
            ),
            without,
        ],
        fuse=lambda branches, block: branch_fusion.fuse(
            branches, block, settings
        ),
    )
    images = decode(
        pyramid,
        target_channels=target_channels,
        dropout=dropout,
        norms=[plain] * (depth - 1) + [without],
    )
    return keras.Model(inputs, outputs_by_name(images, inputs), name=name)


def instance_norm(
    initializer: str | keras.initializers.Initializer, **settings: Any
) -> Normalize:
    settings = {"threshold": 0, "epsilon": EPSILON, **settings}

    def normalize(branches: list[Tensor], name: str) -> list[Tensor]:
        layer = ChannelExchange(
            normalization="instance",
            axis=channel_axis(),
            # One object would give all scales of a shape the same numbers.
            gamma_initializer=keras.initializers.get(initializer).clone(),
            name=name,
            **settings,
        )
        return layer(branches)

    return normalize


def idle_norm(branches: list[Tensor], name: str) -> list[Tensor]:
    return IdleNorm(axis=channel_axis(), name=name)(branches)


def no_norm(branches: list[Tensor], name: str) -> list[Tensor]:
    return branches


def blocks_that_fuse(fusion: str, depth: int) -> list[int]:
    check_choice("fusion", fusion, BRANCH_FUSIONS)
    blocks = list(range(1, depth + 1))
    # Exchange needs a normalization, which the outer ones do not have.
    return blocks[1:-1] if BRANCH_FUSIONS[fusion].exchanges else blocks


def check_sides(image_shape: Shape, depth: int) -> None:
    if depth < 2:
        raise ValueError(f"`depth` must be at least 2. Received: depth={depth}")
    if any(side is None or side % 2**depth for side in sides(image_shape)):
        raise ValueError(
            f"Height and width of `image_shape` must be multiples of "
            f"{2**depth}, as `depth={depth}` halves them as often. Received: "
            f"image_shape={tuple(image_shape)}. Resize or crop the images, or "
            "choose a smaller `depth`."
        )
