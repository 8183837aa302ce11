"""Bilinear pooling of vectors, bilinear attention over maps and sequences."""

import math

import numpy as np

from keras_fusion import layers
from tests.layers.case import Case


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def same(x):
    return x


def relu(x):
    return np.maximum(x, 0)


def signed_root_of_length_one(z):
    root = np.sign(z) * np.sqrt(np.abs(z))
    length = np.linalg.norm(root)
    return root / length if length else root


def affine(weights, name, x):
    bias = weights.get(f"{name}/bias", 0.0)
    return np.tensordot(x, weights[f"{name}/kernel"], axes=1) + bias


def each_sample(function):
    """Makes a reference of a function of one sample of each modality."""
    return lambda weights, xs: np.stack(
        [function(weights, list(sample)) for sample in zip(*xs, strict=True)]
    )


def low_rank(before=np.tanh, after=same, shortcut=False):
    def pool(weights, xs):
        product = math.prod(
            before(affine(weights, f"projection_{m}", x))
            for m, x in enumerate(xs)
        )
        output = affine(weights, "output", after(product))
        if shortcut:
            for m, x in enumerate(xs):
                output = output + affine(weights, f"shortcut_{m}", x)
        return output

    return each_sample(pool)


def factorized(units, rank, blocks):
    def pool(weights, xs):
        outputs = []
        width = units // blocks
        chain = np.ones(width * rank)
        for block in range(blocks):
            start = block * width * rank
            for m, x in enumerate(xs):
                whole = affine(weights, f"projection_{m}", x)
                chain = chain * whole[start : start + width * rank]
            windows = [chain[i * rank : (i + 1) * rank] for i in range(width)]
            pooled = np.array([window.sum() for window in windows])
            outputs.append(signed_root_of_length_one(pooled))
        return np.concatenate(outputs)

    return each_sample(pool)


def block_term(sizes, rank):
    """Block by block and slice by slice; `sizes` as groups of one width."""

    def fuse(weights, xs):
        projected = [
            affine(weights, f"projection_{m}", x) for m, x in enumerate(xs)
        ]
        blocks, start = [], 0
        for kind, (count, size) in enumerate(sizes):
            for c in range(count):
                block = np.zeros(size)
                for r in range(rank):
                    term = np.ones(size)
                    for m, p in enumerate(projected):
                        core = weights[f"core_{kind}_{m}/kernel"][c, :, r]
                        bias = weights[f"core_{kind}_{m}/bias"][c, r]
                        term *= core.T @ p[start : start + size] + bias
                    block += term
                blocks.append(signed_root_of_length_one(block))
                start += size
        return affine(weights, "output", np.concatenate(blocks))

    return each_sample(fuse)


def compact(units, after=signed_root_of_length_one):
    """The sketch of the outer product, entry by entry."""

    def pool(weights, xs):
        sketch = np.zeros(units)
        for entry in np.ndindex(*(len(x) for x in xs)):
            hash_index, term = 0, 1.0
            for m, i in enumerate(entry):
                hash_index += weights[f"places_{m}"][i]
                term *= weights[f"signs_{m}"][i] * xs[m][i]
            sketch[hash_index % units] += term
        return after(sketch)

    return each_sample(pool)


def bilinear_attention(before, after, out=None):
    """Query by query, glimpse by glimpse, cell by cell."""

    def pool_one(weights, query, value):
        cells = value.reshape(-1, value.shape[-1])
        text = before(query @ weights["query_kernel"])
        pooled = []
        for g in range(weights["score_kernel"].shape[1]):
            scores = []
            for cell in cells:
                joint = after(before(cell @ weights["value_kernel"]) * text)
                if out:
                    joint = joint @ weights["hidden_kernel"]
                    joint = out(joint + weights["hidden_bias"])
                scores.append(joint @ weights["score_kernel"][:, g])
            attention = softmax(np.array(scores))
            pooled.append(sum(a * f for a, f in zip(attention, cells)))  # noqa: B905
        return np.concatenate(pooled)

    def pool(weights, query, value):
        rows = []
        for x, f in zip(query, value, strict=True):
            if x.ndim == 1:
                rows.append(pool_one(weights, x, f))
            else:
                rows.append(np.stack([pool_one(weights, q, f) for q in x]))
        return np.stack(rows)

    return pool


def pairwise_attention(weights, query, value, activation=relu):
    """Acceptance case 8: the double loop over pairs."""
    refined = []
    for x, y in zip(query, value, strict=True):
        original = x
        for g, p in enumerate(weights["score_kernel"]):
            scores = np.empty((len(x), len(y)))
            for i in range(len(x)):
                for j in range(len(y)):
                    first = affine(weights, "query_attention", original[i])
                    second = affine(weights, "value_attention", y[j])
                    scores[i, j] = p @ (activation(first) * activation(second))
            attention = softmax(scores)
            joint = 0
            for i in range(len(x)):
                for j in range(len(y)):
                    first = affine(weights, f"query_{g}", x[i])
                    second = affine(weights, f"value_{g}", y[j])
                    product = activation(first) * activation(second)
                    joint = joint + attention[i, j] * product
            x = x + affine(weights, f"residual_{g}", joint)
        refined.append(x)
    return np.stack(refined)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gated_graph(weights, classes, steps=2):
    """Class by class, from the printed update."""
    adjacency = weights["adjacency"]

    def dense(name, x):
        return x @ weights[name]

    outputs = []
    for states in classes:
        for _ in range(steps):
            updated = []
            for c, h in enumerate(states):
                outgoing = sum(
                    adjacency[c, other] * states[other]
                    for other in range(len(states))
                )
                incoming = sum(
                    adjacency[other, c] * states[other]
                    for other in range(len(states))
                )
                m = np.concatenate([outgoing, incoming])
                gates = {
                    gate: sigmoid(
                        dense(f"{gate}_message", m)
                        + dense(f"{gate}_state", h)
                        + weights[f"{gate}_bias"]
                    )
                    for gate in ("update", "reset")
                }
                candidate = np.tanh(
                    dense("candidate_message", m)
                    + dense("candidate_state", gates["reset"] * h)
                    + weights["candidate_bias"]
                )
                z = gates["update"]
                updated.append((1 - z) * h + z * candidate)
            states = np.stack(updated)
        outputs.append(states)
    return np.stack(outputs)


