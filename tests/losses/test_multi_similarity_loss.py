import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.losses import MultiSimilarityLoss
from tests.gradients import gradients

no_float64 = pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="float64 is off"
)


def on_circle(*degrees):
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def values(loss, labels, embeddings, dtype="float32"):
    y_true = ops.convert_to_tensor(np.asarray(labels), dtype=dtype)
    y_pred = ops.convert_to_tensor(embeddings, dtype=dtype)
    return ops.convert_to_numpy(loss.call(y_true, y_pred))


def shares_a_label(labels):
    if labels.ndim == 1:
        return labels[:, None] == labels
    return np.array([[np.any(a * b > 0) for b in labels] for a in labels])


def one_pair_at_a_time(labels, x, a=2.0, b=50.0, base=0.5, margin=0.1):
    """Section 5 as it is written, in float64."""
    x = x.astype("float64")
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    s, same = x @ x.T, shares_a_label(labels)
    known = np.all(labels.reshape(len(labels), -1) >= 0, axis=1)
    losses, kept = [], []
    for i in range(len(x)):
        others = [j for j in range(len(x)) if j != i and known[j] and known[i]]
        positive = [s[i, j] for j in others if same[i, j]]
        negative = [s[i, j] for j in others if not same[i, j]]
        if margin is not None:
            top, low = max(negative, default=-9), min(positive, default=9)
            positive = [v for v in positive if v < top + margin]
            negative = [v for v in negative if v > low - margin]
        pull = sum(np.exp(-a * (v - base)) for v in positive)
        push = sum(np.exp(b * (v - base)) for v in negative)
        losses.append(np.log1p(pull) / a + np.log1p(push) / b)
        kept.append((len(positive), len(negative)))
    return np.array(losses), kept


# Section 10, computed by hand: unit vectors in a plane.
FIVE = on_circle(0, 20, 40, 60, 80)
LABELS = np.array([0, 0, 1, 1, 2])
ROWS = np.array([[1, 0, 1], [1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1]])


@pytest.mark.parametrize(
    ("arguments", "labels", "expected"),
    [
        ({}, LABELS, 0.3679624843),
        ({"margin": None}, LABELS, 0.5438289381),
        ({"threshold": 1.0}, LABELS, 0.2271559499),
        ({"threshold": 1.0, "margin": None}, LABELS, 0.3028747916),
        ({"negative_scale": 40.0}, LABELS, 0.3679624846),
        ({"negative_scale": 40.0}, LABELS[:4], 0.3066354038),
        ({}, ROWS, 0.6458454991),
    ],
)
def test_golden_mean(arguments, labels, expected):
    loss = MultiSimilarityLoss(**arguments)
    mean = float(loss(labels, FIVE[: len(labels)].astype("float32")))
    assert mean == pytest.approx(expected, abs=1e-6)


def test_golden_values_of_each_anchor():
    mined = values(MultiSimilarityLoss(), LABELS, FIVE)
    half = 0.61327081
    np.testing.assert_allclose(mined, [0, half, half, half, 0], atol=1e-6)
    # Positives relative to the anchor itself, not to sample 0.
    multi = values(MultiSimilarityLoss(), ROWS, FIVE)
    expected = [0.949183, 0.612618, 0.786873, 0.880554, 0]
    np.testing.assert_allclose(multi, expected, atol=2e-6)


def batches(rng):
    for _ in range(20):
        samples, classes = rng.integers(2, 13), rng.integers(1, 5)
        labels = rng.integers(-1, classes, size=samples)
        x = rng.normal(size=(samples, rng.integers(2, 6)))
        yield labels, x.astype("float32")


@pytest.mark.parametrize("margin", [0.1, None])
def test_agrees_with_a_loop_over_pairs(rng, margin):
    loss = MultiSimilarityLoss(margin=margin)
    for labels, x in batches(rng):
        expected, kept = one_pair_at_a_time(labels, x, margin=margin)
        np.testing.assert_allclose(
            values(loss, labels, x), expected, rtol=1e-5, atol=1e-6
        )
        if margin is not None:
            assert all((p == 0) == (n == 0) for p, n in kept)


def test_multi_label_agrees_with_a_loop_over_pairs(rng):
    for _ in range(5):
        labels = rng.integers(2, size=(9, 4))
        labels[3] = -1
        x = rng.normal(size=(9, 3)).astype("float32")
        np.testing.assert_allclose(
            values(MultiSimilarityLoss(), labels, x),
            one_pair_at_a_time(labels, x)[0],
            rtol=1e-5,
            atol=1e-6,
        )


