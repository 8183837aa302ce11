import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion import losses
from keras_fusion.layers import Refiner
from keras_fusion.layers import TransformerFusion
from tests.gradients import gradients
from tests.layers.cases_refiner import blocks
from tests.layers.cases_refiner import dense_fusion
from tests.layers.cases_refiner import perceptron

WIDTHS = (6, 4)
LOSSES = [
    losses.RefinerCosineLoss(),
    losses.RefinerContrastiveLoss(),
    losses.RefinerMultiSimilarityLoss(),
    "mse",
]
every_loss = pytest.mark.parametrize(
    "loss", LOSSES, ids=["cosine", "contrastive", "multi_similarity", "mse"]
)


def refiner(units=5, widths=WIDTHS, **arguments):
    fusion = dense_fusion([(width,) for width in widths], units)
    return Refiner(fusion, **arguments)


def drawn(rng, samples=8, widths=WIDTHS):
    return [
        rng.normal(size=(samples, width)).astype("float32") for width in widths
    ]


def number(x):
    return float(ops.convert_to_numpy(x))


def loss_of(layer, x, *arguments):
    layer(x, *arguments)
    (loss,) = layer.losses
    return loss


@every_loss
def test_loss_is_the_weighted_sum_over_modalities(rng, loss):
    x = drawn(rng, widths=(6, 4, 3))
    weights = (0.5, 2.0, 1.0)
    layer = refiner(widths=(6, 4, 3), loss=loss, loss_weights=weights)
    value = loss_of(layer, x)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    rebuilt = layer.defuse(layer.fusion(x))
    alone = keras.losses.get(loss)
    terms = [number(ops.mean(alone(x[m], rebuilt[m]))) for m in range(3)]
    assert number(value) == pytest.approx(np.dot(weights, terms), rel=1e-5)


@every_loss
def test_weights_scale_each_term_linearly(rng, loss):
    x = drawn(rng)
    layer = refiner(loss=loss, loss_weights=(1.0, 0.0))
    first = number(loss_of(layer, x))
    layer.loss_weights = (0.0, 1.0)
    second = number(loss_of(layer, x))
    layer.loss_weights = (3.0, 0.5)
    both = number(loss_of(layer, x))
    assert both == pytest.approx(3 * first + 0.5 * second, rel=1e-5)


@every_loss
def test_weights_of_0_leave_the_gradient_of_the_task_bit_for_bit(rng, loss):
    x = drawn(rng)
    layer = refiner(loss=loss, loss_weights=0.0, stop_gradient=False)

    def task(*x):
        return ops.sum(ops.square(layer(list(x))))

    def both(*x):
        return task(*x) + layer.losses[0]

    for plain, refined in zip(
        gradients(task, *x), gradients(both, *x), strict=True
    ):
        assert np.array_equal(plain, refined)


def test_output_is_exactly_the_fused_vector(rng):
    x = drawn(rng)
    layer = refiner(hidden_units=(7,))
    assert np.array_equal(
        ops.convert_to_numpy(layer(x)), ops.convert_to_numpy(layer.fusion(x))
    )


def test_defusers_see_the_fused_vector_alone(rng):
    layer = refiner(hidden_units=(7,), activation="tanh")
    x = drawn(rng)
    fused = ops.convert_to_numpy(layer(x))
    for m, rebuilt in enumerate(layer.defuse(fused)):
        hidden, last = layer.defusers[2 * m : 2 * m + 2]
        (k, b), (k2, b2) = hidden.get_weights(), last.get_weights()
        expected = np.tanh(fused @ k + b) @ k2 + b2
        np.testing.assert_allclose(
            ops.convert_to_numpy(rebuilt), expected, rtol=1e-4, atol=1e-5
        )


