"""A ResNet for branches that share every convolution.

A function here takes and returns one tensor for each modality. Each
convolution is one layer, called once for each of them; each normalization is
one `ChannelExchange`, which holds the scales and statistics of them all.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras

from keras_fusion.layers import ChannelExchange
from keras_fusion.models.bottleneck import Bottleneck
from keras_fusion.models.bottleneck import residual
from keras_fusion.models.bottleneck import stages_of
from keras_fusion.models.branch_layers import Normalize
from keras_fusion.models.branch_layers import convolve
from keras_fusion.models.branch_layers import each
from keras_fusion.types import Tensor


def encode(
    branches: list[Tensor],
    blocks: Sequence[int],
    width: int,
    stride_on: str,
    norm: dict[str, Any],
    exchange_norms: Sequence[dict[str, Any]],
    fuse: Callable[[list[Tensor], int], tuple[list[Tensor], list[Tensor]]],
) -> list[list[Tensor]]:
    """Returns the maps of each stage that go to a decoder, finest first.

    Args:
        branches: List of N image tensors.
        blocks: Bottlenecks of each stage.
        width: Filters of the stem and of the first stage's 3x3 convolutions;
            each stage has twice as many as the one before it.
        stride_on: `"3x3"` or `"1x1"`, the convolution of a stage's first
            bottleneck that halves the resolution.
        norm: Arguments of the `ChannelExchange` that only normalize.
        exchange_norms: For each stage, the arguments of those behind its 3x3
            convolutions, which may exchange.
        fuse: Function of the branches and the number of the stage behind
            which they stand. It returns the branches for the next stage and
            the list of maps for the decoder.
    """
    branches = stem(branches, width, norm)
    pyramid = []
    stages = stages_of(blocks, width, stride_on)
    for number, bottlenecks in enumerate(stages, start=1):
        exchange_norm = exchange_norms[number - 1]
        for block in bottlenecks:
            branches = bottleneck(branches, block, norm, exchange_norm)
        branches, maps = fuse(branches, number)
        pyramid.append(maps)
    return pyramid


def stem(
    branches: list[Tensor], width: int, norm: dict[str, Any]
) -> list[Tensor]:
    branches = convolve(
        branches, width, 7, 2, "stem_{}".format, channel_exchange(norm)
    )
    # Zeros are as good as minus infinity behind a ReLU.
    pad = keras.layers.ZeroPadding2D(1, name="stem_pool_padding")
    pool = keras.layers.MaxPooling2D(3, strides=2, name="stem_pool")
    return each(pool, each(pad, branches))


def bottleneck(
    branches: list[Tensor],
    block: Bottleneck,
    norm: dict[str, Any],
    exchange_norm: dict[str, Any],
) -> list[Tensor]:
    return residual(
        branches,
        block,
        lambda number, kind: f"{block.name}_{kind}{number}",
        lambda number: channel_exchange(exchange_norm if number == 2 else norm),
    )


def channel_exchange(settings: dict[str, Any]) -> Normalize:
    return lambda branches, name: ChannelExchange(name=name, **settings)(
        branches
    )
