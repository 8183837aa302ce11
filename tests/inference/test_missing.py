import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.inference import fold
from keras_fusion.inference import missing
from keras_fusion.layers import ChannelExchange
from keras_fusion.layers import LearnedEnsemble
from keras_fusion.models import refinenet
from tests.inference.folding import assert_equal
from tests.inference.folding import predict
from tests.inference.folding import randomize

MODALITIES = ("rgb", "depth", "normals")


def vectors(count, **kwargs):
    """A shared dense layer, an exchange and an ensemble."""
    inputs = {name: keras.Input((4,), name=name) for name in MODALITIES[:count]}
    dense = keras.layers.Dense(6, name="dense")
    exchange = ChannelExchange(name="exchange", **kwargs)
    branches = exchange([dense(x) for x in inputs.values()])
    outputs = dict(zip(inputs, branches, strict=True))
    outputs["ensemble"] = LearnedEnsemble(name="ensemble")(branches)
    return keras.Model(inputs, outputs)


def normalized(model, name, values):
    """What the exchange makes of an input before it exchanges, by NumPy."""
    dense, norm = model.get_layer("dense"), model.get_layer("exchange")
    m = list(model.input).index(name)
    kernel, bias, gamma, beta, mean, variance = (
        ops.convert_to_numpy(w) for w in (*dense.weights, *norm.weights)
    )
    y = values @ kernel + bias
    deviation = np.sqrt(variance[m] + norm.epsilon)
    return gamma[m] * (y - mean[m]) / deviation + beta[m]


def test_a_donor_that_is_not_there_gives_its_mean(rng):
    model = vectors(2)
    randomize(model, rng)
    norm = model.get_layer("exchange")
    gamma = np.array(norm.gamma)
    gamma[0, [1, 4]] = 0.001
    gamma[1, [2, 4]] = 0.001
    norm.gamma.assign(gamma)
    x = rng.normal(size=(3, 4)).astype("float32")
    expected = normalized(model, "rgb", x)
    expected[:, [1, 4]] = np.array(norm.beta)[1, [1, 4]]
    outputs = predict(missing(model, "depth"), {"rgb": x})
    assert set(outputs) == {"rgb", "ensemble"}
    np.testing.assert_allclose(outputs["rgb"], expected, atol=1e-5)
    np.testing.assert_allclose(outputs["ensemble"], expected, atol=1e-5)


def test_other_donors_and_the_weights_of_those_there_serve_instead(rng):
    model = vectors(3)
    randomize(model, rng)
    norm = model.get_layer("exchange")
    gamma = np.array(norm.gamma)
    gamma[0, 1] = 0.001
    norm.gamma.assign(gamma)
    x = rng.normal(size=(2, 3, 4)).astype("float32")
    rgb = normalized(model, "rgb", x[0])
    normals = normalized(model, "normals", x[1])
    rgb[:, 1] = normals[:, 1]
    reduced = missing(model, "depth")
    outputs = predict(reduced, {"rgb": x[0], "normals": x[1]})
    np.testing.assert_allclose(outputs["rgb"], rgb, atol=1e-5)
    np.testing.assert_allclose(outputs["normals"], normals, atol=1e-5)
    a, _, c = model.get_layer("ensemble").mixing_weights
    mixed = (a * rgb + c * normals) / (a + c)
    np.testing.assert_allclose(outputs["ensemble"], mixed, atol=1e-5)


def small(modalities, **kwargs):
    return refinenet(
        modalities,
        num_classes=3,
        blocks=(1, 1, 1, 1),
        width=4,
        decoder_width=8,
        units_in=1,
        units_out=1,
        pools=1,
        **kwargs,
    )


@pytest.mark.parametrize("gone", MODALITIES)
def test_without_exchange_the_other_branches_stay_as_they_are(rng, gone):
    model = small(MODALITIES, fusion="none")
    randomize(model, rng)
    images = {
        name: rng.normal(size=(1, 32, 40, 3)).astype("float32")
        for name in MODALITIES
    }
    expected = predict(model, images)
    del images[gone], expected[gone]
    outputs = predict(missing(model, gone), images)
    assert set(outputs) == set(expected)
    for name in images:
        np.testing.assert_allclose(outputs[name], expected[name], rtol=1e-4)


def test_a_model_without_a_modality_folds_and_loses_another(rng, tmp_path):
    model = small(MODALITIES)
    randomize(model, rng)
    for layer in model.layers:
        if isinstance(layer, ChannelExchange) and layer.threshold > 0:
            gamma = np.array(layer.gamma)
            gamma[0, :2] = gamma[1, 1:3] = 0.001
            layer.gamma.assign(gamma)
    alone = missing(missing(model, "rgb"), "normals")
    images = {"depth": rng.normal(size=(1, 32, 40, 3)).astype("float32")}
    folded, report = fold(alone)
    assert_equal(alone, folded, images)
    assert not report.left
    alone.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected, outputs = predict(alone, images), predict(loaded, images)
    assert np.array_equal(outputs["depth"], expected["depth"])


@pytest.mark.parametrize("fusion", ["concat", "squeeze_excite"])
def test_a_layer_that_joins_modalities_is_named(fusion):
    model = small(MODALITIES[:2], fusion=fusion)
    with pytest.raises(ValueError, match="reads depth beside others"):
        missing(model, "depth")


def test_a_folded_model_is_refused(rng):
    model = vectors(2)
    norm = model.get_layer("exchange")
    norm.gamma.assign(np.where(np.arange(6) < [[2], [0]], 0.001, 1.0))
    with pytest.raises(ValueError, match="as it was before `fold`"):
        missing(fold(model).model, "depth")


def test_an_exchange_that_would_change_is_refused(rng):
    model = vectors(3, penalized_only=True)
    norm = model.get_layer("exchange")
    norm.gamma.assign(np.full((3, 6), 0.001))
    with pytest.raises(ValueError, match="Train without `penalized_only`"):
        missing(model, "rgb")


def test_wrong_arguments_explain_themselves():
    with pytest.raises(ValueError, match=r"which are \['rgb', 'depth'\]"):
        missing(vectors(2), "normals")
    with pytest.raises(ValueError, match=r"which are \['rgb'\]"):
        missing(vectors(1), "rgb")
    inputs = {name: keras.Input((4,), name=name) for name in ("a", "b")}
    model = keras.Model(inputs, list(inputs.values()))
    with pytest.raises(ValueError, match="must return a dict"):
        missing(model, "a")
