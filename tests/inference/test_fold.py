import keras
import numpy as np
import pytest

from keras_fusion.inference import fold
from keras_fusion.layers import ChannelExchange
from keras_fusion.layers import LearnedEnsemble
from keras_fusion.layers import LocallyConnected1D
from keras_fusion.layers import LocallyConnected2D
from keras_fusion.models import refinenet
from tests.inference.folding import assert_equal
from tests.inference.folding import predict
from tests.inference.folding import randomize

MODALITIES = ("rgb", "depth", "normals")


def followed(layer, shape, axis=-1, **kwargs):
    x = keras.Input(shape)
    norm = keras.layers.BatchNormalization(axis=axis, name="norm", **kwargs)
    return keras.Model(x, norm(layer(x)))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (keras.layers.Dense(5), (4,)),
        (keras.layers.Dense(5, use_bias=False), (3, 4)),
        (keras.layers.Conv1D(5, 3), (7, 4)),
        (keras.layers.Conv2D(6, 3, strides=2, use_bias=False), (7, 8, 4)),
        (keras.layers.Conv2D(6, 3, groups=2), (7, 8, 4)),
        (keras.layers.Conv3D(5, 2), (4, 4, 4, 2)),
        (keras.layers.Conv2DTranspose(5, 3, strides=2), (4, 5, 3)),
        (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), (6, 6, 3)),
        (LocallyConnected1D(5, 3, use_bias=False), (7, 4)),
        (LocallyConnected2D(5, 3), (6, 7, 2)),
    ],
    ids=lambda x: getattr(x, "name", None),
)
def test_a_layer_takes_up_the_normalization_behind_it(rng, layer, shape):
    model = followed(layer, shape)
    randomize(model, rng)
    folded, report = fold(model)
    assert_equal(model, folded, rng.normal(size=(2, *shape)).astype("float32"))
    assert report.folded == ("norm",)
    assert not report.left
    assert [type(x) for x in folded.layers[1:]] == [type(layer)]


def test_channels_first(rng, channels_first):
    # Keras adds a bias to the wrong axis of maps as wide as they have channels.
    layer = keras.layers.Conv2D(6, 3, data_format="channels_first")
    model = followed(layer, (4, 6, 7), axis=1)
    randomize(model, rng)
    folded, report = fold(model)
    assert_equal(model, folded, rng.normal(size=(2, 4, 6, 7)))
    assert report.folded == ("norm",)


def test_locally_connected_channels_first(rng):
    layer = LocallyConnected2D(5, 3, data_format="channels_first")
    model = followed(layer, (4, 6, 7), axis=1)
    randomize(model, rng)
    folded, report = fold(model)
    assert_equal(model, folded, rng.normal(size=(2, 4, 6, 7)))
    assert report.folded == ("norm",)


def test_a_normalization_without_scale_and_shift_folds(rng):
    model = followed(keras.layers.Dense(3), (4,), center=False, scale=False)
    randomize(model, rng)
    folded, report = fold(model)
    assert_equal(model, folded, rng.normal(size=(2, 4)))
    assert report.folded == ("norm",)


class Doubled(keras.layers.Dense):
    def call(self, inputs):
        return 2 * super().call(inputs)


def behind_an_activation(x):
    return keras.layers.Dense(3, activation="relu", name="dense")(x)


def read_twice(x):
    y = keras.layers.Dense(3, name="dense")(x)
    return y, y


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (lambda x: x, "no layer with a kernel is before it"),
        (lambda x: Doubled(3)(x), "no layer with a kernel is before it"),
        (behind_an_activation, "dense has an activation"),
        (read_twice, "others read dense too"),
        (
            lambda x: keras.layers.Dense(3, dtype="bfloat16", name="dense")(x),
            "dense computes in another dtype",
        ),
    ],
)
def test_what_cannot_be_folded_is_left_and_named(rng, before, reason):
    x = keras.Input((3,))
    y = before(x)
    norm = keras.layers.BatchNormalization(name="norm")
    if isinstance(y, tuple):
        model = keras.Model(x, [norm(y[0]), y[1]])
    else:
        model = keras.Model(x, norm(y))
    randomize(model, rng)
    with keras.utils.custom_object_scope({"Doubled": Doubled}):
        folded, report = fold(model)
    values = rng.normal(size=(2, 3)).astype("float32")
    for a, b in zip(
        keras.tree.flatten(predict(model, values)),
        keras.tree.flatten(predict(folded, values)),
        strict=True,
    ):
        assert np.array_equal(a, b)
    assert report.left == {"norm": reason}
    assert str(report).startswith("Nothing to fold: ")
    assert f"Left norm: {reason}." in str(report)


