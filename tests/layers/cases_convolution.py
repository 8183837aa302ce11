"""Locally connected layers, network in network, gates of one modality."""

import numpy as np

from keras_fusion import layers
from tests.layers.case import Case
from tests.layers.cases_exchange import sigmoid


def locally_connected(
    weights,
    x,
    kernel_size,
    strides,
    pads,
    dilation=None,
    groups=1,
    channels_first=False,
):
    """Position by position, filter by filter, entry by entry."""
    rank = len(kernel_size)
    dilation = dilation or (1,) * rank
    kernel, bias = weights["kernel"], weights["bias"]
    if channels_first:
        x = np.moveaxis(x, 1, -1)
        bias = np.moveaxis(bias.reshape(-1, *bias.shape[:-1]), 0, -1)
    x = np.pad(x, [(0, 0), *pads, (0, 0)])
    width, filters = x.shape[-1] // groups, kernel.shape[-1]
    output = np.zeros((len(x), *bias.shape))
    for p, position in enumerate(np.ndindex(*bias.shape[:-1])):
        for f in range(filters):
            first = f // (filters // groups) * width
            total = bias[(*position, f)]
            for e, offset in enumerate(np.ndindex(*kernel_size)):
                index = tuple(
                    position[a] * strides[a] + offset[a] * dilation[a]
                    for a in range(rank)
                )
                for c in range(width):
                    entry = e * width + c
                    if channels_first:
                        entry = c * np.prod(kernel_size) + e
                    value = x[(slice(None), *index, first + c)]
                    total = total + value * kernel[p, entry, f]
            output[(slice(None), *position, f)] = total
    return np.moveaxis(output, -1, 1) if channels_first else output


def causal_1d(weights, x):
    return locally_connected(weights, x, (3,), (2,), [(4, 0)], (2,))


def valid_2d(weights, x):
    none = (0, 0)
    return locally_connected(weights, x, (2, 3), (1, 2), [none] * 2)


def same_2d_channels_first(weights, x):
    # Seven rows in steps of two: four windows of three need nine.
    pads = [(1, 1), (0, 1)]
    outputs = locally_connected(
        weights, x, (3, 2), (2, 1), pads, groups=2, channels_first=True
    )
    return np.maximum(outputs, 0)


def padded_3d(weights, x):
    pads = [(1, 0), (0, 2), (0, 0)]
    return locally_connected(weights, x, (2, 3, 1), (1, 2, 2), pads)


def fusion(weights, xs):
    output = np.empty_like(xs[0])
    for index in np.ndindex(*xs[0].shape):
        k = index[-1]
        total = weights["bias"][k]
        for s, x in enumerate(xs):
            total = total + weights["kernel"][k, s] * x[index]
        output[index] = max(0, total)
    return output


def fusion_per_position(weights, xs):
    return np.einsum("bhwks,hwks->bhwk", np.stack(xs, -1), weights["kernel"])


def mlp_conv(weights, x):
    """The convolution as a loop over offsets, then a perceptron a pixel."""
    x = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    height, width = x.shape[1] - 2, x.shape[2] - 2
    h = sum(
        x[:, i : i + height, j : j + width] @ weights["step_0/kernel"][i, j]
        for i in range(3)
        for j in range(3)
    )
    h = np.maximum(0, h + weights["step_0/bias"])
    pixels = h.reshape(-1, h.shape[-1])
    pixels = pixels @ weights["step_1/kernel"][0, 0] + weights["step_1/bias"]
    return pixels.reshape(*h.shape[:-1], -1)


def squeeze_excite(weights, x, text=None):
    outputs = []
    for i, sample in enumerate(x):
        z = sample.reshape(-1, sample.shape[-1]).mean(axis=0)
        if text is not None:
            z = np.append(z, text[i])
        h = z @ weights["squeeze/kernel"] + weights["squeeze/bias"]
        gate = np.maximum(h, 0) @ weights["excite/kernel"]
        outputs.append(sample * sigmoid(gate + weights["excite/bias"]))
    return np.stack(outputs)


# Signs differ, so that no sum grows and no ReLU or gate is always open.
MIXED = np.random.default_rng(5).normal


CASES = [
    Case(
        "locally_connected_1d_causal",
        lambda: layers.LocallyConnected1D(
            2, 3, strides=2, padding="causal", dilation_rate=2
        ),
        ((6, 9, 3),),
        causal_1d,
        {"kernel": MIXED(size=(5, 9, 2))},
    ),
    Case(
        "locally_connected_2d",
        lambda: layers.LocallyConnected2D(3, (2, 3), strides=(1, 2)),
        ((6, 4, 7, 2),),
        valid_2d,
        {"kernel": MIXED(size=(9, 12, 3))},
    ),
    Case(
        "locally_connected_2d_in_pieces",
        lambda: layers.LocallyConnected2D(
            4,
            (3, 2),
            strides=(2, 1),
            padding="same",
            data_format="channels_first",
            activation="relu",
            groups=2,
            patch_limit=100,
        ),
        ((6, 4, 7, 3),),
        same_2d_channels_first,
        {"kernel": MIXED(size=(12, 12, 4))},
    ),
    Case(
        "locally_connected_3d",
        lambda: layers.LocallyConnected3D(
            2, (2, 3, 1), strides=(1, 2, 2), padding=((1, 0), (0, 2), (0, 0))
        ),
        ((6, 3, 4, 3, 2),),
        padded_3d,
        {"kernel": MIXED(size=(12, 12, 2))},
    ),
    Case(
        "locally_connected_fusion",
        layers.LocallyConnectedFusion,
        ([(6, 4)] * 3,),
        fusion,
    ),
    Case(
        "locally_connected_fusion_of_maps",
        layers.LocallyConnectedFusion,
        ([(6, 2, 3, 4)] * 2,),
        fusion,
    ),
    Case(
        "locally_connected_fusion_per_position",
        lambda: layers.LocallyConnectedFusion(
            activation=None, use_bias=False, per_position=True
        ),
        ([(6, 2, 3, 4)] * 2,),
        fusion_per_position,
    ),
    Case(
        "mlp_conv",
        lambda: layers.MLPConv(
            [5, 3], 3, last_activation=None, data_format="channels_last"
        ),
        ((6, 4, 5, 2),),
        mlp_conv,
    ),
    Case(
        "squeeze_excite",
        lambda: layers.SqueezeExcite(ratio=2),
        ((6, 3, 4, 6),),
        squeeze_excite,
    ),
    Case(
        "text_gate",
        lambda: layers.TextGate(ratio=2),
        ((6, 3, 4, 6), (6, 5)),
        squeeze_excite,
    ),
]
