import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion import losses
from keras_fusion.layers import Refiner
from keras_fusion.layers import TransformerFusion
from tests.gradients import gradients
from tests.layers.cases_refiner import dense_fusion

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
