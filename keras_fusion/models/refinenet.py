from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Sequence

import keras

from keras_fusion.layers import ResizeLike
from keras_fusion.models.argument_checks import check_choice
from keras_fusion.models.bottleneck import check_stride_on
from keras_fusion.models.branch_decoder import decode_branches
from keras_fusion.models.branch_fusion import BRANCH_FUSIONS
from keras_fusion.models.branch_fusion import NO_FUSION
from keras_fusion.models.branch_fusion import check_fusion
from keras_fusion.models.branch_fusion_settings import BranchFusionSettings
from keras_fusion.models.branch_layers import channel_axis
from keras_fusion.models.branch_outputs import check_modalities
from keras_fusion.models.branch_outputs import outputs_by_name
from keras_fusion.models.refinenet_decoder import DecoderSettings
from keras_fusion.models.refinenet_decoder import decode
from keras_fusion.models.resnet_encoder import encode
from keras_fusion.types import Shape
from keras_fusion.types import Tensor

DECODERS: dict[
    str, Callable[[list[list[Tensor]], DecoderSettings], list[Tensor]]
] = {"refinenet": decode, "branches": decode_branches}


def refinenet(
    modalities: Sequence[str] = ("rgb", "depth"),
    num_classes: int = 40,
    image_shape: Shape = (None, None, 3),
    fusion: str = "exchange",
    fusion_stages: Collection[int] = (1, 2, 3, 4),
    threshold: float = 0.02,
    l1: float = 6e-4,
    penalized_only: bool = False,
    minimum_kept: float = 0.0,
    begin_step: int = 0,
    shrinkage: float = 0.0,
    gate_ratio: int = 16,
    alignment: float = 0.1,
    gamma_initializer: str | keras.initializers.Initializer = "ones",
    blocks: Sequence[int] = (3, 4, 23, 3),
    width: int = 64,
    stride_on: str = "3x3",
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    frozen_statistics: bool = False,
    decoder: str = "refinenet",
    decoder_width: int = 256,
    units_in: int = 2,
    units_out: int = 3,
    pools: int = 4,
    dropout: float = 0.5,
    cubic: bool = False,
    name: str = "refinenet",
) -> keras.Model:
    """RefineNet on ResNet bottlenecks, for aligned images of N modalities.

    All modalities run through one network: each convolution is one layer,
    called once for each of them, and each normalization is one
    `ChannelExchange` with scales, shifts and statistics for each of them.
    The decoder has no normalization. Inputs are a dict of images keyed by
    modality, of any height and width. Outputs are a dict of logits of the
    same height and width, keyed by modality, and `"ensemble"`, their sum by
    the softmax of learned weights, whose loss trains these weights only.

    `fusion` is the name of one of `keras_fusion.models.BRANCH_FUSIONS`, where
    each has a description. Exchange is that of the 3x3 convolutions of every
    bottleneck in `fusion_stages`, with an L1 penalty on their scales; gates
    and losses stand behind each of the `fusion_stages`. A fusion that joins
    the branches leaves as many channels as one of them has, for one pass of
    the decoder, and `"ensemble"` as the only output. It joins the maps of
    every stage for the decoder; behind the last of the `fusion_stages` the
    encoder goes on with what was joined. So `(1,)` is an early fusion, `(2,)`
    one in the middle, and the default a late one.

    A single modality has no other to be fused with: whatever the `fusion`, no
    exchange and no penalty. Its one output is named after it. It keeps the
    ensemble's single weight, of which the softmax is 1 and the gradient 0, so
    that the trainable weights are those published for one modality, and each
    further one adds twice the channels of all normalizations, plus 1.

    The defaults are the published network of 101 layers; `blocks` of
    `(3, 4, 6, 3)` and `(3, 8, 36, 3)` are those of 50 and 152. Trainable
    weights with 40 classes, in millions, for one and for two modalities:
    99.10 and 99.16 (50), 118.10 and 118.20 (101), 133.74 and 133.89 (152).
    `load_imagenet_encoder` starts the encoder from ImageNet weights.

    Args:
        modalities: Names of the inputs, in the order of the rows of the
            normalizations' weights; any but `"ensemble"`.
        num_classes: Integer, channels of the logits.
        image_shape: Shape of the images of every modality without the batch
            dimension; only the channels must be known. Tile a map of one
            channel to those of the others: the first convolution is shared.
        fusion: Name of one of `keras_fusion.models.BRANCH_FUSIONS`.
        fusion_stages: Numbers from 1 of the encoder's stages in which
            branches exchange channels, or behind which they are fused. One
            or more if the fusion joins them.
        threshold: Float, scale under which a channel is exchanged.
        l1: Float, weight of the sum of the penalized scales, which is added
            to the loss once. The published code adds `2e-4` once for each of
            the outputs, `6e-4` in all for two modalities.
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
        gamma_initializer: Initializer of the scales behind all 3x3
            convolutions, whatever the `fusion`. In a short training from
            random weights a penalty cannot move scales from 1 to 0: start
            lower.
        blocks: Number of bottlenecks in each stage of the encoder.
        width: Integer, filters of the first stage's 3x3 convolutions and of
            the stem. Each stage has twice as many as the one before it.
        stride_on: `"3x3"` as published, or `"1x1"` as in
            `keras.applications`: the convolution of a stage's first
            bottleneck that halves the resolution.
        momentum: Float, of the normalizations' moving statistics.
        epsilon: Float, of the normalizations; `1.001e-5` in
            `keras.applications`.
        frozen_statistics: Boolean, whether moving statistics stay as they
            are and normalize in training too, as published for training that
            starts from ImageNet weights.
        decoder: `"refinenet"`, or `"branches"`, ours: convolutional fusion
            without pooling. A 1x1 convolution brings the maps of each stage
            to `decoder_width`, all are resized to the finest, and a
            `LocallyConnectedFusion` adds them up, with a weight for each
            channel of each stage; `units_in`, `units_out` and `pools` have
            no meaning then.
        decoder_width: Integer, filters of the decoder; the coarsest level of
            `"refinenet"` has twice as many.
        units_in: Integer, residual convolution units at a level's entry.
        units_out: Integer, residual convolution units at a level's end.
        pools: Integer, poolings of a level's chain.
        dropout: Float, share dropped from the maps of the two coarsest
            stages and before the classifier.
        cubic: Boolean, whether the logits are resized bicubically outside of
            training, as published, instead of bilinearly.
        name: Name of the model.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If `modalities`, `fusion`, `fusion_stages`,
            `stride_on` or `decoder` is not one of the above.

    Example:

    >>> model = keras_fusion.models.refinenet(
    ...     modalities=("rgb", "thermal", "depth"),
    ...     num_classes=2,
    ...     blocks=(1, 1, 1, 1),
    ...     width=4,
    ...     decoder_width=8,
    ... )
    >>> images = keras.ops.zeros((1, 40, 56, 3))
    >>> logits = model({"rgb": images, "thermal": images, "depth": images})
    >>> for output in logits:
    ...     print(output, logits[output].shape)
    rgb (1, 40, 56, 2)
    thermal (1, 40, 56, 2)
    depth (1, 40, 56, 2)
    ensemble (1, 40, 56, 2)

    Reference:

    - [Wang et al., 2020](https://arxiv.org/abs/2011.05005)
    - [Lin et al., 2017](https://arxiv.org/abs/1611.06612)
    """
    check_modalities(modalities)
    check_fusion(
        fusion,
        fusion_stages,
        range(1, len(blocks) + 1),
        f"as `blocks` has {len(blocks)} stages",
    )
    check_stride_on(stride_on)
    check_choice("decoder", decoder, DECODERS)
    alone = len(modalities) == 1
    branch_fusion = NO_FUSION if alone else BRANCH_FUSIONS[fusion]
    norm = {
        "axis": channel_axis(),
        "momentum": momentum,
        "epsilon": epsilon,
        "frozen_statistics": frozen_statistics,
        "threshold": 0,
    }
    plain_norm = {**norm, "gamma_initializer": gamma_initializer}
    exchange_norm = {
        **plain_norm,
        "threshold": threshold,
        "l1": l1,
        "penalized_only": penalized_only,
        "minimum_kept": minimum_kept,
        "begin_step": begin_step,
        "shrinkage": shrinkage,
    }
    fusion_settings = BranchFusionSettings(fusion_stages, gate_ratio, alignment)
    exchanging = fusion_stages if branch_fusion.exchanges else ()
    inputs = {
        modality: keras.Input(image_shape, name=modality)
        for modality in modalities
    }
    pyramid = encode(
        list(inputs.values()),
        blocks=blocks,
        width=width,
        stride_on=stride_on,
        norm=norm,
        exchange_norms=[
            exchange_norm if stage in exchanging else plain_norm
            for stage in range(1, len(blocks) + 1)
        ],
        fuse=lambda branches, stage: branch_fusion.fuse(
            branches, stage, fusion_settings
        ),
    )
    settings = DecoderSettings(
        num_classes=num_classes,
        width=decoder_width,
        dropout=dropout,
        units_in=units_in,
        units_out=units_out,
        pools=pools,
    )
    logits = DECODERS[decoder](pyramid, settings)
    image = next(iter(inputs.values()))
    outputs = {
        output: ResizeLike(
            cubic_inference=cubic, dtype="float32", name=f"{output}_logits"
        )(maps, image)
        for output, maps in outputs_by_name(logits, inputs).items()
    }
    return keras.Model(inputs, outputs, name=name)
