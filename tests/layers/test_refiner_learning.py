"""What refining learns, on the synthetic problems of its reference note.

All variants of a problem are trained side by side, in one model.
"""

import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion import losses
from keras_fusion.layers import Refiner
from tests.layers.cases_refiner import dense_fusion

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="minutes of steps without TensorFlow's graphs",
)


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def cosine(x, y):
    return np.mean(np.sum(unit(x) * unit(y), axis=1))


def own_target_is_nearest(targets, rebuilt):
    nearest = np.argmax(unit(rebuilt) @ unit(targets).T, axis=1)
    return np.mean(nearest == np.arange(len(targets)))


def effective_rank(u):
    values = np.linalg.svd(u - u.mean(axis=0), compute_uv=False) ** 2
    share = values / values.sum()
    return np.exp(-np.sum(share * np.log(share + 1e-30)))


def train(outputs, inputs, x, schedule, batch_size, epochs):
    model = keras.Model(inputs, outputs)
    model.compile(
        keras.optimizers.Adam(schedule),
        steps_per_execution=-(-len(x[0]) // batch_size),
        jit_compile=False,
    )
    model.fit(x, batch_size=batch_size, epochs=epochs, verbose=0)


class Variant:
    """Encoders of two modalities, a refiner, and what it rebuilds."""

    def __init__(self, inputs, units, raw=True, frozen="nothing", **arguments):
        self.encoders = [keras.layers.Dense(16, "tanh") for _ in inputs]
        fusion = dense_fusion([(16,), (16,)], units)
        self.refiner = Refiner(fusion, loss_weights=1.0, **arguments)
        self.raw = raw
        u = [encode(x) for encode, x in zip(self.encoders, inputs, strict=True)]
        self.output = self.refiner(u, targets=inputs if raw else None)
        if frozen == "encoders":
            for encoder in self.encoders:
                encoder.trainable = False
        if frozen == "defusers":
            for defuser in self.refiner.defusers:
                defuser.trainable = False

    def encode(self, x):
        pairs = zip(self.encoders, x, strict=True)
        return [ops.convert_to_numpy(encode(part)) for encode, part in pairs]

    def targets(self, x):
        return x if self.raw else self.encode(x)

    def rebuild(self, x):
        fused = self.refiner.fusion(self.encode(x))
        return list(map(ops.convert_to_numpy, self.refiner.defuse(fused)))

    def cosines(self, x):
        return [
            cosine(*pair)
            for pair in zip(self.targets(x), self.rebuild(x), strict=True)
        ]

    def retrieval(self, x):
        x = [part[:256] for part in x]
        return [
            own_target_is_nearest(*pair)
            for pair in zip(self.targets(x), self.rebuild(x), strict=True)
        ]


def two_views(samples):
    """Section 8: three shared latents, three of each modality's own."""
    rng = np.random.default_rng(0)
    shared, *private = rng.normal(size=(3, samples, 3))
    views = []
    for own, width in zip(private, (20, 30), strict=True):
        mixing = rng.normal(size=(6, width)) / np.sqrt(6)
        view = np.tanh(np.concatenate([shared, own], axis=1) @ mixing)
        view = view + 0.05 * rng.normal(size=view.shape)
        views.append(view.astype("float32"))
    return views


@pytest.fixture(scope="module")
def views():
    data = two_views(5000)
    return [x[:4000] for x in data], [x[4000:] for x in data]


@pytest.fixture(scope="module")
def variants(views):
    keras.utils.set_random_seed(0)
    inputs = [keras.Input((20,)), keras.Input((30,))]
    kinds = {
        "cosine": losses.RefinerCosineLoss(),
        "contrastive": losses.RefinerContrastiveLoss(),
        "multi_similarity": losses.RefinerMultiSimilarityLoss(),
    }
    made = {
        (kind, units): Variant(inputs, units, loss=loss)
        for kind, loss in kinds.items()
        for units in (4, 9, 32)
        if (kind, units) != ("multi_similarity", 9)
    }
    made["frozen defusers"] = Variant(inputs, 32, frozen="defusers")
    made["frozen encoders"] = Variant(inputs, 4, raw=False, frozen="encoders")
    made["free targets"] = Variant(inputs, 4, raw=False, stop_gradient=False)
    outputs = [variant.output for variant in made.values()]
    train(outputs, inputs, views[0], 2e-3, batch_size=128, epochs=60)
    return made


# Case 12.
def test_wide_enough_fusion_keeps_both_modalities(variants, views):
    _, test = views
    assert min(variants["cosine", 32].cosines(test)) > 0.98
    assert min(variants["cosine", 9].cosines(test)) > 0.95
    assert max(variants["cosine", 4].cosines(test)) < 0.85
    for x in test:
        constant = unit(x).mean(axis=0, keepdims=True)
        assert cosine(x, np.repeat(constant, len(x), axis=0)) < 0.1


def test_frozen_defusers_are_found_out(variants, views):
    assert variants["frozen defusers"].cosines(views[1])[1] < 0.8


# Case 13.
def test_targets_with_gradient_shrink_and_frozen_ones_do_not(variants, views):
    _, test = views
    free, frozen = variants["free targets"], variants["frozen encoders"]
    assert min(free.cosines(test)) > 0.99
    assert max(map(effective_rank, free.encode(test))) < 2.5
    assert max(frozen.cosines(test)) < 0.85
    assert min(map(effective_rank, frozen.encode(test))) > 4.5


# Case 14.
def test_own_target_is_the_nearest_of_256(variants, views):
    _, test = views
    assert min(variants["contrastive", 32].retrieval(test)) > 0.97
    assert min(variants["contrastive", 9].retrieval(test)) > 0.95
    assert min(variants["multi_similarity", 32].retrieval(test)) > 0.9
    for kind in ("cosine", "contrastive", "multi_similarity"):
        assert max(variants[kind, 4].retrieval(test)) < 0.5


WIDTHS = (6, 4)


def message_passing(refiner):
    """The matrix A of section 6, from the weights."""
    fuse = refiner.fusion.get_layer("dense_fusion").kernel
    defuse = [
        ops.convert_to_numpy(defuser.kernel) for defuser in refiner.defusers
    ]
    return (ops.convert_to_numpy(fuse) @ np.concatenate(defuse, axis=1)).T


def blocks(matrix):
    edges = [0, 6, 10]
    return [
        [
            matrix[edges[m] : edges[m + 1], edges[n] : edges[n + 1]]
            for n in range(2)
        ]
        for m in range(2)
    ]


def strengths(matrix):
    return np.array(
        [
            [np.linalg.norm(block) / np.sqrt(len(block)) for block in row]
            for row in blocks(matrix)
        ]
    )


def two_vectors():
    """Ten correlated features; six of their directions hold the most."""
    rng = np.random.default_rng(1)
    spread = np.array([2, 1.9, 1.8, 1.7, 1.6, 1.5, 0.7, 0.6, 0.5, 0.4])
    turn = np.linalg.qr(rng.normal(size=(10, 10)))[0]
    u = (rng.normal(size=(512, 10)) * spread) @ turn
    u = (u - u.mean(axis=0)).astype("float32")
    return [u[:, :6], u[:, 6:]]


@pytest.fixture(scope="module")
def linear():
    keras.utils.set_random_seed(0)
    inputs = [keras.Input((width,)) for width in WIDTHS]

    def made(units, **arguments):
        return Refiner(dense_fusion([(6,), (4,)], units), **arguments)

    refiners = {
        "cosine": made(10, loss_weights=1.0),
        "cosine, wide": made(16, loss_weights=1.0),
        # A weight for each feature, because Keras's error is their mean.
        "error": made(10, loss="mse", loss_weights=(6.0, 4.0)),
        "error, narrow": made(6, loss="mse", loss_weights=(6.0, 4.0)),
    }
    schedule = keras.optimizers.schedules.CosineDecay(2e-2, 3000)
    outputs = [refiner(inputs) for refiner in refiners.values()]
    x = two_vectors()
    train(outputs, inputs, x, schedule, batch_size=64, epochs=375)
    return refiners


# Case 17.
@pytest.mark.parametrize("name", ["cosine", "cosine, wide"])
def test_cosine_makes_each_modality_answer_for_itself(linear, name):
    matrix = message_passing(linear[name])
    strength = strengths(matrix)
    assert strength[0, 1] < 0.02 * strength[1, 1]
    assert strength[1, 0] < 0.02 * strength[0, 0]
    for m in range(2):
        block = blocks(matrix)[m][m]
        assert np.linalg.cond(block) < 1.05
        assert np.all(np.diag(block) > 0)


def test_error_makes_message_passing_the_identity(linear):
    matrix = message_passing(linear["error"])
    assert np.linalg.norm(matrix - np.eye(10)) < 0.02


# Case 18.
def test_narrow_fusion_keeps_the_principal_directions(linear):
    u = np.concatenate(two_vectors(), axis=1).astype("float64")
    directions = np.linalg.svd(u)[2][:6]
    projector = directions.T @ directions
    difference = message_passing(linear["error, narrow"]) - projector
    assert np.linalg.norm(difference) < 0.05 * np.linalg.norm(projector)


# Case 20.
@pytest.mark.parametrize("name", ["cosine, wide", "error, narrow"])
def test_measured_graph_is_that_of_the_weights(linear, name):
    x = [part[:5] for part in two_vectors()]
    np.testing.assert_allclose(
        linear[name].modality_graph(x),
        strengths(message_passing(linear[name])),
        atol=1e-4,
    )


def test_graph_shows_a_modality_that_the_fusion_ignores(rng):
    fusion = dense_fusion([(6,), (4,)], 5)
    kernel, bias = fusion.get_layer("dense_fusion").get_weights()
    kernel[6:] = 0
    fusion.get_layer("dense_fusion").set_weights([kernel, bias])
    layer = Refiner(fusion, hidden_units=(8,), activation="tanh")
    x = [part[:5] for part in two_vectors()]
    layer(x)
    graph = layer.modality_graph(x)
    assert np.all(graph[:, 0] > 0.05)
    assert not np.any(graph[:, 1])


# Case 19.
def test_fused_similarities_are_sums_or_bounded_by_singular_values(rng):
    u = two_vectors()
    frame = np.linalg.qr(rng.normal(size=(12, 10)))[0].T
    weights = {
        "tight": frame * np.sqrt([2.0] * 6 + [0.5] * 4)[:, None],
        "general": rng.normal(size=(10, 12)),
    }
    fusion = dense_fusion([(6,), (4,)], 12)
    fused = {}
    for name, kernel in weights.items():
        fusion.get_layer("dense_fusion").set_weights([kernel, np.zeros(12)])
        fused[name] = ops.convert_to_numpy(Refiner(fusion)(u))
    z = fused["tight"]
    both = 2.0 * u[0] @ u[0].T + 0.5 * u[1] @ u[1].T
    np.testing.assert_allclose(z @ z.T, both, rtol=1e-4, atol=1e-4)

    def moved(x):
        return np.sum((x[1:] - x[:-1]) ** 2, axis=1)

    ratio = moved(fused["general"]) / (moved(u[0]) + moved(u[1]))
    singular = np.linalg.svd(weights["general"], compute_uv=False)
    assert ratio.min() >= singular[-1] ** 2
    assert ratio.max() <= singular[0] ** 2


def neighbors(x, count=10):
    square = np.sum((x[:, None] - x[None]) ** 2, axis=2)
    np.fill_diagonal(square, np.inf)
    return np.argsort(square, axis=1)[:, :count]


def overlap(x, y):
    pairs = zip(neighbors(x), neighbors(y), strict=True)
    return np.mean([len(set(a) & set(b)) / len(a) for a, b in pairs])


# Case 21, with independent modalities.
def test_fused_neighbors_are_neighbors_in_every_modality(linear, rng):
    u = [rng.normal(size=(800, width)).astype("float32") for width in WIDTHS]
    chance = 10 / 799
    z = ops.convert_to_numpy(linear["error"].fusion(u))
    assert min(overlap(z, x) for x in u) > 5 * chance
    one_sided = u[0] @ rng.normal(size=(6, 10))
    assert overlap(one_sided, u[1]) <= 2 * chance