def test_an_instance_normalization_is_left_and_named(rng):
    inputs = [keras.Input((6, 6, 3)) for _ in range(2)]
    conv = keras.layers.Conv2D(4, 3)
    layer = ChannelExchange(normalization="instance", name="norm")
    model = keras.Model(inputs, layer([conv(x) for x in inputs]))
    folded, report = fold(model)
    values = [rng.normal(size=(2, 6, 6, 3)) for _ in range(2)]
    assert_equal(model, folded, values)
    assert list(report.left) == ["norm"]


def test_a_model_with_nothing_to_fold_comes_back_equal(rng):
    x = keras.Input((4,))
    y = keras.layers.Dense(3, activation="relu")(x)
    model = keras.Model(x, keras.layers.Dense(2)(keras.ops.tanh(y) + 1.0))
    folded, report = fold(model)
    values = rng.normal(size=(2, 4))
    assert np.array_equal(predict(model, values), predict(folded, values))
    assert str(report) == "Nothing to fold: 18 multiplications."


def test_sequential_and_nested_models_fold(rng):
    inner = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras.layers.Conv2D(4, 3, use_bias=False),
            keras.layers.BatchNormalization(name="inner_norm"),
            keras.layers.Flatten(),
        ]
    )
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            inner,
            keras.layers.Dense(3),
            keras.layers.BatchNormalization(name="outer_norm"),
        ]
    )
    randomize(model, rng)
    folded, report = fold(model)
    assert_equal(model, folded, rng.normal(size=(2, 6, 6, 3)))
    assert set(report.folded) == {"inner_norm", "outer_norm"}
    assert report.multiplications_before == 16 * 9 * 3 * 4 + 64 * 3


def test_a_functional_model_called_twice_folds(rng):
    x = keras.Input((4,))
    y = keras.layers.BatchNormalization()(keras.layers.Dense(4)(x))
    inner = keras.Model(x, y)
    model = keras.Model(x, inner(inner(x)))
    randomize(model, rng)
    folded, report = fold(model)
    assert_equal(model, folded, rng.normal(size=(2, 4)))
    assert len(report.folded) == 1


def test_equal_calls_share_one_folded_layer(rng):
    inputs = [keras.Input((4,)) for _ in range(2)]
    dense, norm = keras.layers.Dense(3), keras.layers.BatchNormalization()
    model = keras.Model(inputs, [norm(dense(x)) for x in inputs])
    randomize(model, rng)
    folded, _ = fold(model)
    assert_equal(model, folded, [rng.normal(size=(2, 4)) for _ in range(2)])
    assert len(folded.weights) == 2


