import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import BilinearAttention
from tests.gradients import gradients
from tests.layers.precision import DOUBLE

pytestmark = pytest.mark.usefixtures("double_precision")


def attend(layer, query, value, **kwargs):
    pooled, weights = layer(
        query, value, return_attention_scores=True, **kwargs
    )
    return ops.convert_to_numpy(pooled), ops.convert_to_numpy(weights)


@pytest.fixture
def query(rng):
    return rng.normal(size=(2, 5, 3))


@pytest.fixture
def value(rng):
    return rng.normal(size=(2, 4, 6, 7))


def double(**kwargs):
    return BilinearAttention(8, dtype="float64", **kwargs)


def test_case_3_weights_sum_to_one_for_each_query(query, value):
    _, weights = attend(double(num_glimpses=2), query, value)
    assert weights.shape == (2, 5, 2, 4, 6)
    np.testing.assert_allclose(weights.sum(axis=(3, 4)), 1, rtol=DOUBLE)


def test_case_3_moving_cells_moves_weights_and_keeps_features(query, value):
    layer = double()
    pooled, weights = attend(layer, query, value)
    order = np.random.default_rng(2).permutation(24)
    moved = value.reshape(2, 24, 7)[:, order].reshape(value.shape)
    moved_pooled, moved_weights = attend(layer, query, moved)
    np.testing.assert_allclose(moved_pooled, pooled, rtol=DOUBLE)
    np.testing.assert_allclose(
        moved_weights.reshape(2, 5, 24),
        weights.reshape(2, 5, 24)[..., order],
        rtol=DOUBLE,
    )


def test_case_3_constant_map_is_returned_and_equal_queries_agree(query):
    feature = np.arange(7.0)
    layer = double()
    pooled, _ = attend(layer, query, np.broadcast_to(feature, (2, 3, 3, 7)))
    np.testing.assert_allclose(pooled, np.broadcast_to(feature, (2, 5, 7)))
    value = np.random.default_rng(3).normal(size=(2, 3, 3, 7))
    query[:, 1] = query[:, 4]
    pooled, _ = attend(layer, query, value)
    np.testing.assert_allclose(pooled[:, 1], pooled[:, 4], rtol=DOUBLE)


def test_case_3_without_query_kernel_it_is_global_average_pooling(query, value):
    layer = double()
    layer(query, value)
    layer.query_kernel.assign(np.zeros((3, 8)))
    pooled, _ = attend(layer, query, value)
    mean = value.mean(axis=(1, 2))
    np.testing.assert_allclose(pooled, np.stack([mean] * 5, 1), rtol=DOUBLE)


def test_case_3_published_equations_collapse_to_the_score_kernel(
    rng, query, value
):
    layer = double()
    _, weights = attend(layer, query, value)
    p, b = rng.normal(size=(8, 6)), rng.normal(size=6)
    w, c = rng.normal(size=(6, 1)), rng.normal()
    layer.score_kernel.assign(p @ w)
    _, weights = attend(layer, query, value)
    u, v = (ops.convert_to_numpy(k) for k in layer.weights[:2])
    joint = np.tanh(np.einsum("bhwf,fr,bqx,xr->bqhwr", value, u, query, v))
    scores = np.exp((joint @ p + b) @ w + c)[..., 0]
    expected = scores / scores.sum(axis=(2, 3), keepdims=True)
    # XLA computes `tanh` in double precision to seven digits.
    np.testing.assert_allclose(weights[:, :, 0], expected, rtol=1e-6)


