"""The decoder of RefineNet, shared by all branches and without norms.

As in `resnet_encoder`, a function takes and returns one tensor a branch.
"""

import dataclasses

import keras

from keras_fusion.layers import ResizeLike
from keras_fusion.models.branch_layers import add
from keras_fusion.models.branch_layers import each
from keras_fusion.types import Tensor

# Variance of what a residual branch adds at the start, relative to its input.
# Without norms it would otherwise double with each of them.
RESIDUAL = 0.1


@dataclasses.dataclass(frozen=True)
class DecoderSettings:
    """The sizes of a decoder.

    Attributes:
        num_classes: Filters of the classifier.
        width: Filters, except on the coarsest level, which has twice as many.
        dropout: Share dropped from the two coarsest stages and before the
            classifier.
        units_in: Residual convolution units at the entry of a level.
        units_out: The same at its end.
        pools: Poolings of the chain between them.
    """

    num_classes: int
    width: int
    dropout: float
    units_in: int
    units_out: int
    pools: int


def decode(
    pyramid: list[list[Tensor]], settings: DecoderSettings
) -> list[Tensor]:
    """Returns the logits of each branch, as large as the finest maps.

    Args:
        pyramid: For each stage of the encoder, finest first, its maps.
        settings: `DecoderSettings`.
    """
    drop = keras.layers.Dropout(settings.dropout, name="decoder_dropout")
    above: list[Tensor] | None = None
    for level in range(len(pyramid), 0, -1):
        maps, name = pyramid[level - 1], f"level{level}"
        coarse = level > len(pyramid) - 2
        maps = each(drop, maps) if coarse else maps
        maps = refine(maps, above, settings, name)
        if level > 1:
            above = convolve(maps, settings.width, f"{name}_exit")
    return classify(each(drop, maps), settings.num_classes)


def refine(
    maps: list[Tensor],
    above: list[Tensor] | None,
    settings: DecoderSettings,
    name: str,
) -> list[Tensor]:
    """One level: its maps, the coarser level above it, and its context."""
    filters = 2 * settings.width if above is None else settings.width
    maps = convolve(maps, filters, f"{name}_entry")
    maps = residual_units(maps, filters, settings.units_in, f"{name}_units_in")
    if above is not None:
        maps = convolve(maps, filters, f"{name}_adapt")
        maps = merge(maps, above, name)
    maps = each(keras.layers.ReLU(name=f"{name}_relu"), maps)
    maps = pool_chain(maps, filters, settings.pools, f"{name}_pool")
    return residual_units(
        maps, filters, settings.units_out, f"{name}_units_out"
    )


def classify(maps: list[Tensor], num_classes: int) -> list[Tensor]:
    # Without norms the maps start large; small weights start undecided.
    classifier = keras.layers.Conv2D(
        num_classes,
        3,
        padding="same",
        kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3),
        name="classifier",
    )
    return each(classifier, maps)


def residual_units(
    branches: list[Tensor], filters: int, count: int, name: str
) -> list[Tensor]:
    """Adds convolutions of ReLU(x) to ReLU(x), `count` times.

    The published code rectifies in place, so the skip carries ReLU(x), not x.
    """
    for unit in range(1, count + 1):
        relu = keras.layers.ReLU(name=f"{name}{unit}_relu1")
        branches = each(relu, branches)
        inner = convolve(
            branches, filters, f"{name}{unit}_conv1", use_bias=True
        )
        relu = keras.layers.ReLU(name=f"{name}{unit}_relu2")
        inner = convolve(
            each(relu, inner), filters, f"{name}{unit}_conv2", scale=RESIDUAL
        )
        branches = add(branches, inner, f"{name}{unit}_add")
    return branches


def pool_chain(
    branches: list[Tensor], filters: int, count: int, name: str
) -> list[Tensor]:
    """Adds what each of a chain of 5x5 poolings sees."""
    chain = branches
    for link in range(1, count + 1):
        pool = keras.layers.MaxPooling2D(
            5, strides=1, padding="same", name=f"{name}{link}"
        )
        chain = convolve(
            each(pool, chain), filters, f"{name}{link}_conv", scale=RESIDUAL
        )
        branches = add(branches, chain, f"{name}{link}_add")
    return branches


def merge(
    branches: list[Tensor], above: list[Tensor], name: str
) -> list[Tensor]:
    """Adds the coarser level, its corner pixels on the corners."""
    resize = ResizeLike(align_corners=True, name=f"{name}_resize")
    resized = [resize(a, b) for a, b in zip(above, branches, strict=True)]
    return add(branches, resized, f"{name}_merge")


def convolve(
    branches: list[Tensor],
    filters: int,
    name: str,
    use_bias: bool = False,
    scale: float = 1.0,
) -> list[Tensor]:
    layer = keras.layers.Conv2D(
        filters,
        3,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=keras.initializers.VarianceScaling(scale),
        name=name,
    )
    return each(layer, branches)
