import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.models import CATEGORY_POOLINGS
from keras_fusion.models import label_cooccurrence
from keras_fusion.models import semantic_attention

every_pooling = pytest.mark.parametrize("pooling", CATEGORY_POOLINGS)
LOCAL = (
    "semantic_attention",
    "low_rank_attention",
    "multi_head_attention",
    "spatial_softmax",
)
GRAPH = [[0, 1, 0.5], [0.2, 0, 0], [0, 0.7, 0]]


def same(*shape):
    """A backbone that gives the map that it gets."""
    maps = keras.Input(shape)
    return keras.Model(maps, keras.layers.Activation("linear")(maps))


def small(pooling="semantic_attention", backbones=None, **arguments):
    sizes = {"num_categories": 3, "query_units": 4, "rank": 8, "units": 5}
    backbones = backbones or {"image": same(3, 4, 6)}
    return semantic_attention(backbones, pooling=pooling, **sizes | arguments)


def outputs_of(model, *maps):
    inputs = dict(zip(model.input, maps, strict=True))
    return {k: ops.convert_to_numpy(v) for k, v in model(inputs).items()}


def sizes_of(model):
    return {
        layer.name: sum(int(np.prod(w.shape)) for w in layer.trainable_weights)
        for layer in model.layers
    }


def test_published_sizes():
    model = semantic_attention(
        {"image": same(9, 9, 2048)},
        word_vectors=np.ones((80, 300)),
        hidden_units=1024,
        out_activation="linear",
    )
    sizes = sizes_of(model)
    # The bias of the published score drops out of the softmax; each published
    # gate has two biases of 2,048 that are only ever added.
    assert sizes["pooling"] + 1 == 3_454_977
    assert sizes["graph"] + 3 * 2048 == 37_761_024
    assert sizes["output"] == 8_390_656
    assert sizes["classifiers"] == 163_920
    assert sizes["queries"] == 0


def test_output_is_that_of_the_formula(rng):
    maps = rng.normal(size=(2, 3, 4, 6)).astype("float32")
    model = small(adjacency=GRAPH, graph_steps=1)
    outputs = outputs_of(model, maps)
    w = {
        f"{layer.name}/{v.name}": ops.convert_to_numpy(v).astype("float64")
        for layer in model.layers
        for v in layer.weights
    }
    cells = maps.reshape(2, 12, 6) @ w["pooling/value_kernel"]
    query = w["queries/vectors"] @ w["pooling/query_kernel"]
    product = np.tanh(cells[:, None] * query[None, :, None])
    scores = (product @ w["pooling/score_kernel"])[..., 0]
    weights = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(
        outputs["attention"], weights.reshape(2, 3, 3, 4), rtol=1e-4
    )
    before = weights @ maps.reshape(2, 12, 6)
    after = ops.convert_to_numpy(
        model.get_layer("graph")(before.astype("float32"))
    )
    joint = np.concatenate([after, before], axis=-1)
    x = np.tanh(joint @ w["output/kernel"] + w["output/bias"])
    expected = [
        x[:, c] @ w["classifiers/kernel"][c] + w["classifiers/bias"][c]
        for c in range(3)
    ]
    np.testing.assert_allclose(
        outputs["label"], np.transpose(expected), rtol=1e-3, atol=1e-5
    )
    assert np.ptp(after - before) > 1e-3


@every_pooling
def test_every_weight_learns_and_the_model_is_saved(rng, pooling, tmp_path):
    maps = rng.normal(size=(6, 3, 4, 6)).astype("float32")
    model = small(pooling, adjacency=GRAPH, num_glimpses=2)
    before = [ops.convert_to_numpy(w) for w in model.trainable_weights]
    model.compile(
        keras.optimizers.SGD(1.0),
        {"label": keras.losses.BinaryCrossentropy(from_logits=True)},
    )
    truth = {"label": rng.integers(2, size=(6, 3)).astype("float32")}
    if "attention" in model.output:
        truth["attention"] = np.zeros((6, 3, 1, 1), "float32")
    model.fit({"image": maps}, truth, epochs=3, verbose=0)
    for weight, old in zip(model.trainable_weights, before, strict=True):
        moved = np.abs(ops.convert_to_numpy(weight) - old).max()
        # All keys get the same from a bias, which the softmax drops.
        if "key/bias" not in weight.path:
            assert moved > 0, weight.path
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        outputs_of(loaded, maps)["label"],
        outputs_of(model, maps)["label"],
        rtol=1e-5,
        atol=1e-6,
    )