def test_one_hot_rows_are_single_labels(rng):
    labels = rng.integers(3, size=10)
    x = rng.normal(size=(10, 4))
    loss = MultiSimilarityLoss()
    single = values(loss, labels, x)
    np.testing.assert_array_equal(values(loss, np.eye(3)[labels], x), single)
    np.testing.assert_array_equal(values(loss, labels[:, None], x), single)


def test_order_moves_with_the_samples_and_length_does_not_matter(rng):
    labels, x = rng.integers(3, size=10), rng.normal(size=(10, 4))
    loss, order = MultiSimilarityLoss(), rng.permutation(10)
    before = values(loss, labels, x)
    after = values(loss, labels[order], x[order])
    np.testing.assert_allclose(after, before[order], rtol=1e-5, atol=1e-6)
    longer = values(loss, labels, x * rng.uniform(0.5, 9, size=(10, 1)))
    np.testing.assert_allclose(longer, before, rtol=1e-5, atol=1e-6)


def test_nothing_is_learnt_from_one_class_or_from_all_different(rng):
    x = rng.normal(size=(6, 3))
    for labels in (np.zeros(6), np.arange(6), np.full(6, -1)):
        assert not np.any(values(MultiSimilarityLoss(), labels, x))


def test_unlabeled_rows_change_neither_value_nor_gradient(rng):
    labels = np.array([0, 1, 0, 1])
    x = rng.normal(size=(4, 3)).astype("float32")
    more = np.concatenate([x, rng.normal(size=(2, 3))]).astype("float32")
    loss = MultiSimilarityLoss()
    known = values(loss, labels, x)
    both = values(loss, [*labels, -1, -1], more)
    np.testing.assert_allclose(both[:4], known, rtol=1e-6, atol=1e-7)
    assert not np.any(both[4:])

    def gradient(labels, x):
        labels = np.array(labels, "float32")
        return gradients(lambda y: loss.call(ops.array(labels), y), x)[0]

    slopes = gradient([*labels, -1, -1], more)
    assert not np.any(slopes[4:])
    np.testing.assert_allclose(
        slopes[:4], gradient(labels, x), rtol=1e-5, atol=1e-6
    )


# Case 4, of the reduced loss.
def among_unlabeled(rng, rows=False):
    """Four labeled samples, and them in a crowd of a hundred."""
    labels, x = np.array([0, 1, 0, 1]), rng.normal(size=(4, 3))
    crowd = np.full(100, -1)
    crowd[[3, 50, 51, 99]] = labels
    if rows:
        labels = np.eye(2)[labels]
        crowd = np.where(crowd[:, None] < 0, -1, np.eye(2)[crowd])
    embeddings = rng.normal(size=(100, 3))
    embeddings[[3, 50, 51, 99]] = x
    return (labels, x.astype("float32")), (crowd, embeddings.astype("float32"))


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("margin", [0.1, None])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean", "sum"])
def test_unlabeled_rows_do_not_thin_the_mean(rng, reduction, rows, margin):
    few, many = among_unlabeled(rng, rows)
    loss = MultiSimilarityLoss(reduction=reduction, margin=margin)
    alone = float(loss(*few))
    assert alone > 0
    assert float(loss(*many)) == pytest.approx(alone, rel=1e-5)
    slopes = [
        gradients(lambda x: loss(labels, x), x)[0]  # noqa: B023
        for labels, x in (few, many)
    ]
    np.testing.assert_allclose(
        slopes[1][[3, 50, 51, 99]], slopes[0], rtol=1e-4, atol=1e-6
    )


def test_weighted_mean_is_over_labeled_samples_too(rng):
    (labels, x), (crowd, embeddings) = among_unlabeled(rng)
    weight = rng.uniform(size=100).astype("float32")
    own = weight[[3, 50, 51, 99]]
    each = values(MultiSimilarityLoss(), labels, x)
    for reduction, expected in (
        ("sum_over_batch_size", np.mean(each * own)),
        ("mean_with_sample_weight", np.average(each, weights=own)),
    ):
        loss = MultiSimilarityLoss(reduction=reduction)
        received = float(loss(crowd, embeddings, weight))
        assert received == pytest.approx(expected, rel=1e-5)
    plain = float(loss(crowd, embeddings))
    assert plain == pytest.approx(np.mean(each), rel=1e-5)


