"""Acceptance case 24 on the builder, and its companions."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.models import NETWORK_IN_NETWORK_PRESETS
from keras_fusion.models import DeeplySupervised
from keras_fusion.models import network_in_network


def small(**kwargs):
    settings = {
        "num_classes": 4,
        "image_shape": (8, 8, 2),
        "filters": ((5, 4), (6, 5), (6,)),
        "kernel_sizes": (3, 3, 3),
        "kernel_initializer": "he_normal",
    }
    return network_in_network(**{**settings, **kwargs})


def images(count=5):
    rng = np.random.default_rng(1)
    return {"image": rng.normal(size=(count, 8, 8, 2)).astype("float32")}


def parameters(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


@pytest.mark.parametrize(
    ("preset", "total"),
    [("cifar10", 966_986), ("cifar100", 984_356), ("imagenet", 7_595_176)],
)
def test_published_networks_have_their_number_of_weights(preset, total):
    model = network_in_network(**NETWORK_IN_NETWORK_PRESETS[preset])
    assert parameters(model.trainable_weights) == total


@pytest.mark.parametrize("supervised", [False, True])
def test_the_first_kernels_for_cifar100_start_as_published(supervised):
    settings = NETWORK_IN_NETWORK_PRESETS["cifar100"]
    model = network_in_network(**settings, deeply_supervised=supervised)
    kernels = [
        w
        for w in model.trainable_weights
        if w.name == "kernel" and w.path.startswith("block")
    ]
    deviations = [float(ops.std(kernel)) for kernel in kernels]
    expected = [0.001, 0.01, 0.01] + 6 * [0.05]
    np.testing.assert_allclose(deviations, expected, rtol=0.05)


@pytest.mark.parametrize(
    ("preset", "side"),
    [("cifar10", 8), ("mnist", 7), ("svhn", 8), ("imagenet", 6)],
)
def test_class_maps_have_the_published_size(preset, side):
    model = network_in_network(**NETWORK_IN_NETWORK_PRESETS[preset])
    maps = model.get_layer("label").input
    assert maps.shape[1:3] == (side, side)


def test_companions_are_as_large_as_published():
    model = network_in_network(deeply_supervised=True)
    sizes = [
        model.get_layer(f"companion_block{block}").count_params()
        for block in (1, 2, 3)
    ]
    assert sizes == [1_966_090, 491_530, 122_890]
    plain = network_in_network()
    extra = parameters(model.trainable_weights) - sum(sizes)
    assert extra == parameters(plain.trainable_weights)


@pytest.mark.parametrize("last_activation", ["relu", None])
def test_logits_are_the_means_of_the_class_maps(last_activation):
    model = small(last_activation=last_activation)
    maps = keras.Model(model.input, model.get_layer("block3").output)
    logits = ops.convert_to_numpy(model(images())["label"])
    pixels = ops.convert_to_numpy(maps(images())).reshape(5, -1, 4)
    np.testing.assert_allclose(
        logits, pixels.mean(axis=1), rtol=1e-5, atol=1e-6
    )
    assert (logits.min() >= 0) == (last_activation == "relu")


def test_companions_leave_the_logits_as_they_are():
    model, plain = small(deeply_supervised=True), small()
    for block in (1, 2, 3):
        kernel, bias, *rest = plain.get_layer(f"block{block}").get_weights()
        model.get_layer(f"block{block}_conv").set_weights([kernel, bias])
        model.get_layer(f"block{block}").set_weights(rest)
    np.testing.assert_allclose(
        model(images())["label"], plain(images())["label"], atol=1e-6
    )


def test_companions_read_the_convolution_before_its_relu():
    model = small(deeply_supervised=True)
    linear = keras.Model(model.input, model.get_layer("block1_conv").output)
    maps = ops.convert_to_numpy(linear(images()))
    assert maps.min() < 0
    kernel, bias = model.get_layer("companion_block1").get_weights()
    np.testing.assert_allclose(
        model(images())["companion_block1"],
        maps.reshape(5, -1) @ kernel + bias,
        rtol=1e-4,
        atol=1e-5,
    )


def losses(model):
    labels = dict.fromkeys(model.output, np.arange(5) % 4)
    return model.evaluate(images(), labels, verbose=0, return_dict=True)


def compiled(model):
    model.compile(
        keras.optimizers.SGD(0.1),
        {
            name: keras.losses.SparseCategoricalCrossentropy(True)
            for name in model.output
        },
    )
    return model


@pytest.mark.parametrize("factor", [1.0, 0.25, 0.0])
def test_the_loss_of_companions_has_weight_and_factor(factor):
    model = compiled(small(deeply_supervised=True, companion_weight=0.5))
    model.companion_factor.assign(factor)
    alone = {}
    logits = model(images(), training=False)
    for name, value in logits.items():
        loss = keras.losses.SparseCategoricalCrossentropy(True)
        alone[name] = float(loss(np.arange(5) % 4, value))
    rest = sum(alone.values()) - alone["label"]
    expected = alone["label"] + 0.5 * factor * rest
    assert losses(model)["loss"] == pytest.approx(expected, rel=1e-5)


def test_without_weight_companions_do_not_learn_and_all_else_does():
    model = compiled(small(deeply_supervised=True, dropout=(0.0, 0.0)))
    for weight in model.weights:
        if weight.path.endswith("bias"):
            weight.assign(np.full(weight.shape, 0.5))
    model.companion_factor.assign(0.0)
    before = [ops.convert_to_numpy(w).copy() for w in model.trainable_weights]
    labels = dict.fromkeys(model.output, np.arange(5) % 4)
    model.train_on_batch(images(), labels)
    moved = {
        w.path
        for w, old in zip(model.trainable_weights, before, strict=True)
        if not np.array_equal(w, old)
    }
    paths = {w.path for w in model.trainable_weights}
    assert moved == {p for p in paths if not p.startswith("companion_")}


def test_a_file_keeps_weight_and_factor_of_the_companions(tmp_path):
    model = compiled(small(deeply_supervised=True, companion_weight=0.7))
    model.companion_factor.assign(0.25)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is DeeplySupervised
    assert loaded.companion_weight == 0.7
    assert losses(loaded) == losses(model)


def test_sample_weights_are_refused():
    model = compiled(small(deeply_supervised=True))
    labels = dict.fromkeys(model.output, np.arange(5) % 4)
    weights = dict.fromkeys(model.output, np.ones(5))
    with pytest.raises(ValueError, match="weighed by the model itself"):
        model.train_on_batch(images(), labels, sample_weight=weights)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs TensorFlow"
)
def test_two_replicas_train_companions_like_one(two_replicas):
    weights = []
    start = small(deeply_supervised=True, dropout=(0.0, 0.0)).get_weights()
    for scope in (None, two_replicas):
        if scope is None:
            model = compiled(small(deeply_supervised=True, dropout=(0.0, 0.0)))
        else:
            with scope.scope():
                model = compiled(
                    small(deeply_supervised=True, dropout=(0.0, 0.0))
                )
        model.set_weights(start)
        model.companion_factor.assign(0.5)
        labels = dict.fromkeys(model.output, np.arange(4))
        model.fit(
            images(4), labels, batch_size=4, epochs=2, shuffle=False, verbose=0
        )
        weights.append(model.get_weights())
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_sizes": (3, 3)},
        {"pools": ("max",)},
        {"dropout": (0.5,)},
        {"filters": ((5,), (5,), ())},
    ],
)
def test_blocks_and_arguments_of_other_lengths_are_refused(arguments):
    with pytest.raises(ValueError, match="must have an entry for each block"):
        small(**arguments)