PUBLISHED = {
    "blocks of 768": ((768, 768), 768, lambda: blocks(768, 768), 1_184_256),
    "audio and digits": (
        (28 * 28, 112 * 112),
        384,
        lambda: perceptron(1000, 13_328),
        13_726_328,
    ),
    "linear": ((40, 24), 32, lambda: keras.layers.Dense(64), 33 * 64),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_decoders_have_as_many_weights(name):
    widths, units, make, expected = PUBLISHED[name]
    inputs = [keras.Input((width,)) for width in widths]
    means = [keras.layers.Dense(units, trainable=False)(x) for x in inputs]
    fusion = keras.Model(inputs, keras.layers.Add()(means))
    layer = Refiner(fusion, decoders=make())
    layer.build([(None, width) for width in widths])
    assert len(layer.trainable_weights) > 0
    count = sum(int(np.prod(w.shape)) for w in layer.trainable_weights)
    assert count == expected


def test_block_decoders_rectify_then_normalize_and_drop_in_training(rng):
    x = drawn(rng)
    layer = refiner(decoders=blocks(*WIDTHS, dropout=0.5))
    fused = ops.convert_to_numpy(layer(x))
    for decoder, rebuilt in zip(
        layer.decoders, layer.defuse(fused), strict=True
    ):
        kernel, bias, gamma, beta = decoder.get_weights()
        hidden = np.maximum(fused @ kernel + bias, 0)
        hidden = hidden - hidden.mean(axis=1, keepdims=True)
        hidden /= np.sqrt(np.mean(hidden**2, axis=1, keepdims=True) + 1e-3)
        np.testing.assert_allclose(
            ops.convert_to_numpy(rebuilt),
            hidden * gamma + beta,
            rtol=1e-3,
            atol=1e-4,
        )
    quiet = number(loss_of(layer, x))
    assert number(loss_of(layer, x)) == quiet
    layer(x, training=True)
    assert number(layer.losses[0]) != quiet


def test_one_decoder_gives_all_targets_side_by_side(rng):
    x, targets = drawn(rng), drawn(rng, widths=(3, 8))
    layer = refiner(decoders=perceptron(7, 11), loss_weights=(0.5, 2.0))
    value = number(loss_of(layer, x, None, targets))
    fused = ops.convert_to_numpy(layer.fusion(x))
    (k, b), (k2, b2) = (d.get_weights() for d in layer.decoders.layers)
    both = np.maximum(fused @ k + b, 0) @ k2 + b2
    terms = [
        number(ops.mean(losses.RefinerCosineLoss()(target, rebuilt)))
        for target, rebuilt in zip(
            targets, (both[:, :3], both[:, 3:]), strict=True
        )
    ]
    expected = 0.5 * terms[0] + 2.0 * terms[1]
    assert value == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decoders": blocks(6)}, "`decoders` .* for each of 2 modalities"),
        ({"decoders": blocks(6, 5)}, "must give the 4 features"),
        ({"decoders": perceptron(3, 9)}, "must give the 10 features"),
        (
            {"decoders": blocks(6, 4), "hidden_units": (3,)},
            "must be empty with `decoders`",
        ),
    ],
)
def test_wrong_decoders_explain_themselves(rng, arguments, message):
    with pytest.raises(ValueError, match=message):
        refiner(**arguments)(drawn(rng))


def test_gradient_reaches_the_targets_only_when_asked_to(rng):
    x = drawn(rng)

    def slopes(layer, *arguments):
        return gradients(
            lambda *x: loss_of(layer, list(x), None, *arguments), *x
        )

    layer = refiner()
    layer(x)
    stopped = slopes(layer)
    # The same numbers as targets from outside carry no gradient either way.
    for outside, own in zip(slopes(layer, x), stopped, strict=True):
        np.testing.assert_allclose(own, outside, rtol=1e-5, atol=1e-7)
    layer.stop_gradient = False
    for free, own in zip(slopes(layer), stopped, strict=True):
        assert np.abs(free - own).max() > 1e-4


@every_loss
def test_absent_modality_gives_neither_loss_nor_gradient(rng, loss):
    x = drawn(rng)
    layer = refiner(loss=loss, loss_weights=(1.0, 0.0), stop_gradient=False)
    targets = drawn(rng)
    presence = np.array([[1, 1]] * 5 + [[0, 1]] * 3)
    some = number(loss_of(layer, x, presence, targets))
    few = [u[:5] for u in x], [u[:5] for u in targets]
    assert some == pytest.approx(
        number(loss_of(layer, few[0], presence[:5], few[1])), rel=1e-5
    )
    slopes = gradients(
        lambda *t: loss_of(layer, x, presence, list(t)), *targets
    )
    assert not np.any(slopes[0][5:])
    assert np.any(slopes[0][:5])
    targets[0][5:] = np.nan
    broken = number(loss_of(layer, x, presence, targets))
    assert broken == pytest.approx(some, rel=1e-6)


# Case 6.
WORDS = {"text": (3, 0, 5), "image": (2, 4, 0)}
SPANS = {"text": 5, "image": 4}


def masked_tokens(rng, spans=SPANS):
    """Tokens of each modality, from the left, and zeros behind them."""
    tokens = {}
    for name, counts in WORDS.items():
        tokens[name] = np.zeros((3, spans[name], 6), "float32")
        for sample, count in enumerate(counts):
            drawn = rng.normal(size=(count, 6))
            tokens[name][sample, :count] = drawn
    return tokens