def test_batch_without_labels_costs_nothing_and_hides_no_nan(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    assert float(MultiSimilarityLoss()(np.full(4, -1), x)) == 0
    x[1] = np.nan
    assert np.isnan(float(MultiSimilarityLoss()(np.full(4, -1), x)))


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="shapes are known"
)
@pytest.mark.parametrize("shape", [(None,), (None, None), (None, 1), None])
@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], ROWS])
def test_labels_may_have_an_unknown_shape(shape, labels):
    import tensorflow as tf

    if shape is not None and not tf.TensorShape(shape).is_compatible_with(
        labels.shape
    ):
        pytest.skip("another shape")
    loss, x = MultiSimilarityLoss(), FIVE.astype("float32")
    expected = float(loss(labels, x))
    traced = tf.function(
        loss, input_signature=[tf.TensorSpec(shape), tf.TensorSpec((None, 2))]
    )
    received = float(traced(labels.astype("float32"), x))
    assert received == pytest.approx(expected, rel=1e-6)


DIFFICULT = {
    "one sample": ([0], [[1.0, 2.0]]),
    "duplicates": ([0, 0, 1, 1], [[1.0, 2.0]] * 4),
    "zero vectors": ([0, 0, 1, 1], [[0.0, 0.0]] * 3 + [[1.0, 0.0]]),
    "opposites": ([0, 0, 1], [[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]]),
    "long": ([0, 1] * 4, np.random.default_rng(0).normal(size=(8, 768)) * 30),
}


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("name", DIFFICULT)
def test_difficult_batches_stay_finite(name, normalize):
    labels, x = DIFFICULT[name]
    labels, x = np.array(labels, "float32"), np.array(x, "float32")
    loss = MultiSimilarityLoss(normalize=normalize, margin=None)
    assert np.all(np.isfinite(values(loss, labels, x)))
    for margin in (0.1, None):
        loss = MultiSimilarityLoss(normalize=normalize, margin=margin)
        slopes = gradients(lambda y: loss.call(ops.array(labels), y), x)[0]  # noqa: B023
        assert np.all(np.isfinite(slopes))


def test_half_precision_embeddings_are_compared_in_float32(rng):
    x = rng.normal(size=(8, 16)).astype("float16")
    labels = np.arange(8) // 4
    loss = MultiSimilarityLoss()
    whole = float(loss(labels, x.astype("float32")))
    assert float(loss(labels, x)) == pytest.approx(whole, rel=1e-6)


def test_gradient_by_the_similarities_is_the_closed_form():
    """With one-hot rows as coordinates the products are the similarities."""
    similarity = FIVE @ FIVE.T
    loss = MultiSimilarityLoss(normalize=False)
    slope = gradients(
        # Row 1 of y y^T alone depends on y[1], through y^T's other rows.
        lambda y: loss.call(
            ops.array(LABELS.astype("float32")),
            ops.concatenate(
                [FIVE[:1].astype("float32"), y, FIVE[2:].astype("float32")]
            ),
        )[1],
        FIVE[1:2].astype("float32"),
    )[0]
    pulled = np.exp(-2 * (similarity[1, 0] - 0.5))
    pushed = np.exp(50 * (similarity[1, 2] - 0.5))
    by_positive = -pulled / (1 + pulled) / 5
    by_negative = pushed / (1 + pushed) / 5
    assert by_positive == pytest.approx(-0.058661, abs=1e-6)
    assert by_negative == pytest.approx(0.2, abs=1e-6)
    expected = 5 * (by_positive * FIVE[0] + by_negative * FIVE[2])
    np.testing.assert_allclose(slope[0], expected, rtol=1e-5)


@no_float64
@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="products are in float32"
)
def test_gradient_agrees_with_finite_differences(rng):
    labels = np.array([0, 0, 0, 1, 1, 2, -1], "float64")
    x = rng.normal(size=(7, 3))
    loss = MultiSimilarityLoss(dtype="float64")

    def total(x):
        return values(loss, labels, x, "float64").sum()

    slopes = gradients(
        lambda y: loss.call(ops.convert_to_tensor(labels, "float64"), y),
        x,
        dtype="float64",
    )[0]
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-6
        numeric = (total(x + step) - total(x - step)) / 2e-6
        assert slopes[place] == pytest.approx(numeric, rel=1e-5, abs=1e-8)


def test_training_separates_classes(rng):
    labels = rng.integers(3, size=60)
    x = rng.normal(size=(60, 8)).astype("float32")
    x[:, :3] += 4 * np.eye(3)[labels]
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    model.compile(keras.optimizers.Adam(0.03), MultiSimilarityLoss())
    model.fit(x, labels, batch_size=60, epochs=60, verbose=0)
    z = model.predict(x, verbose=0)
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    same = labels[:, None] == labels
    np.fill_diagonal(same, False)
    similarity = z @ z.T
    assert similarity[same].mean() > similarity[~same].mean() + 0.5


def test_wrong_scale_explains_itself():
    with pytest.raises(ValueError, match="must be above 0"):
        MultiSimilarityLoss(negative_scale=0)
