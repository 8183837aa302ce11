"""ResNet bottlenecks for branches that share every convolution.

A function here takes and returns one tensor for each modality. Each
convolution is one layer, called once for each of them; each normalization is
one `ChannelExchange`, which holds the scales and statistics of them all.
"""

import keras

from keras_fusion.layers import ChannelExchange


def each(layer, branches):
    """Calls one layer, and so one set of weights, on every branch."""
    return [layer(branch) for branch in branches]


def add(branches, others, name):
    """The sum of the two lists, branch by branch."""
    layer = keras.layers.Add(name=name)
    return [layer(pair) for pair in zip(branches, others, strict=True)]


def channel_axis():
    first = keras.config.image_data_format() == "channels_first"
    return 1 if first else -1


def encode(branches, blocks, width, stride_on, normalization, exchanges, fuse):
    """Returns the maps of each stage that go to a decoder, finest first.

    Args:
        branches: List of N image tensors.
        blocks: Bottlenecks of each stage.
        width: Filters of the stem and of the first stage's 3x3 convolutions;
            each stage has twice as many as the one before it.
        stride_on: `"3x3"` or `"1x1"`, the convolution of a stage's first
            bottleneck that halves the resolution.
        normalization: Arguments of every `ChannelExchange`.
        exchanges: For each stage, further arguments of those behind its 3x3
            convolutions; the others exchange nothing.
        fuse: Function of the branches and the number of the stage behind
            which they stand. It returns the branches for the next stage and
            the list of maps for the decoder.
    """
    apart = {**normalization, "threshold": 0}
    branches = stem(branches, width, apart)
    pyramid = []
    for stage, count in enumerate(blocks, start=1):
        for block in range(1, count + 1):
            first = block == 1
            branches = bottleneck(
                branches,
                filters=width * 2 ** (stage - 1),
                strides=2 if first and stage > 1 else 1,
                project=first,
                stride_on=stride_on,
                apart=apart,
                meeting={**normalization, **exchanges[stage - 1]},
                name=f"stage{stage}_block{block}",
            )
        branches, maps = fuse(branches, stage)
        pyramid.append(maps)
    return pyramid


def stem(branches, width, apart):
    pad = keras.layers.ZeroPadding2D(3, name="stem_padding")
    branches = each(pad, branches)
    branches = convolve(branches, width, 7, 2, "valid", "stem_conv")
    branches = ChannelExchange(name="stem_norm", **apart)(branches)
    branches = each(keras.layers.ReLU(name="stem_relu"), branches)
    # Zeros are as good as minus infinity behind a ReLU.
    pad = keras.layers.ZeroPadding2D(1, name="stem_pool_padding")
    pool = keras.layers.MaxPooling2D(3, strides=2, name="stem_pool")
    return each(pool, each(pad, branches))


def bottleneck(
    branches, filters, strides, project, stride_on, apart, meeting, name
):
    shortcuts = branches
    if project:
        shortcuts = convolve(
            shortcuts, 4 * filters, 1, strides, "valid", f"{name}_conv0"
        )
        shortcuts = ChannelExchange(name=f"{name}_norm0", **apart)(shortcuts)
    first, second = (strides, 1) if stride_on == "1x1" else (1, strides)

    branches = convolve(branches, filters, 1, first, "valid", f"{name}_conv1")
    branches = ChannelExchange(name=f"{name}_norm1", **apart)(branches)
    branches = each(keras.layers.ReLU(name=f"{name}_relu1"), branches)

    # "same" would pad a strided convolution on one side only.
    pad = keras.layers.ZeroPadding2D(1, name=f"{name}_padding2")
    branches = each(pad, branches) if second > 1 else branches
    padding = "valid" if second > 1 else "same"
    branches = convolve(branches, filters, 3, second, padding, f"{name}_conv2")
    branches = ChannelExchange(name=f"{name}_norm2", **meeting)(branches)
    branches = each(keras.layers.ReLU(name=f"{name}_relu2"), branches)

    branches = convolve(branches, 4 * filters, 1, 1, "valid", f"{name}_conv3")
    branches = ChannelExchange(name=f"{name}_norm3", **apart)(branches)
    branches = add(branches, shortcuts, name=f"{name}_add")
    return each(keras.layers.ReLU(name=f"{name}_output"), branches)


def convolve(branches, filters, size, strides, padding, name):
    layer = keras.layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )
    return each(layer, branches)