@every_pooling
def test_sizes_of_outputs_and_their_number_of_images(rng, pooling):
    model = small(pooling)
    for batch in (1, 3):
        outputs = outputs_of(model, rng.normal(size=(batch, 3, 4, 6)))
        assert outputs["label"].shape == (batch, 3)
        how = CATEGORY_POOLINGS[pooling]
        assert ("attention" in outputs) == how.has_maps
        if how.has_maps:
            assert outputs["attention"].shape == (batch, 3, 3, 4)
    assert ("graph" in sizes_of(model)) == how.per_category


@pytest.mark.parametrize("pooling", LOCAL)
def test_maps_are_shares_that_move_with_the_cells(rng, pooling):
    model, maps = small(pooling), rng.normal(size=(2, 3, 4, 6))
    outputs = outputs_of(model, maps)
    np.testing.assert_allclose(
        outputs["attention"].sum(axis=(2, 3)), 1, rtol=1e-5
    )
    mirrored = outputs_of(model, maps[:, :, ::-1])
    np.testing.assert_allclose(
        mirrored["attention"], outputs["attention"][..., ::-1], rtol=1e-4
    )
    np.testing.assert_allclose(
        mirrored["label"], outputs["label"], rtol=1e-4, atol=1e-5
    )


def test_class_activation_is_the_mean_of_its_maps(rng):
    outputs = outputs_of(
        small("class_activation"), rng.normal(size=(2, 3, 4, 6))
    )
    np.testing.assert_allclose(
        outputs["attention"].mean(axis=(2, 3)), outputs["label"], rtol=1e-4
    )


def test_the_graph_carries_what_another_category_sees(rng):
    maps = rng.normal(size=(2, 3, 4, 6))

    def changed(**arguments):
        model = small(**arguments)
        before = outputs_of(model, maps)["label"]
        vectors = model.get_layer("queries").vectors
        vectors.assign(
            vectors + np.eye(3, 4, dtype="float32") * [[3], [0], [0]]
        )
        return np.abs(outputs_of(model, maps)["label"] - before).max(axis=0)

    assert changed(graph_steps=0)[1:].tolist() == [0, 0]
    assert changed(adjacency=np.zeros((3, 3)))[1:].tolist() == [0, 0]
    assert np.all(changed(adjacency=GRAPH) > 0)


def test_word_vectors_stay_and_those_that_are_missing_are_learned(rng):
    words = rng.normal(size=(3, 7)).astype("float32")
    words[1] = np.nan
    model = small(word_vectors=words)
    layer = model.get_layer("queries")
    assert tuple(layer.vectors.shape) == (1, 7)
    table = ops.convert_to_numpy(layer(np.zeros((2, 1))))
    np.testing.assert_array_equal(table[0, [0, 2]], words[[0, 2]])
    np.testing.assert_array_equal(table[0, 1], layer.vectors[0])
    assert np.all(np.isfinite(table)) and np.any(table[0, 1])