def masked_mean_fusion():
    inputs = [keras.Input((None, 6)) for _ in WORDS]
    tokens = keras.layers.Concatenate(axis=1)(inputs)
    tokens = keras.layers.Masking()(tokens)
    mean = keras.layers.GlobalAveragePooling1D(data_format="channels_last")
    return keras.Model(inputs, mean(tokens))


def means_of_each(tokens):
    return [
        tokens[name].sum(axis=1) / np.maximum(1, counts)[:, None]
        for name, counts in zip(
            WORDS, map(np.array, WORDS.values()), strict=True
        )
    ]


def test_masked_mean_is_the_mean_of_the_modalities_by_their_counts(rng):
    tokens = masked_tokens(rng)
    layer = Refiner(masked_mean_fusion())
    u = [ops.convert_to_tensor(x) for x in means_of_each(tokens)]
    fused = layer(list(tokens.values()), None, u)
    counts = np.array(list(WORDS.values()))
    shares = counts / counts.sum(axis=0)
    expected = np.einsum("mb,mbf->bf", shares, np.stack(means_of_each(tokens)))
    np.testing.assert_allclose(
        ops.convert_to_numpy(fused), expected, rtol=1e-5, atol=1e-6
    )


def test_padding_of_tokens_changes_neither_output_nor_loss(rng):
    seed = rng.integers(99)
    short, long = (
        masked_tokens(np.random.default_rng(seed), spans)
        for spans in (SPANS, {"text": 11, "image": 7})
    )
    layer = Refiner(masked_mean_fusion())
    presence = np.array(list(WORDS.values())).T > 0
    results = []
    for tokens in (short, long):
        u = [ops.convert_to_tensor(x) for x in means_of_each(tokens)]
        fused = layer(list(map(ops.array, tokens.values())), presence, u)
        results.append([*ops.convert_to_numpy(fused).flat])
        results[-1].append(number(layer.losses[0]))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5, atol=1e-6)


@every_loss
def test_modality_without_tokens_gives_neither_loss_nor_gradient(rng, loss):
    tokens = masked_tokens(rng)
    layer = Refiner(masked_mean_fusion(), loss=loss, stop_gradient=False)
    presence = np.array(list(WORDS.values())).T > 0
    x = list(map(ops.array, tokens.values()))
    u = means_of_each(tokens)
    layer(x, presence, list(map(ops.array, u)))

    def total(*targets):
        return loss_of(layer, x, presence, list(targets))

    before = number(total(*map(ops.array, u)))
    slopes = gradients(total, *u)
    for m, counts in enumerate(WORDS.values()):
        assert not np.any(slopes[m][np.array(counts) == 0])
    u[0][1], u[1][2] = np.nan, 7.0
    assert number(total(*map(ops.array, u))) == pytest.approx(before)


# Case 10.
def test_head_reads_the_refined_vector_and_all_labeled_rows_count(rng):
    x = drawn(rng)
    labels = np.array([0, -1, 1, 1, -1, 0, 2, 2])
    layer, head = refiner(), keras.layers.Dense(3)
    fused = layer(x)
    logits = head(fused)
    (kernel, bias), z = head.get_weights(), layer.fusion(x)
    np.testing.assert_allclose(
        ops.convert_to_numpy(logits),
        ops.convert_to_numpy(z) @ kernel + bias,
        rtol=1e-4,
        atol=1e-5,
    )
    for loss, rows in (
        (
            keras.losses.SparseCategoricalCrossentropy(
                from_logits=True, ignore_class=-1
            ),
            logits,
        ),
        (losses.MultiSimilarityLoss(margin=None), fused),
    ):
        slopes = gradients(
            lambda rows: loss(labels, rows),  # noqa: B023
            ops.convert_to_numpy(rows),
        )[0]
        assert np.array_equal(np.any(slopes != 0, axis=1), labels >= 0)


def test_modality_that_all_samples_lack_has_no_loss(rng):
    presence = np.array([[1, 0]] * 8)
    layer = refiner(loss_weights=(0.0, 1.0))
    assert number(loss_of(layer, drawn(rng), presence)) == 0


