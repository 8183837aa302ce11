"""Gates in residual and inception networks: counts, positions, effect."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import SqueezeExcite
from keras_fusion.models import squeeze_excite_inception
from keras_fusion.models import squeeze_excite_resnet
from keras_fusion.models.squeeze_excite_inception import INCEPTION_STAGES

R50, R101, R152 = (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)


def small_resnet(**kwargs):
    settings = {
        "num_classes": 4,
        "image_shape": (12, 12, 3),
        "blocks": (1, 2),
        "width": 4,
        "stem": "small",
        "ratio": 4,
    }
    return squeeze_excite_resnet(**{**settings, **kwargs})


def small_inception(**kwargs):
    settings = {
        "num_classes": 4,
        "image_shape": (12, 12, 3),
        "width": 4,
        "scale": 1 / 32,
        "stem": "small",
        "stages": (INCEPTION_STAGES[0], INCEPTION_STAGES[2][1:]),
        "ratio": 2,
    }
    return squeeze_excite_inception(**{**settings, **kwargs})


NETWORKS = pytest.mark.parametrize("network", [small_resnet, small_inception])


def images(count=6):
    rng = np.random.default_rng(1)
    return {"image": rng.normal(size=(count, 12, 12, 3)).astype("float32")}


def parameters(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


@pytest.mark.parametrize(
    ("blocks", "extra"),
    [
        (R50, 2_530_992),
        pytest.param(R101, 4_777_712, marks=pytest.mark.slow),
        pytest.param(R152, 6_629_040, marks=pytest.mark.slow),
    ],
)
def test_gates_add_the_published_number_of_weights(blocks, extra):
    gated = squeeze_excite_resnet(blocks=blocks)
    plain = squeeze_excite_resnet(blocks=blocks, ratio=None)
    assert parameters(gated) - parameters(plain) == extra


def test_without_gates_it_is_the_resnet_of_keras():
    source = keras.applications.ResNet50(weights=None)
    ours = squeeze_excite_resnet(ratio=None)
    # Keras gives every convolution a bias; there are as many as shifts.
    biases = sum(
        layer.filters
        for layer in source.layers
        if isinstance(layer, keras.layers.Conv2D)
    )
    assert parameters(ours) == parameters(source) - biases


def test_inception_modules_have_the_widths_of_their_table():
    model = squeeze_excite_inception(image_shape=(32, 32, 3))
    widths = {
        layer.name.removeprefix("module").removesuffix("_gates"): (
            layer.output.shape[-1]
        )
        for layer in model.layers
        if isinstance(layer, SqueezeExcite)
    }
    assert widths == {
        "3a": 256,
        "3b": 320,
        "3c": 576,
        "4a": 576,
        "4b": 576,
        "4c": 608,
        "4d": 608,
        "4e": 1056,
        "5a": 1024,
        "5b": 1024,
    }
    assert model.get_layer("module3b_gates").squeeze.units == 20
    plain = squeeze_excite_inception(image_shape=(32, 32, 3), ratio=None)
    extra = sum((2 * c + 1) * (c // 16) + c for c in widths.values())
    assert parameters(model) - parameters(plain) == extra


def open_gates(model, bias):
    for layer in model.layers:
        if isinstance(layer, SqueezeExcite):
            layer.excite.kernel.assign(0 * layer.excite.kernel)
            layer.excite.bias.assign(bias + 0 * layer.excite.bias)


def test_open_gates_leave_the_plain_network():
    for network in (small_resnet, small_inception):
        gated, plain = network(), network(ratio=None)
        gated_weights = {w.path: w for w in gated.weights}
        for weight in plain.weights:
            weight.assign(gated_weights[weight.path])
        open_gates(gated, 30.0)
        np.testing.assert_allclose(
            gated(images())["label"],
            plain(images())["label"],
            rtol=1e-4,
            atol=1e-5,
        )


def test_closed_gates_leave_only_the_shortcuts():
    model = small_resnet()
    open_gates(model, -100.0)
    block = "stage2_block2"
    watched = keras.Model(
        model.input,
        [
            model.get_layer("stage2_block1_output").output,
            model.get_layer(f"{block}_output").output,
        ],
    )
    before, after = watched(images())
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert float(ops.max(ops.abs(before))) > 0.1


@NETWORKS
def test_every_weight_learns_and_files_keep_the_numbers(network, tmp_path):
    model = network()
    for weight in model.weights:
        # Units under zero for every image would learn nothing.
        if weight.name in ("beta", "bias"):
            weight.assign(0.5 + 0 * weight)
    model.compile(
        keras.optimizers.SGD(0.1),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    before = {
        w.path: ops.convert_to_numpy(w).copy() for w in model.trainable_weights
    }
    model.train_on_batch(images(), {"label": np.arange(6) % 4})
    still = {
        w.path
        for w in model.trainable_weights
        if np.array_equal(w, before[w.path])
    }
    assert not still
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded(images())["label"], model(images())["label"]
    )


@pytest.mark.parametrize("stride_on", ["1x1", "3x3"])
def test_stride_is_on_the_convolution_that_is_named(stride_on):
    model = small_resnet(stride_on=stride_on)
    strides = [
        model.get_layer(f"stage2_block1_{number}_conv").strides[0]
        for number in (1, 2)
    ]
    assert strides == ([2, 1] if stride_on == "1x1" else [1, 2])


@NETWORKS
def test_the_large_stem_leaves_less_resolution(network):
    model = network(image_shape=(64, 64, 3), stem="imagenet")
    first = (
        "stage1_block1_output" if network is small_resnet else "module3a_gates"
    )
    side = 16 if network is small_resnet else 8
    assert model.get_layer(first).output.shape[1] == side


@pytest.mark.parametrize(
    ("network", "arguments", "message"),
    [
        (small_resnet, {"stride_on": "5x5"}, '"3x3" or "1x1"'),
        (small_resnet, {"stem": "large"}, "one of imagenet, small"),
        (small_inception, {"stem": "large"}, "one of imagenet, small"),
    ],
)
def test_wrong_arguments_explain_themselves(network, arguments, message):
    with pytest.raises(ValueError, match=message):
        network(**arguments)
