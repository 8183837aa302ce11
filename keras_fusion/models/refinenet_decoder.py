"""The decoder of RefineNet, shared by all branches and without norms.

As in `resnet_encoder`, a function takes and returns one tensor a branch.
"""

import keras

from keras_fusion.layers import ResizeLike
from keras_fusion.models.resnet_encoder import add
from keras_fusion.models.resnet_encoder import each

# Variance of what a residual branch adds at the start, relative to its input.
# Without norms it would otherwise double with each of them.
RESIDUAL = 0.1


def decode(pyramid, num_classes, width, dropout, units_in, units_out, pools):
    """Returns the logits of each branch, as large as the finest maps.

    Args:
        pyramid: For each stage of the encoder, finest first, its maps.
        num_classes: Filters of the classifier.
        width: Filters, except on the coarsest level, which has twice as many.
        dropout: Share dropped from the two coarsest stages and before the
            classifier.
        units_in: Residual convolution units at the entry of a level.
        units_out: The same at its end.
        pools: Poolings of the chain between them.
    """
    drop = keras.layers.Dropout(dropout, name="decoder_dropout")
    above = None
    for level in range(len(pyramid), 0, -1):
        maps, name = pyramid[level - 1], f"level{level}"
        filters = 2 * width if above is None else width
        coarse = level > len(pyramid) - 2
        maps = each(drop, maps) if coarse else maps
        maps = convolve(maps, filters, f"{name}_entry")
        maps = residual_units(maps, filters, units_in, f"{name}_units_in")
        if above is not None:
            maps = convolve(maps, filters, f"{name}_adapt")
            maps = merge(maps, above, name)
        maps = each(keras.layers.ReLU(name=f"{name}_relu"), maps)
        maps = pool_chain(maps, filters, pools, f"{name}_pool")
        maps = residual_units(maps, filters, units_out, f"{name}_units_out")
        if level > 1:
            above = convolve(maps, width, f"{name}_exit")
    # Without norms the maps start large; small weights start undecided.
    classifier = keras.layers.Conv2D(
        num_classes,
        3,
        padding="same",
        kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3),
        name="classifier",
    )
    return each(classifier, each(drop, maps))


def residual_units(branches, filters, count, name):
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


def pool_chain(branches, filters, count, name):
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


def merge(branches, above, name):
    """Adds the coarser level, its corner pixels on the corners."""
    resize = ResizeLike(align_corners=True, name=f"{name}_resize")
    resized = [resize(a, b) for a, b in zip(above, branches, strict=True)]
    return add(branches, resized, f"{name}_merge")


def convolve(branches, filters, name, use_bias=False, scale=1.0):
    layer = keras.layers.Conv2D(
        filters,
        3,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=keras.initializers.VarianceScaling(scale),
        name=name,
    )
    return each(layer, branches)