def test_two_images_meet_at_the_map(rng):
    backbones = {"rgb": same(3, 4, 6), "depth": same(3, 4, 2)}
    model = small(backbones=backbones)
    color, depth = rng.normal(size=(2, 3, 4, 6)), rng.normal(size=(2, 3, 4, 2))
    outputs = outputs_of(model, color, depth)["label"]
    assert np.any(outputs_of(model, color, depth + 1)["label"] != outputs)
    assert np.any(outputs_of(model, color + 1, depth)["label"] != outputs)
    both = np.concatenate([color, depth], axis=-1)
    joined = small(backbones={"image": same(3, 4, 8)})
    joined.set_weights(model.get_weights())
    np.testing.assert_allclose(
        outputs_of(joined, both)["label"], outputs, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pooling": "nope"}, "`pooling` must be one of semantic_attention"),
        ({"word_vectors": np.ones((2, 4))}, "for 3 categories.*shape=\\(2, 4"),
        (
            {"adjacency": np.ones((2, 3))},
            "`adjacency` must be of shape \\(3, 3",
        ),
        ({"backbones": {"image": same(None, 4, 6)}}, "of one known height"),
        (
            {"backbones": {"a": same(3, 4, 6), "b": same(4, 4, 6)}},
            "of one known height .* of a, b",
        ),
    ],
)
def test_wrong_arguments_explain_themselves(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)
    with pytest.raises(ValueError, match="must hold one model"):
        semantic_attention({})


def test_cooccurrence_counts_what_is_known():
    labels = [[1, 1, 0], [1, 0, -1], [1, 1, 1], [0, 0, 1]]
    graph = label_cooccurrence(np.array(labels))
    # With the first there are three, of which two tell about the third.
    expected = [[0, 2 / 3, 1 / 2], [1, 0, 1 / 2], [1 / 2, 1 / 2, 0]]
    np.testing.assert_allclose(graph, expected, rtol=1e-6)
    none = label_cooccurrence(np.array([[1, 0], [0, 0]]))
    assert none.tolist() == [[0, 0], [0, 0]]
    with pytest.raises(ValueError, match="hold 1, 0 and -1"):
        label_cooccurrence(np.array([[2, 0]]))


def planted(rng, prototypes, count):
    """Noise of 6x6 cells; each category present has one cell of its own."""
    maps = rng.normal(0, 0.35, size=(count, 36, 16))
    present = rng.random((count, 6)) < 0.4
    cells = np.argsort(rng.random((count, 36)), axis=1)[:, :6]
    for category in range(6):
        images = np.flatnonzero(present[:, category])
        maps[images, cells[images, category]] += 2 * prototypes[category]
    maps = maps.reshape(count, 6, 6, 16).astype("float32")
    return maps, present.astype("float32"), cells


def average_precision(scores, truth):
    """At each positive example, how many of those above it are positive."""
    order = truth[np.argsort(-scores)]
    places = np.flatnonzero(order)
    return np.mean(np.arange(1, len(places) + 1) / (places + 1))


def test_case_11_the_model_finds_planted_cells_that_averages_drown(rng):
    prototypes = rng.normal(size=(6, 16))
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    words = rng.normal(size=(6, 8))
    maps, present, _ = planted(rng, prototypes, 4000)
    unseen, truth, cells = planted(rng, prototypes, 1000)
    scores = {}
    for pooling in ("semantic_attention", "global_average"):
        model = semantic_attention(
            {"image": same(6, 6, 16)},
            num_categories=6,
            pooling=pooling,
            word_vectors=words,
            rank=32,
            graph_steps=0,
            units=32,
        )
        model.compile(
            keras.optimizers.Adam(0.01),
            {"label": keras.losses.BinaryCrossentropy(from_logits=True)},
        )
        targets = {"label": present}
        if "attention" in model.output:
            targets["attention"] = np.zeros((4000, 6, 1, 1), "float32")
        model.fit(
            {"image": maps}, targets, batch_size=100, epochs=15, verbose=0
        )
        outputs = model.predict({"image": unseen}, batch_size=500, verbose=0)
        scores[pooling] = np.mean(
            [
                average_precision(outputs["label"][:, c], truth[:, c])
                for c in range(6)
            ]
        )
        if "attention" in outputs:
            shares = outputs["attention"].reshape(1000, 6, 36)
            found = (shares.argmax(axis=-1) == cells)[truth == 1]
            assert found.mean() >= 0.95
            mass = np.take_along_axis(shares, cells[..., None], axis=-1)
            assert mass[truth == 1].mean() >= 0.7
    assert scores["semantic_attention"] >= 0.97
    assert scores["global_average"] <= 0.8