def test_case_3_published_biases_have_no_gradient(rng, query, value):
    """Why the layer has no weights for `b` and for the bias of `f_a`."""
    u, v = rng.normal(size=(7, 8)), rng.normal(size=(3, 8))
    p, w = rng.normal(size=(8, 6)), rng.normal(size=(6, 1))
    joint = np.tanh(np.einsum("bhwf,fr,bqx,xr->bqhwr", value, u, query, v))
    upstream = rng.normal(size=(2, 5, 7))

    def pooled(p, b, c):
        scores = ops.matmul(ops.matmul(ops.array(joint), p) + b, w) + c
        weights = ops.softmax(ops.reshape(scores, (2, 5, 24)))
        maps = ops.reshape(ops.array(value), (2, 24, 7))
        return ops.array(upstream) * ops.matmul(weights, maps)

    by_p, by_b, by_c = gradients(
        pooled, p, rng.normal(size=6), rng.normal(size=1), dtype="float64"
    )
    smallest = np.abs(by_p).max() * DOUBLE
    assert np.abs(by_p).max() > 1e-3
    assert np.abs(by_b).max() < smallest
    assert np.abs(by_c).max() < smallest


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_case_3_only_an_activation_lets_the_bias_matter(
    rng, query, value, activation
):
    layer = double(hidden_units=6, out_activation=activation)
    before, _ = attend(layer, query, value)
    layer.hidden_bias.assign(rng.normal(size=6))
    after, _ = attend(layer, query, value)
    moved = np.abs(after - before).max()
    assert moved > 1e-3 if activation == "relu" else moved < DOUBLE


def test_out_activation_is_more_than_a_score_kernel(query, value):
    linear = double(hidden_units=6, out_activation="linear")
    bent = double(hidden_units=6, out_activation="relu")
    for layer in (linear, bent):
        layer(query, value)
    bent.set_weights(linear.get_weights())
    collapsed = double()
    collapsed(query, value)
    collapsed.value_kernel.assign(linear.value_kernel)
    collapsed.query_kernel.assign(linear.query_kernel)
    collapsed.score_kernel.assign(
        ops.matmul(linear.hidden_kernel, linear.score_kernel)
    )
    expected, _ = attend(collapsed, query, value)
    np.testing.assert_allclose(
        attend(linear, query, value)[0], expected, rtol=DOUBLE
    )
    assert np.abs(attend(bent, query, value)[0] - expected).max() > 1e-3