CASES = [
    Case(
        "low_rank_bilinear_pooling",
        lambda: layers.LowRankBilinearPooling(4, rank=6),
        ([(6, 5), (6, 3)],),
        low_rank(),
    ),
    Case(
        "low_rank_bilinear_pooling_of_three_with_shortcut",
        lambda: layers.LowRankBilinearPooling(
            4, rank=6, shortcut=True, projection_bias=False
        ),
        ([(6, 5), (6, 3), (6, 4)],),
        low_rank(shortcut=True),
    ),
    Case(
        "low_rank_bilinear_pooling_activating_the_product",
        lambda: layers.LowRankBilinearPooling(4, rank=6, activate_product=True),
        ([(6, 5), (6, 3)],),
        low_rank(before=same, after=np.tanh),
    ),
    Case(
        "factorized_bilinear_pooling",
        lambda: layers.FactorizedBilinearPooling(4, rank=3, dropout=0.0),
        ([(6, 5), (6, 3)],),
        factorized(4, 3, 1),
    ),
    Case(
        "factorized_bilinear_pooling_of_three_in_blocks",
        lambda: layers.FactorizedBilinearPooling(
            6, rank=2, num_blocks=3, dropout=0.0
        ),
        ([(6, 5), (6, 3), (6, 4)],),
        factorized(6, 2, 3),
    ),
    Case(
        "block_term_fusion",
        lambda: layers.BlockTermFusion(
            3, projection_units=10, num_blocks=3, rank=2
        ),
        ([(6, 5), (6, 3)],),
        block_term([(2, 4), (1, 2)], 2),
    ),
    Case(
        "block_term_fusion_of_three",
        lambda: layers.BlockTermFusion(
            3, projection_units=6, num_blocks=2, rank=3
        ),
        ([(6, 5), (6, 3), (6, 4)],),
        block_term([(2, 3)], 3),
    ),
    Case(
        "compact_bilinear_pooling",
        lambda: layers.CompactBilinearPooling(16, normalize=False, seed=3),
        ([(6, 5), (6, 3)],),
        compact(16, after=same),
        weightless=True,
    ),
    Case(
        "compact_bilinear_pooling_of_three_into_an_odd_number",
        lambda: layers.CompactBilinearPooling(5, seed=3),
        ([(6, 5), (6, 3), (6, 2)],),
        compact(5),
        weightless=True,
    ),
    Case(
        "bilinear_attention",
        lambda: layers.BilinearAttention(rank=4),
        ((6, 3, 5), (6, 2, 4, 3)),
        bilinear_attention(same, np.tanh),
    ),
    Case(
        "bilinear_attention_chunked_with_hidden_units",
        lambda: layers.BilinearAttention(
            rank=4,
            num_glimpses=2,
            hidden_units=5,
            out_activation="tanh",
            # Two of three queries at a time: 6 positions of 5 numbers each.
            memory_limit=250 / 2**20,
        ),
        ((6, 3, 5), (6, 6, 3)),
        bilinear_attention(same, np.tanh, np.tanh),
        {"hidden_kernel": np.random.default_rng(5).normal(size=(4, 5))},
    ),
    Case(
        "bilinear_attention_glimpses_of_one_text",
        lambda: layers.BilinearAttention(
            rank=4, num_glimpses=3, activate_product=False
        ),
        ((6, 5), (6, 2, 4, 3)),
        bilinear_attention(np.tanh, same),
    ),
    Case(
        "pairwise_bilinear_attention",
        lambda: layers.PairwiseBilinearAttention(rank=4, num_glimpses=1),
        ((6, 3, 5), (6, 4, 2)),
        pairwise_attention,
        {"score_kernel": np.linspace(-0.05, 0.05, 12)[None]},
    ),
    Case(
        "pairwise_bilinear_attention_with_two_glimpses",
        lambda: layers.PairwiseBilinearAttention(
            rank=4, num_glimpses=2, attention_rank=5, activation="tanh"
        ),
        ((6, 3, 5), (6, 4, 2)),
        lambda weights, query, value: pairwise_attention(
            weights, query, value, activation=np.tanh
        ),
    ),
    Case(
        "gated_graph",
        lambda: layers.GatedGraph(num_steps=2),
        ((6, 4, 3),),
        gated_graph,
        {"adjacency": np.random.default_rng(5).uniform(size=(4, 4))},
    ),
]