def test_a_network_of_keras_folds_whole(rng):
    model = keras.applications.MobileNetV2(
        (32, 32, 3), alpha=0.35, weights=None, classes=3
    )
    norms = [
        layer.name
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    for layer in map(model.get_layer, norms):
        layer.moving_mean.assign(0.1 * rng.normal(size=layer.gamma.shape))
        layer.moving_variance.assign(rng.uniform(0.5, 1.5, layer.gamma.shape))
    folded, report = fold(model)
    assert_equal(model, folded, rng.normal(size=(1, 32, 32, 3)))
    assert set(report.folded) == set(norms)
    assert not report.left


def test_channels_multiplied_by_zeros_are_cut_on_both_sides(rng):
    x = keras.Input((6, 6, 3))
    y = keras.layers.Conv2D(8, 3, name="first")(x)
    y = keras.layers.BatchNormalization()(y)
    y = keras.layers.MaxPooling2D(2)(keras.layers.Activation("relu")(y))
    model = keras.Model(x, keras.layers.Conv2D(5, 1, name="second")(y))
    randomize(model, rng)
    kernel = np.array(model.get_layer("second").kernel)
    kernel[:, :, [0, 3, 6]] = 0
    model.get_layer("second").kernel.assign(kernel)
    folded, report = fold(model)
    assert_equal(model, folded, rng.normal(size=(2, 6, 6, 3)))
    assert report.channels_cut == 3
    kernels = [w.shape for w in folded.weights if w.name == "kernel"]
    assert kernels == [(3, 3, 3, 5), (1, 1, 5, 5)]


def test_channels_stay_where_something_reads_all_of_them(rng):
    x = keras.Input((6, 6, 3))
    y = keras.layers.Conv2D(4, 3)(x)
    z = keras.layers.Conv2D(2, 1, name="second")(y)
    model = keras.Model(x, [z, keras.layers.Softmax()(y)])
    kernel = np.array(model.get_layer("second").kernel)
    kernel[:, :, 1] = 0
    model.get_layer("second").kernel.assign(kernel)
    folded, report = fold(model)
    assert_equal(model, folded, rng.normal(size=(2, 6, 6, 3)))
    assert report.channels_cut == 0


def exchanging(modalities, axis=-1, channels=12, consumer="conv"):
    """Two shared convolutions with an exchange between them."""
    first = axis == 1
    settings = {"data_format": "channels_first" if first else "channels_last"}
    shape = (3, 6, 7) if first else (6, 7, 3)
    inputs = [keras.Input(shape) for _ in range(modalities)]
    conv = keras.layers.Conv2D(channels, 3, use_bias=False, **settings)
    norm = ChannelExchange(axis=axis, name="exchange")
    branches = norm([conv(x) for x in inputs])
    relu = keras.layers.ReLU()
    branches = [relu(x) for x in branches]
    if consumer == "conv":
        behind = keras.layers.Conv2D(5, 1, **settings)
        branches = [behind(x) for x in branches]
    return keras.Model(inputs, branches)


def exchange_a_third(model, rng):
    """A third of each modality's channels, of some in all modalities."""
    for layer in model.layers:
        if isinstance(layer, ChannelExchange) and layer.threshold > 0:
            gamma = np.array(layer.gamma)
            for row in gamma:
                count = round(len(row) / 3)
                row[rng.permutation(len(row))[:count]] = 0.01
            gamma[:, 0] = -0.01
            layer.gamma.assign(gamma)


@pytest.mark.parametrize("consumer", ["conv", "all"])
@pytest.mark.parametrize("modalities", [1, 2, 3, 4])
def test_exchanged_channels_are_taken_from_donors(rng, modalities, consumer):
    model = exchanging(modalities, consumer=consumer)
    randomize(model, rng)
    exchange_a_third(model, rng)
    folded, report = fold(model)
    values = [rng.normal(size=(2, 6, 7, 3)) for _ in range(modalities)]
    values = [x.astype("float32") for x in values]
    assert_equal(model, folded, values)
    assert not any(isinstance(x, ChannelExchange) for x in folded.layers)
    exchanged = model.get_layer("exchange").exchanged
    # A channel need not be computed where it is exchanged, unless another
    # modality, which exchanges it too, needs it.
    unread = exchanged & (exchanged.sum(axis=0) == 1)
    assert report.channels_cut == (unread.sum() if modalities > 1 else 0)
    cut = 20 * 27 * report.channels_cut
    before, after = report.multiplications_before, report.multiplications_after
    assert before - after == cut


@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_exchange_channels_first(rng, channels_first, modalities):
    model = exchanging(modalities, axis=1)
    randomize(model, rng)
    exchange_a_third(model, rng)
    folded, report = fold(model)
    values = [rng.normal(size=(2, 3, 6, 7)) for _ in range(modalities)]
    assert_equal(model, folded, values)
    assert report.folded == ("exchange",)


def small(modalities, **kwargs):
    settings = {
        "num_classes": 3,
        "blocks": (1, 2, 1, 1),
        "width": 6,
        "decoder_width": 8,
        "units_in": 1,
        "units_out": 1,
        "pools": 1,
        "image_shape": (32, 40, 3),
    }
    return refinenet(modalities, **{**settings, **kwargs})


def trained(modalities, rng, **kwargs):
    model = small(modalities, **kwargs)
    randomize(model, rng)
    exchange_a_third(model, rng)
    return model


def images(model, rng):
    return {
        name: rng.normal(size=(2, 32, 40, 3)).astype("float32")
        for name in model.input
    }


@pytest.mark.parametrize("count", [1, 2, 3])
def test_refinenet_folds_whole(rng, count):
    model = trained(MODALITIES[:count], rng)
    inputs = images(model, rng)
    before = [np.array(w) for w in model.weights]
    folded, report = fold(model)
    assert_equal(model, folded, inputs)
    assert not report.left
    assert not any(isinstance(x, ChannelExchange) for x in folded.layers)
    assert not any(type(x) is keras.layers.Dropout for x in folded.layers)
    for weight, value in zip(model.weights, before, strict=True):
        assert np.array_equal(weight, value)


@pytest.mark.parametrize("count", [2, 3])
def test_the_ensemble_alone_needs_one_classifier(rng, count):
    model = trained(MODALITIES[:count], rng)
    folded, report = fold(model, outputs=["ensemble"])
    assert list(folded.output) == ["ensemble"]
    assert_equal(model, folded, images(model, rng))
    assert report.merged == ("ensemble_weights",)
    assert not any(isinstance(x, LearnedEnsemble) for x in folded.layers)
    whole = fold(model, outputs=["rgb", "ensemble"]).report
    # The classifier, and the convolution that is the last to add to its input.
    linear = 8 * 10 * 9 * 8 * (3 + 8)
    saved = whole.multiplications_after - report.multiplications_after
    assert saved == (count - 1) * linear


def test_an_ensemble_is_drawn_through_what_is_linear_only(rng):
    inputs = {name: keras.Input((4,), name=name) for name in MODALITIES}
    first = keras.layers.Dense(5)
    relu = keras.layers.ReLU()
    second = keras.layers.Dense(5)
    add, drop = keras.layers.Add(), keras.layers.Dropout(0.5)
    branches = [relu(first(x)) for x in inputs.values()]
    branches = [drop(add([x, second(x)])) for x in branches]
    outputs = {"ensemble": LearnedEnsemble()(branches)}
    model = keras.Model(inputs, outputs)
    randomize(model, rng)
    kernel = np.array(second.kernel)
    kernel[2] = 0
    second.kernel.assign(kernel)
    folded, report = fold(model)
    values = {name: rng.normal(size=(2, 4)) for name in MODALITIES}
    assert_equal(model, folded, values)
    assert report.multiplications_after == 3 * 4 * 5 + 5 * 5
    # It is made of Keras's own layers.
    assert {type(x).__module__.split(".")[0] for x in folded.layers} == {
        "keras"
    }


def test_of_a_branch_nobody_asks_for_only_what_is_donated_is_computed(rng):
    model = trained(MODALITIES[:2], rng)
    folded, report = fold(model, outputs=["rgb"])
    assert_equal(model, folded, images(model, rng))
    # The other branch's decoder is not there, nor is its last exchange.
    everything = fold(model).report
    assert report.multiplications_before < everything.multiplications_before
    assert report.multiplications_after < report.multiplications_before
    assert report.channels_cut > everything.channels_cut / 2


def test_folding_twice_changes_nothing(rng):
    model = trained(MODALITIES, rng)
    inputs = images(model, rng)
    once = fold(model).model
    twice, report = fold(once)
    assert str(report).startswith("Nothing to fold")
    first, second = predict(once, inputs), predict(twice, inputs)
    for name in first:
        assert np.array_equal(first[name], second[name])
    assert [w.path for w in once.weights] == [w.path for w in twice.weights]


def test_a_folded_model_saves_and_loads(rng, tmp_path):
    model = trained(MODALITIES[:2], rng)
    inputs = images(model, rng)
    folded = fold(model, outputs=["ensemble"]).model
    folded.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected, values = predict(folded, inputs), predict(loaded, inputs)
    assert np.array_equal(expected["ensemble"], values["ensemble"])


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="a format of TensorFlow"
)
def test_a_folded_model_exports(rng, tmp_path):
    import tensorflow as tf

    model = trained(MODALITIES[:2], rng)
    inputs = images(model, rng)
    folded = fold(model).model
    folded.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    served = loaded.serve(inputs)
    expected = predict(folded, inputs)
    for name, values in expected.items():
        largest = np.abs(values).max()
        np.testing.assert_allclose(
            served[name], values, atol=1e-5 * largest, rtol=0
        )


def test_half_precision(rng):
    with_policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    keras.config.set_dtype_policy(with_policy)
    try:
        model = exchanging(2)
        randomize(model, rng)
        exchange_a_third(model, rng)
        folded, report = fold(model)
    finally:
        keras.config.set_dtype_policy("float32")
    values = [rng.normal(size=(2, 6, 7, 3)) for _ in range(2)]
    # A half has 11 bits, and every layer rounds to them.
    assert_equal(model, folded, values, share=5e-3)
    assert report.folded == ("exchange",)
    assert {w.dtype for w in folded.weights} == {"float32"}
    assert {x.dtype for x in folded.output} == {"float16"}


@pytest.mark.parametrize("outputs", [[], ["labels"], "ensemble"])
def test_wrong_outputs_explain_themselves(outputs):
    with pytest.raises(ValueError, match=r"\['rgb', 'depth', 'ensemble'\]"):
        fold(small(MODALITIES[:2]), outputs=outputs)


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize("model_class", [keras.Sequential, Subclassed])
def test_a_model_without_a_graph_is_refused(model_class):
    with pytest.raises(ValueError, match="must be a functional model"):
        fold(model_class())
