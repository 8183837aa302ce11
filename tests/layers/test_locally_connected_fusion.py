"""Acceptance cases 15 to 20 and 23 of convolutional fusion networks."""

import functools

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

from keras_fusion.layers import LocallyConnected1D
from keras_fusion.layers import LocallyConnectedFusion


def draw(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def fused(branches, kernel=None, bias=None, **kwargs):
    layer = LocallyConnectedFusion(**kwargs)
    layer.build([x.shape for x in branches])
    if kernel is not None:
        layer.kernel.assign(kernel)
    if bias is not None:
        layer.bias.assign(bias)
    return ops.convert_to_numpy(layer(list(branches)))


def assert_close(first, second):
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("branches", [1, 2, 3, 4])
def test_is_a_locally_connected_layer_over_branches(rng, branches, use_bias):
    """Case 15, weights K * (S + 1), or K * S without bias."""
    x = draw(rng, branches, 5, 7)
    local = LocallyConnected1D(1, 1, activation="relu", use_bias=use_bias)
    local.build((5, 7, branches))
    local.set_weights([draw(rng, *w.shape) for w in local.weights])
    layer = LocallyConnectedFusion(use_bias=use_bias)
    layer.build([(None, 7)] * branches)
    kernel, *bias = local.get_weights()
    layer.set_weights([kernel[:, :, 0], *(b[:, 0] for b in bias)])
    stacked = np.stack(x, axis=-1)
    assert_close(layer(list(x)), local(stacked)[:, :, 0])
    assert layer.count_params() == 7 * (branches + use_bias)


def test_special_weights_are_known_fusions(rng):
    """Case 16."""
    x = draw(rng, 3, 5, 7)
    assert_close(fused(x, np.ones((7, 3))), np.maximum(x.sum(axis=0), 0))
    assert_close(fused(x), np.maximum(x.mean(axis=0), 0))
    shared = draw(rng, 3)
    convolution = layers.Conv1D(1, 1, activation="relu", use_bias=False)
    convolution.build((5, 7, 3))
    convolution.set_weights([shared[None, :, None]])
    expected = convolution(np.stack(x, axis=-1))[:, :, 0]
    assert_close(fused(x, np.tile(shared, (7, 1))), expected)
    assert_close(fused(x[:1]), np.maximum(x[0], 0))


def test_branches_may_change_places_with_their_weights(rng):
    """Case 17."""
    x, kernel, bias = draw(rng, 3, 5, 7), draw(rng, 7, 3), draw(rng, 7)
    order = [2, 0, 1]
    assert_close(
        fused(x[order], kernel[:, order], bias), fused(x, kernel, bias)
    )


def pooled_branch(width, kernel_size, x):
    maps = layers.Conv2D(width, kernel_size, padding="same")(x)
    return layers.GlobalAveragePooling2D()(layers.ReLU()(maps))


def cifar_network(classes, first_width, side_kernel, fuses):
    conv = functools.partial(layers.Conv2D, padding="same", activation="relu")
    inputs = keras.Input((32, 32, 3))
    x = conv(first_width, 3)(conv(first_width, 3)(inputs))
    pool1 = layers.MaxPooling2D(3, 2, padding="same")(x)
    pool2 = layers.AveragePooling2D(3, 2, padding="same")(
        conv(192, 3)(conv(192, 3)(pool1))
    )
    x = pooled_branch(192, 1, conv(192, 3)(conv(192, 3)(pool2)))
    if fuses:
        sides = [pooled_branch(192, side_kernel, p) for p in (pool1, pool2)]
        x = LocallyConnectedFusion()([x, *sides])
    return keras.Model(inputs, layers.Dense(classes)(x))


def imagenet_network(fuses):
    def normal(width, kernel_size, x, strides=1, use_bias=False):
        x = layers.Conv2D(
            width, kernel_size, strides, "same", use_bias=use_bias
        )(x)
        return layers.ReLU()(layers.BatchNormalization()(x))

    inputs = keras.Input((224, 224, 3))
    x = normal(64, 7, inputs, 2, use_bias=True)
    pools = []
    for width in (64, 128, 256, 512):
        pools.append(layers.MaxPooling2D(3, 2, padding="same")(x))
        x = normal(width, 3, normal(width, 3, pools[-1]))
    branches = [*pools[1:], x] if fuses else [x]
    branches = [
        layers.GlobalAveragePooling2D()(normal(1024, 1, branch))
        for branch in branches
    ]
    if fuses:
        fusion = LocallyConnectedFusion(activation=None, use_bias=False)
        x = layers.Reshape((1024, 1))(fusion(branches))
        x = layers.BatchNormalization(name="fused_norm")(x)
        branches = [layers.Flatten()(layers.ReLU()(x))]
    return keras.Model(inputs, layers.Dense(1000)(branches[0]))


@pytest.mark.parametrize(
    ("arguments", "plain", "total"),
    [
        ((10, 96, 1), 1_286_698, 1_343_146),
        ((100, 192, 3), 1_721_572, 2_386_276),
        (None, 6_283_368, 6_752_362),
    ],
)
def test_networks_have_the_published_number_of_weights(arguments, plain, total):
    """Case 18, with normalizations counted as scale and shift."""
    for fuses, expected in ((False, plain), (True, total)):
        if arguments:
            model = cifar_network(*arguments, fuses)
        else:
            model = imagenet_network(fuses)
        weights = model.trainable_weights
        assert sum(np.prod(w.shape) for w in weights) == expected


def test_fused_vector_is_normalized_as_a_whole():
    """Case 20, the shipped behavior: 2 trainable and 2 moving values."""
    norm = imagenet_network(fuses=True).get_layer("fused_norm")
    assert [w.shape for w in norm.weights] == [(1,)] * 4


def test_published_start_gives_the_logits_of_the_mean(rng):
    """Case 19: 0.333 is short of a third by a thousandth."""
    branches = np.abs(draw(rng, 3, 5, 7))
    dense = layers.Dense(4, use_bias=False)
    fusion = LocallyConnectedFusion(
        kernel_initializer=keras.initializers.Constant(0.333)
    )
    logits = ops.convert_to_numpy(dense(fusion(list(branches))))
    mean = ops.convert_to_numpy(dense(branches.mean(axis=0)))
    np.testing.assert_allclose(logits, 0.999 * mean, rtol=1e-5, atol=1e-6)


def test_sum_before_or_after_a_shared_classifier_is_the_same(rng):
    """Case 23: no ReLU; the classifier's bias counts once a branch."""
    branches = draw(rng, 3, 5, 7)
    dense = layers.Dense(4)
    total = LocallyConnectedFusion(
        activation=None, use_bias=False, kernel_initializer="ones"
    )
    late = total([dense(x) for x in branches])
    early = dense(fused(branches, np.ones((7, 3)), activation=None))
    assert_close(late, early + 2 * ops.convert_to_tensor(dense.bias))


def test_maps_are_fused_like_their_pixels(rng):
    maps = draw(rng, 2, 5, 3, 4, 7)
    kernel, bias = draw(rng, 7, 2), draw(rng, 7)
    pixels = fused(maps.reshape(2, 60, 7), kernel, bias)
    assert_close(fused(maps, kernel, bias).reshape(60, 7), pixels)
    everywhere = fused(
        maps,
        np.tile(kernel, (3, 4, 1, 1)),
        np.tile(bias, (3, 4, 1)),
        per_position=True,
    )
    assert_close(everywhere, fused(maps, kernel, bias))


def test_statistics_say_which_branch_counts(rng):
    layer = LocallyConnectedFusion()
    layer.build([(None, 2)] * 2)
    layer.kernel.assign([[1.0, -3.0], [1.0, 1.0]])
    np.testing.assert_array_equal(layer.branch_weights, [[1, -3], [1, 1]])
    # The second branch is so quiet that its weights mislead.
    branches = [np.full((4, 2), 9.0), np.full((4, 2), 1.0)]
    expected = {
        "mean": [1, -1],
        "mean_absolute": [1, 2],
        "share": [(1 / 4 + 1 / 2) / 2, (3 / 4 + 1 / 2) / 2],
        "contribution": [(3 / 4 + 9 / 10) / 2, (1 / 4 + 1 / 10) / 2],
    }
    statistics = layer.branch_statistics(branches)
    assert set(statistics) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(statistics[name], values, rtol=1e-6)
    assert "contribution" not in layer.branch_statistics()


def test_wrong_input_explains_itself():
    vector, maps = keras.Input((4,)), keras.Input((None, None, 4))
    with pytest.raises(ValueError, match="Call it as `layer"):
        LocallyConnectedFusion()(vector)
    with pytest.raises(ValueError, match="modalities of one shape"):
        LocallyConnectedFusion()([vector, keras.Input((5,))])
    with pytest.raises(ValueError, match="or pass `per_position=False`"):
        LocallyConnectedFusion(per_position=True)([maps, maps])