@pytest.mark.parametrize(
    "arguments",
    [{}, {"hidden_units": 6, "out_activation": "tanh", "num_glimpses": 3}],
)
@pytest.mark.parametrize("at_once", [1, 2, 3, 4])
def test_case_4_chunks_do_not_change_values_or_gradients(
    query, value, arguments, at_once
):
    memory = at_once * 24 * 8 * 8 / 2**20
    whole = double(memory_limit=None, **arguments)
    parts = double(memory_limit=memory, **arguments)
    expected = attend(whole, query, value)
    parts(query, value)
    assert parts._queries_at_once(5, (4, 6)) == at_once
    parts.set_weights(whole.get_weights())
    for one, other in zip(attend(parts, query, value), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=DOUBLE)

    trained = []
    for layer in (whole, parts):
        inputs = [
            keras.Input(x.shape[1:], dtype="float64") for x in (query, value)
        ]
        model = keras.Model(inputs, layer(*inputs))
        model.compile(keras.optimizers.SGD(1.0), "mse")
        model.fit(
            [query, value], np.ones((2, 5, model.output_shape[-1])), verbose=0
        )
        trained.append(layer.get_weights())
    for one, other in zip(*trained, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_case_4_masked_cells_get_no_weight(query, value):
    layer = double()
    mask = np.zeros((2, 4, 6), "bool")
    mask[0, 1:3, 2:] = True
    pooled, weights = attend(layer, query, value, value_mask=mask)
    assert np.all(weights[:, :, 0][:, :, ~mask[0]][0] == 0)
    seen, _ = attend(layer, query[:1], value[:1, 1:3, 2:])
    np.testing.assert_allclose(pooled[0], seen[0], rtol=DOUBLE)
    # No valid cell at all.
    assert np.all(pooled[1] == 0) and np.all(weights[1] == 0)


def test_mask_of_a_sequence_arrives_by_itself(query):
    tokens = np.array([[1, 2, 0, 0], [3, 0, 0, 0]])
    embedded = keras.layers.Embedding(5, 7, mask_zero=True)(tokens)
    layer = BilinearAttention(8)
    pooled, weights = attend(layer, query, embedded)
    assert np.array_equal(weights[:, 0, 0] > 0, tokens > 0)
    # A product with weights of 1 and 0 rounds, on some processors.
    token = np.tile(ops.convert_to_numpy(embedded)[1, 0], (len(query[1]), 1))
    np.testing.assert_allclose(pooled[1], token, rtol=1e-6)


def test_queries_of_all_samples_and_unknown_sizes(rng):
    labels = rng.normal(size=(1, 5, 3)).astype("float32")
    value = rng.normal(size=(4, 3, 6, 7)).astype("float32")
    layer = BilinearAttention(8)
    maps = keras.Input((None, None, 7))
    model = keras.Model(maps, layer(labels, maps))
    expected, _ = attend(layer, np.repeat(labels, 4, axis=0), value)
    shared, _ = attend(layer, labels, value)
    np.testing.assert_allclose(shared, expected, rtol=1e-5)
    predicted = model.predict(value, verbose=0)
    np.testing.assert_allclose(predicted, expected, rtol=1e-4, atol=1e-6)


def test_one_query_a_sample_is_the_first_of_one(query, value):
    layer = double(num_glimpses=2, activate_product=False)
    pooled, weights = attend(layer, query[:, :1], value)
    single, maps = attend(layer, query[:, 0], value)
    np.testing.assert_array_equal(single, pooled[:, 0])
    np.testing.assert_array_equal(maps, weights[:, 0])


def test_wrong_arguments_explain_themselves(query, value):
    with pytest.raises(ValueError, match="must be given together"):
        BilinearAttention(4, hidden_units=8)
    with pytest.raises(ValueError, match="`value` .* must have at least 3"):
        BilinearAttention(4)(query, value[:, 0, 0])
    with pytest.raises(ValueError, match="`query` .* must have 2 or 3"):
        BilinearAttention(4)(value, value)


def planted_cells(rng, prototypes, size):
    present = rng.random((size, 6)) < 0.4
    cells = rng.integers(36, size=(size, 6))
    maps = rng.normal(scale=0.35, size=(size, 36, 16))
    for image, category in np.argwhere(present):
        maps[image, cells[image, category]] += 2 * prototypes[category]
    maps = maps.reshape(size, 6, 6, 16).astype("float32")
    return maps, present.astype("float32"), cells


def average_precision(scores, labels):
    hits = labels[np.argsort(-scores)]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return precision[hits == 1].mean()


def classified(features, maps, images, present):
    """Trains one linear classifier a category on `(6, 16)` features."""
    scores = keras.layers.EinsumDense("bcf,cf->bc", 6, bias_axes="c")
    model = keras.Model(maps, scores(features))
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    model.fit(images, present, batch_size=100, epochs=15, verbose=0)
    return model


def mean_average_precision(model, images, present):
    scores = model.predict(images, batch_size=500, verbose=0)
    return np.mean(
        [average_precision(scores[:, c], present[:, c]) for c in range(6)]
    )


def test_case_11_finds_planted_cells_that_pooling_drowns(rng):
    prototypes = rng.normal(size=(6, 16))
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    labels = rng.normal(size=(1, 6, 8)).astype("float32")
    images, present, _ = planted_cells(rng, prototypes, 4000)
    unseen, truth, cells = planted_cells(rng, prototypes, 1000)

    maps = keras.Input((6, 6, 16))
    attention = BilinearAttention(32)
    model = classified(attention(labels, maps), maps, images, present)
    assert mean_average_precision(model, unseen, truth) >= 0.97
    _, weights = attend(attention, labels, unseen)
    weights = weights.reshape(1000, 6, 36)
    right = np.argmax(weights, axis=-1) == cells
    assert right[truth == 1].mean() >= 0.95
    mass = np.take_along_axis(weights, cells[..., None], axis=-1)[..., 0]
    assert mass[truth == 1].mean() >= 0.7

    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    copies = keras.layers.RepeatVector(6)(pooled)
    pooling = classified(copies, maps, images, present)
    assert mean_average_precision(pooling, unseen, truth) <= 0.8
