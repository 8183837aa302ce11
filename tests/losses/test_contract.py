"""What every public loss promises."""

import inspect

import keras
import numpy as np
import pytest

from keras_fusion import losses
from tests.docstrings import run_example

MADE = [
    losses.AsymmetricLoss(3.0, 0.5, clip=0.1),
    losses.KnownLabelLoss(
        keras.losses.BinaryFocalCrossentropy(gamma=1.5, from_logits=True)
    ),
    losses.MaximumMeanDiscrepancy(bandwidths=(0.5, 3.0)),
    losses.MultiSimilarityLoss(3.0, 30.0, 0.4, 0.2, normalize=False),
    losses.RefinerContrastiveLoss(margin=0.3),
    losses.RefinerCosineLoss(name="cosine"),
    losses.RefinerMultiSimilarityLoss(3.0, 30.0, 0.4, 0.2),
    losses.SparseCrossentropyAndDice(dice_weight=0.5, ignore_class=2),
    losses.SparseCrossentropyAndDice(0.0, ignore_class=2, over_batch=True),
    losses.SparseSquaredHinge(name="hinge"),
]
WITH_LABELS = (
    losses.MultiSimilarityLoss,
    losses.SparseCrossentropyAndDice,
    losses.SparseSquaredHinge,
)
WITH_LABEL_SETS = (losses.AsymmetricLoss, losses.KnownLabelLoss)
every_loss = pytest.mark.parametrize(
    "loss", MADE, ids=lambda loss: type(loss).__name__
)


def data(loss, rng, samples=10):
    x = rng.normal(size=(samples, 4)).astype("float32")
    if isinstance(loss, WITH_LABELS):
        return x, rng.integers(3, size=samples)
    if isinstance(loss, WITH_LABEL_SETS):
        return x, rng.integers(-1, 2, size=(samples, 4)).astype("float32")
    return x, rng.normal(size=(samples, 4)).astype("float32")


def compiled(loss):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.compile("sgd", loss)
    return model


def test_every_public_loss_is_here():
    public = {getattr(losses, name) for name in losses.__all__}
    assert {type(loss) for loss in MADE} == public


@every_loss
def test_config_round_trips_and_holds_every_argument(loss):
    config = loss.get_config()
    parameters = set(inspect.signature(type(loss)).parameters)
    of_keras = {"reduction", "dtype", "kwargs"}
    assert set(config) - of_keras == parameters - of_keras
    assert type(loss).from_config(config).get_config() == config


@every_loss
def test_compiled_model_is_saved_with_its_loss(loss, rng, tmp_path):
    model, (x, y) = compiled(loss), data(loss, rng)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.loss.get_config() == loss.get_config()
    before = model.evaluate(x, y, verbose=0)
    assert loaded.evaluate(x, y, verbose=0) == pytest.approx(before)


@every_loss
def test_gives_one_value_for_each_sample(loss, rng):
    x, y = data(loss, rng)
    values = type(loss)(reduction=None)(y, x)
    assert tuple(values.shape) == (10,)


@every_loss
@pytest.mark.parametrize("run_eagerly", [True, False])
def test_trains_with_partial_batches_and_single_samples(loss, rng, run_eagerly):
    model, (x, y) = compiled(loss), data(loss, rng, samples=9)
    model.run_eagerly = run_eagerly
    model.fit(x, y, batch_size=4, epochs=1, verbose=0)
    assert all(np.all(np.isfinite(w)) for w in model.get_weights())


@every_loss
@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="torch compiles with a compiler"
)
def test_compiled_equals_eager(loss, rng):
    x, y = data(loss, rng)
    model = compiled(loss)
    eager = float(loss(y, model(x)))
    model.compile("sgd", loss, jit_compile=True)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(eager, rel=1e-4)


@every_loss
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains(loss, rng, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model, (x, y) = compiled(loss), data(loss, rng)
        model.fit(x, y, batch_size=5, epochs=1, verbose=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert all(np.all(np.isfinite(w)) for w in model.get_weights())


@every_loss
@pytest.mark.parametrize("shape", [(), (10,), (10, 1)])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
def test_each_sample_has_its_weight(loss, rng, shape, reduction):
    x, y = data(loss, rng)
    each = np.array(type(loss)(reduction=None)(y, x))
    weight = rng.uniform(0.5, 2, size=shape).astype("float32")
    expected = np.sum(each * weight.reshape(-1))
    expected /= 10 if reduction == "sum_over_batch_size" else 1
    weighted = type(loss)(reduction=reduction)(y, x, weight)
    assert float(weighted) == pytest.approx(expected, rel=1e-5)
    listed = type(loss)(reduction=reduction)(y, x, weight.tolist())
    assert float(listed) == pytest.approx(expected, rel=1e-5)


@every_loss
@pytest.mark.parametrize("shape", [(9,), (10, 4), (10, 10), (10, 1, 1)])
def test_weights_of_what_is_no_sample_are_refused(loss, rng, shape):
    x, y = data(loss, rng)
    with pytest.raises(ValueError, match="`sample_weight` of .* one number"):
        loss(y, x, np.ones(shape, "float32"))


@every_loss
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("row", [0, 9])
def test_prediction_that_is_no_number_gives_nan(loss, rng, bad, row):
    x, y = data(loss, rng)
    x[row, 1] = bad
    assert np.isnan(float(loss(y, x)))


@every_loss
@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="torch compiles with a compiler"
)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_training_shows_that_it_broke(loss, rng, jit_compile):
    model, (x, y) = compiled(loss), data(loss, rng)
    model.jit_compile = jit_compile
    x[0] = np.nan
    assert np.isnan(model.evaluate(x, y, verbose=0))


@pytest.mark.parametrize("name", losses.__all__)
def test_docstring_example_runs(name):
    assert run_example(getattr(losses, name), name)