def test_images_can_be_targets(rng):
    layer, x = refiner(loss_weights=1.0), drawn(rng)
    images = [
        rng.normal(size=(8, *shape)).astype("float32")
        for shape in ((2, 3, 1), (5,))
    ]
    value = number(loss_of(layer, x, None, images))
    expected = 0
    for image, rebuilt in zip(
        images, layer.defuse(layer.fusion(x)), strict=True
    ):
        a, b = image.reshape(8, -1), ops.convert_to_numpy(rebuilt)
        cosine = np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1)
        expected += np.mean(1 - cosine / np.linalg.norm(b, axis=1))
    assert value == pytest.approx(expected, rel=1e-5)


def model_with_head(run_eagerly=False, jit_compile=False):
    inputs = [keras.Input((width,)) for width in WIDTHS]
    presence = keras.Input((2,))
    fused = refiner(hidden_units=(7,))(inputs, presence)
    model = keras.Model([*inputs, presence], keras.layers.Dense(3)(fused))
    model.compile(
        "sgd", "mse", run_eagerly=run_eagerly, jit_compile=jit_compile
    )
    return model


MODES = [(True, False), (False, False)]
if keras.backend.backend() != "torch":
    MODES.append((False, True))


@pytest.mark.parametrize(("run_eagerly", "jit_compile"), MODES)
def test_trains_in_fit_with_partial_batches_and_single_samples(
    rng, tmp_path, run_eagerly, jit_compile
):
    model = model_with_head(run_eagerly, jit_compile)
    x = [*drawn(rng, 9), rng.integers(2, size=(9, 2)).astype("float32")]
    y = rng.normal(size=(9, 3)).astype("float32")
    before = {w.path: w.numpy().copy() for w in model.trainable_weights}
    model.fit(x, y, batch_size=4, verbose=0)
    for weight in model.trainable_weights:
        now = ops.convert_to_numpy(weight)
        assert np.all(np.isfinite(now))
        assert np.any(now != before[weight.path]), weight.path
    assert len([path for path in before if "defuser" in path]) == 8

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = model_with_head()
    fresh.load_weights(tmp_path / "model.weights.h5")
    score = model.evaluate(x, y, verbose=0)
    for again in (loaded, fresh):
        assert again.evaluate(x, y, verbose=0) == pytest.approx(score)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs TensorFlow"
)
def test_two_replicas_with_uneven_presence_train_like_one(rng, two_replicas):
    x = [*drawn(rng, 8), np.ones((8, 2), "float32")]
    x[2][:3] = [0, 1]
    x[2][5:] = [1, 0]
    y = np.zeros((8, 3), "float32")
    plain = model_with_head()
    with two_replicas.scope():
        mirrored = model_with_head()
    mirrored.set_weights(plain.get_weights())
    for model in (plain, mirrored):
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    for one, two in zip(
        plain.get_weights(), mirrored.get_weights(), strict=True
    ):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)


def test_mixed_precision_keeps_the_loss_in_float32(rng):
    layer = refiner(dtype="mixed_float16")
    x = [300 * u for u in drawn(rng)]
    loss = loss_of(layer, x)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert np.isfinite(number(loss))
    with pytest.raises(ValueError, match="rounds away"):
        layer.modality_graph(x)


def test_wrong_input_explains_itself(rng):
    x = drawn(rng)
    with pytest.raises(ValueError, match="list of at least 2 tensors"):
        refiner()(x[0])
    with pytest.raises(ValueError, match="one item for each of 2 modalities"):
        refiner(loss_weights=(1, 2, 3))(x)
    with pytest.raises(ValueError, match="one item for each of 2 modalities"):
        refiner()(x, None, x[:1])
    layer = refiner()
    layer(x)
    with pytest.raises(ValueError, match="the same kind of `targets`"):
        layer(x, None, x[::-1])
    with pytest.raises(ValueError, match=r"of shape \(batch, 2\)"):
        refiner()(x, np.ones((8, 3)))
    with pytest.raises(ValueError, match="one vector for each sample"):
        Refiner(keras.layers.Add())([np.zeros((2, 3, 4))] * 2)
    reduced = lambda y_true, y_pred: ops.mean(y_pred)  # noqa: E731
    with pytest.raises(ValueError, match="Do not reduce over the batch"):
        refiner(loss=reduced)(x)


def test_sequences_of_unknown_length_need_targets_of_known_size():
    inputs = [keras.Input((None, 4)), keras.Input((3,))]
    fusion = TransformerFusion(8, num_blocks=1)
    with pytest.raises(ValueError, match="`targets` of .* known sizes"):
        Refiner(fusion)(inputs)
    targets = [keras.Input((4,)), keras.Input((3,))]
    assert Refiner(fusion)(inputs, targets=targets).shape == (None, 8)
