import keras

from keras_fusion.layers import LearnedEnsemble
from keras_fusion.layers import ResizeLike
from keras_fusion.models.branch_decoder import decode_branches
from keras_fusion.models.branch_fusion import FUSIONS
from keras_fusion.models.refinenet_decoder import decode
from keras_fusion.models.resnet_encoder import channel_axis
from keras_fusion.models.resnet_encoder import encode


def refinenet(
    modalities=("rgb", "depth"),
    num_classes=40,
    image_shape=(None, None, 3),
    fusion="exchange",
    exchange_stages=(1, 2, 3, 4),
    threshold=0.02,
    l1=6e-4,
    penalized_only=False,
    gamma_initializer="ones",
    blocks=(3, 4, 23, 3),
    width=64,
    stride_on="3x3",
    momentum=0.9,
    epsilon=1e-5,
    frozen_statistics=False,
    decoder="refinenet",
    decoder_width=256,
    units_in=2,
    units_out=3,
    pools=4,
    dropout=0.5,
    name="refinenet",
):
    """RefineNet on ResNet bottlenecks, for aligned images of N modalities.

    All modalities run through one network: each convolution is one layer,
    called once for each of them, and each normalization is one
    `ChannelExchange` with scales, shifts and statistics for each of them.
    The decoder has no normalization. Inputs are a dict of images keyed by
    modality, of any height and width. Outputs are a dict of logits of the
    same height and width, keyed by modality, and `"ensemble"`, their sum by
    the softmax of learned weights, whose loss trains these weights only.

    `fusion` says how the branches meet:

    - `"exchange"`: by channel exchange behind the 3x3 convolution of every
      bottleneck in `exchange_stages`, with an L1 penalty on those scales.
    - `"none"`: not before the ensemble. The same network without exchange
      and penalty.
    - `"squeeze_excite"`: `SqueezeExciteFusion` gates every branch by all of
      them behind each of the `exchange_stages`; otherwise as `"none"`.
    - `"concat"`: the maps of each stage are concatenated over the modalities
      and reduced to as many channels as one has by a 1x1 convolution, for
      one pass of the decoder. The only output is `"ensemble"`.
    - `"sum"`: as `"concat"`, with plain addition of the maps.

    A single modality has nothing to meet: whatever the `fusion`, no exchange
    and no penalty. Its one output is named after it. It keeps the ensemble's
    single weight, of which the softmax is 1 and the gradient 0, so that the
    trainable weights are those published for one modality, and each further
    one adds twice the channels of all normalizations, plus 1.

    The defaults are the published network of 101 layers; `blocks` of
    `(3, 4, 6, 3)` and `(3, 8, 36, 3)` are those of 50 and 152. Trainable
    weights with 40 classes, in millions, for one and for two modalities:
    99.10 and 99.16 (50), 118.10 and 118.20 (101), 133.74 and 133.89 (152).
    `load_imagenet_encoder` starts the encoder from ImageNet weights.

    Args:
        modalities: Names of the inputs, in the order of the rows of the
            normalizations' weights. Every one but `"ensemble"` will do.
        num_classes: Integer, channels of the logits.
        image_shape: Shape of the images of every modality without the batch
            dimension; only the channels must be known. Tile a map of one
            channel to those of the others: the first convolution is shared.
        fusion: `"exchange"`, `"none"`, `"concat"`, `"sum"` or
            `"squeeze_excite"`.
        exchange_stages: Numbers from 1 of the encoder's stages in which
            branches exchange channels, or gate each other.
        threshold: Float, scale under which a channel is exchanged.
        l1: Float, weight of the sum of the penalized scales, which is added
            to the loss once. The published code adds `2e-4` once for each of
            the outputs, `6e-4` in all for two modalities.
        penalized_only: Boolean, whether only channels under the penalty may
            be exchanged.
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
            channel of each stage; `units_in`, `units_out` and `pools` are
            without meaning then.
        decoder_width: Integer, filters of the decoder; the coarsest level of
            `"refinenet"` has twice as many.
        units_in: Integer, residual convolution units at a level's entry.
        units_out: Integer, residual convolution units at a level's end.
        pools: Integer, poolings of a level's chain.
        dropout: Float, share dropped from the maps of the two coarsest
            stages and before the classifier.
        name: Name of the model.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If `modalities`, `fusion`, `exchange_stages`,
            `stride_on` or `decoder` have no such meaning.

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
    check_arguments(modalities, fusion, exchange_stages, blocks, stride_on)
    if decoder not in ("refinenet", "branches"):
        raise ValueError(
            '`decoder` must be "refinenet" or "branches". '
            f"Received: decoder={decoder}"
        )
    fusion = fusion if len(modalities) > 1 else "none"
    fuse = FUSIONS[fusion]
    exchange = {
        "threshold": threshold,
        "l1": l1,
        "penalized_only": penalized_only,
    }
    exchanges = [
        {
            "gamma_initializer": gamma_initializer,
            **(
                exchange
                if fusion == "exchange" and stage in exchange_stages
                else {"threshold": 0}
            ),
        }
        for stage in range(1, len(blocks) + 1)
    ]
    inputs = {
        modality: keras.Input(image_shape, name=modality)
        for modality in modalities
    }
    pyramid = encode(
        list(inputs.values()),
        blocks=blocks,
        width=width,
        stride_on=stride_on,
        normalization={
            "axis": channel_axis(),
            "momentum": momentum,
            "epsilon": epsilon,
            "frozen_statistics": frozen_statistics,
        },
        exchanges=exchanges,
        fuse=lambda branches, stage: fuse(branches, stage, exchange_stages),
    )
    if decoder == "branches":
        logits = decode_branches(pyramid, num_classes, decoder_width, dropout)
    else:
        logits = decode(
            pyramid,
            num_classes=num_classes,
            width=decoder_width,
            dropout=dropout,
            units_in=units_in,
            units_out=units_out,
            pools=pools,
        )
    return keras.Model(inputs, outputs_by_name(logits, inputs), name=name)


def outputs_by_name(logits, inputs):
    """Names the logits, adds their ensemble and resizes all to the inputs."""
    if len(inputs) == 1:
        # No other branch, so its loss has to pass through the ensemble.
        ensemble = LearnedEnsemble(stop_gradient=False, name="ensemble_weights")
        outputs = {modality: ensemble(logits) for modality in inputs}
    elif len(logits) == 1:
        outputs = {"ensemble": logits[0]}
    else:
        ensemble = LearnedEnsemble(name="ensemble_weights")
        outputs = dict(zip(inputs, logits, strict=True))
        outputs["ensemble"] = ensemble(logits)
    image = next(iter(inputs.values()))
    return {
        name: ResizeLike(dtype="float32", name=f"{name}_logits")(maps, image)
        for name, maps in outputs.items()
    }


def check_arguments(modalities, fusion, exchange_stages, blocks, stride_on):
    names = list(modalities)
    if not names or len(set(names)) < len(names) or "ensemble" in names:
        raise ValueError(
            "`modalities` must be one or more different names, none of them "
            f'"ensemble". Received: modalities={modalities}'
        )
    if fusion not in FUSIONS:
        raise ValueError(
            f"`fusion` must be one of {', '.join(FUSIONS)}. "
            f"Received: fusion={fusion}"
        )
    stages = range(1, len(blocks) + 1)
    if not set(exchange_stages) <= set(stages):
        raise ValueError(
            f"`exchange_stages` must be among {', '.join(map(str, stages))}, "
            f"as `blocks` has {len(blocks)} stages. "
            f"Received: exchange_stages={exchange_stages}"
        )
    if stride_on not in ("3x3", "1x1"):
        raise ValueError(
            '`stride_on` must be "3x3" or "1x1". '
            f"Received: stride_on={stride_on}"
        )
