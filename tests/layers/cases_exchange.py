"""Channel exchange, the learned ensemble, gates between modalities."""

import numpy as np

from keras_fusion import layers
from tests.layers.case import Case


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def channel_exchange(weights, xs, threshold=0.02, axis=-1, replaced=None):
    """Channel by channel, from equation 6, with the statistics at rest."""
    if replaced is None:
        replaced = np.abs(weights["gamma"]) < threshold
    xs = [np.moveaxis(x, axis, -1) for x in xs]
    gamma, beta = weights["gamma"], weights["beta"]
    mean, variance = weights["moving_mean"], weights["moving_variance"]
    ys = [
        gamma[m] * (x - mean[m]) / np.sqrt(variance[m] + 1e-3) + beta[m]
        for m, x in enumerate(xs)
    ]
    outputs = [y.copy() for y in ys]
    for m in range(len(xs)):
        others = [k for k in range(len(xs)) if k != m]
        for c in range(xs[0].shape[-1]):
            if others and replaced[m, c]:
                donors = [ys[k][..., c] for k in others]
                outputs[m][..., c] = np.mean(donors, axis=0)
    return [np.moveaxis(y, -1, axis) for y in outputs]


def limited_exchange(weights, xs):
    """Of four channels the two weakest, and of these the penalized ones."""
    ranks = np.argsort(np.argsort(np.abs(weights["gamma"]), axis=1), axis=1)
    own_half = np.repeat(np.eye(2, dtype=bool), 2, axis=1)
    return channel_exchange(weights, xs, replaced=(ranks < 2) & own_half)


def instance_exchange(weights, xs):
    means = [x.mean(axis=(1, 2)) for x in xs]
    variances = [x.var(axis=(1, 2)) for x in xs]
    samples = [
        channel_exchange(
            {
                **weights,
                "moving_mean": np.stack([mean[i] for mean in means]),
                "moving_variance": np.stack([var[i] for var in variances]),
            },
            [x[i] for x in xs],
        )
        for i in range(len(xs[0]))
    ]
    return [np.stack(branch) for branch in zip(*samples, strict=True)]


def squeeze_excite_fusion(weights, xs):
    means = [x.reshape(len(x), -1, x.shape[-1]).mean(axis=1) for x in xs]
    z = np.concatenate(means, axis=1)
    hidden = np.maximum(
        0, z @ weights["squeeze/kernel"] + weights["squeeze/bias"]
    )
    outputs = []
    for m, x in enumerate(xs):
        gate = sigmoid(
            hidden @ weights[f"excite_{m}/kernel"] + weights[f"excite_{m}/bias"]
        )
        rows = [x[i] * gate[i] for i in range(len(x))]
        outputs.append(np.stack(rows))
    return outputs


TWO_GAMMAS = {
    "gamma": [[0.5, 0.0, -0.5, 0.02], [0.0, 0.3, 0.019, -0.02]],
    "beta": [[0.1, -0.2, 0.3, -0.4], [0.5, 0.6, -0.7, 0.8]],
}
THREE_GAMMAS = {
    "gamma": [[0.0, 1.0, 1.0], [1.0, 0.0, 0.01], [1.0, 0.0, 1.0]],
    "beta": [[0.1, -0.2, 0.3], [0.5, 0.6, -0.7], [0.2, 0.4, 0.6]],
}

CASES = [
    Case(
        "channel_exchange",
        lambda: layers.ChannelExchange(l1=0.01),
        ([(6, 3, 5, 4)] * 2,),
        channel_exchange,
        TWO_GAMMAS,
    ),
    Case(
        "channel_exchange_of_three_vectors",
        lambda: layers.ChannelExchange(threshold=0.02),
        ([(6, 3)] * 3,),
        channel_exchange,
        THREE_GAMMAS,
    ),
    Case(
        "channel_exchange_channels_first",
        lambda: layers.ChannelExchange(axis=1),
        ([(6, 4, 3, 5)] * 2,),
        lambda weights, xs: channel_exchange(weights, xs, axis=1),
        TWO_GAMMAS,
    ),
    Case(
        "channel_exchange_frozen",
        lambda: layers.ChannelExchange(frozen_statistics=True),
        ([(6, 3, 5, 4)] * 2,),
        channel_exchange,
        TWO_GAMMAS,
    ),
    Case(
        "channel_exchange_instance",
        lambda: layers.ChannelExchange(normalization="instance"),
        ([(6, 3, 5, 4)] * 2,),
        instance_exchange,
        TWO_GAMMAS,
    ),
    Case(
        "channel_exchange_limited",
        lambda: layers.ChannelExchange(
            threshold=10.0,
            penalized_only=True,
            minimum_kept=0.5,
            shrinkage=1e-4,
        ),
        ([(6, 3, 5, 4)] * 2,),
        limited_exchange,
        TWO_GAMMAS,
    ),
    Case(
        "channel_exchange_not_yet",
        lambda: layers.ChannelExchange(begin_step=10_000),
        ([(6, 3, 5, 4)] * 2,),
        lambda weights, xs: channel_exchange(weights, xs, threshold=0),
        TWO_GAMMAS,
    ),
    Case(
        "learned_ensemble",
        lambda: layers.LearnedEnsemble(stop_gradient=False),
        ([(6, 5, 3)] * 3,),
        lambda weights, xs: np.einsum(
            "m,mbij->bij", softmax(weights["alpha"]), np.stack(xs)
        ),
        {"alpha": [0.3, -1.0, 2.0]},
    ),
    Case(
        "squeeze_excite_fusion",
        lambda: layers.SqueezeExciteFusion(ratio=2),
        ([(6, 4, 4, 6), (6, 3, 2), (6, 8)],),
        squeeze_excite_fusion,
    ),
]
