"""Vector fusions, and modulation by a vector."""

import functools
import math

import numpy as np

from keras_fusion import layers
from tests.layers.case import Case


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def bimodal_unit(weights, xs):
    """The published form for two modalities, whose gates are z and 1 - z."""
    both = np.concatenate(xs, axis=1)
    z = sigmoid(both @ weights["gate/kernel"])
    first, second = (
        np.tanh(x @ weights[f"proposal_{m}/kernel"]) for m, x in enumerate(xs)
    )
    return z * first + (1 - z) * second


def general_unit(weights, xs):
    """The published form for more, with one gate after the other."""
    together = np.concatenate(xs, axis=1)
    gates = np.split(weights["gate/kernel"], len(xs), axis=1)
    return sum(
        sigmoid(together @ gates[m])
        * np.tanh(x @ weights[f"proposal_{m}/kernel"])
        for m, x in enumerate(xs)
    )


def after_one(x):
    return np.concatenate([np.ones((len(x), 1)), x], axis=1)


def tensor_fusion(weights, xs):
    """Forms the outer product of every sample."""
    return np.stack(
        [
            functools.reduce(np.kron, sample) @ weights["kernel"]
            for sample in zip(*map(after_one, xs), strict=True)
        ]
    )


def low_rank_tensor_fusion(weights, xs, rank=3):
    """Sums the products of the factors to the tensor, and applies that."""
    factors = [
        np.split(weights[f"factor_{m}"], rank, axis=1) for m in range(len(xs))
    ]
    units = len(weights["bias"])
    kernel = np.zeros((math.prod(f[0].shape[0] for f in factors), units))
    for r, weight in enumerate(weights["rank_weights"]):
        for u in range(units):
            columns = [factor[r][:, u] for factor in factors]
            kernel[:, u] += weight * functools.reduce(np.kron, columns)
    return tensor_fusion({"kernel": kernel}, xs) + weights["bias"]


def normalize(x, weights, name):
    x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + 1e-6)
    return x * weights[f"{name}/gamma"] + weights[f"{name}/beta"]


def gelu(x):
    return x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def attend(queries, tokens, weights, name):
    """One query and one head at a time; all tokens are attended to."""
    query, key, value, output = (
        weights[f"{name}/{part}/kernel"]
        for part in ("query", "key", "value", "attention_output")
    )
    updates = np.zeros((len(queries), output.shape[-1]))
    for i, state in enumerate(queries):
        for head in range(query.shape[1]):
            scores = (tokens @ key[:, head]) @ (state @ query[:, head])
            scores = np.exp(scores / math.sqrt(query.shape[2]))
            scores = scores / scores.sum()
            mean = scores @ (tokens @ value[:, head])
            updates[i] += mean @ output[head]
    return updates


def transformer_fusion(weights, xs, presence=None, blocks=2):
    """Sample by sample; absent modalities are left out altogether."""
    outputs = []
    for n in range(len(xs[0])):
        tokens = [weights["fusion_token"][None]]
        for m, x in enumerate(xs):
            if presence is None or presence[n, m]:
                kernel = weights[f"projection_{m}/kernel"]
                bias = weights[f"projection_{m}/bias"]
                tokens.append(np.atleast_2d(x[n]) @ kernel + bias)
        state = np.concatenate(tokens)
        for i in range(blocks):
            normal = normalize(state, weights, f"attention_norm_{i}")
            state = state + attend(normal, normal, weights, f"attention_{i}")
            hidden = normalize(state, weights, f"dense_norm_{i}")
            hidden = hidden @ weights[f"expanding_{i}/kernel"]
            hidden = gelu(hidden + weights[f"expanding_{i}/bias"])
            hidden = hidden @ weights[f"contracting_{i}/kernel"]
            state = state + hidden + weights[f"contracting_{i}/bias"]
        outputs.append(normalize(state, weights, "output_norm")[0])
    return np.stack(outputs)


def film(weights, x, conditioning, axis=-1):
    parameters = conditioning @ weights["generator/kernel"]
    parameters = parameters + weights["generator/bias"]
    x = np.moveaxis(x, axis, -1)
    channels = x.shape[-1]
    outputs = [
        sample * (1 + row[:channels]) + row[channels:]
        for sample, row in zip(x, parameters, strict=True)
    ]
    return np.moveaxis(np.stack(outputs), -1, axis)


def small(*shape, scale=0.05):
    """Values that keep products of inputs in the range of float16."""
    return scale * np.random.default_rng(7).normal(size=shape)


CASES = [
    Case(
        "bimodal_unit",
        lambda: layers.GatedMultimodalUnit(5),
        ([(6, 3), (6, 4)],),
        bimodal_unit,
    ),
    Case(
        "gated_multimodal_unit",
        lambda: layers.GatedMultimodalUnit(5, tied_gates=False),
        ([(6, 3), (6, 4), (6, 2)],),
        general_unit,
    ),
    Case(
        "tensor_fusion",
        lambda: layers.TensorFusion(5),
        ([(6, 3), (6, 4), (6, 2)],),
        tensor_fusion,
        {"kernel": small(60, 5, scale=1e-3)},
    ),
    Case(
        "low_rank_tensor_fusion",
        lambda: layers.LowRankTensorFusion(2, rank=3),
        ([(6, 3), (6, 4), (6, 2)],),
        low_rank_tensor_fusion,
        {
            f"factor_{m}": small(1 + d, 6, scale=0.15)
            for m, d in enumerate((3, 4, 2))
        },
    ),
    Case(
        "transformer_fusion",
        lambda: layers.TransformerFusion(8, num_heads=2),
        ([(6, 3), (6, 4), (6, 2)],),
        transformer_fusion,
    ),
    Case(
        "transformer_fusion_of_sequences",
        lambda: layers.TransformerFusion(8, num_blocks=1, expansion=2),
        ([(6, 3), (6, 5, 4)], (6, 2)),
        lambda *arguments: transformer_fusion(*arguments, blocks=1),
        indices={2: 2},
    ),
    Case(
        "film",
        layers.FiLM,
        ((6, 4, 5, 3), (6, 4)),
        film,
        {"kernel": small(4, 6)},
    ),
    Case(
        "film_channels_first",
        lambda: layers.FiLM(axis=1),
        ((6, 3, 5), (6, 4)),
        lambda *arguments: film(*arguments, axis=1),
        {"kernel": small(4, 6)},
    ),
]
