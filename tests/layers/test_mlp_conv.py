"""Acceptance case 24: network in network."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

from keras_fusion.layers import MLPConv


def test_is_a_convolution_and_a_dense_stack_at_each_pixel(rng):
    x = rng.normal(size=(2, 7, 6, 3)).astype("float32")
    layer = MLPConv([8, 5, 4], 3, strides=2, padding="valid")
    outputs = layer(x)
    h = layers.Conv2D(8, 3, strides=2, activation="relu")
    h.build(x.shape)
    h.set_weights(layer.steps[0].get_weights())
    pixels = ops.convert_to_numpy(h(x)).reshape(-1, 8)
    for step in layer.steps[1:]:
        kernel, bias = step.get_weights()
        pixels = np.maximum(pixels @ kernel[0, 0] + bias, 0)
    expected = pixels.reshape(2, 3, 2, 4)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


def test_each_step_may_start_its_own_way():
    x = keras.Input((4, 4, 3))
    starts = ["zeros", keras.initializers.Constant(2.0)]
    model = keras.Model(x, MLPConv([5, 4], 3, kernel_initializer=starts)(x))
    for layer in (model.layers[1], keras.models.clone_model(model).layers[1]):
        kernels = [ops.convert_to_numpy(s.kernel) for s in layer.steps]
        assert (kernels[0] == 0).all() and (kernels[1] == 2).all()
    with pytest.raises(ValueError, match="or one for each. Received: 2 for"):
        MLPConv([5, 4, 3], 3, kernel_initializer=starts)


@pytest.mark.parametrize("last_activation", ["relu", None])
def test_pooled_class_maps_are_the_mean_of_the_logits_of_pixels(
    rng, last_activation
):
    x = rng.normal(size=(2, 5, 4, 3)).astype("float32")
    maps = MLPConv([6, 10], 3, last_activation=last_activation)(x)
    logits = ops.convert_to_numpy(layers.GlobalAveragePooling2D()(maps))
    pixels = ops.convert_to_numpy(maps).reshape(2, -1, 10)
    np.testing.assert_allclose(
        logits, pixels.mean(axis=1), rtol=1e-5, atol=1e-6
    )
    # Published logits cannot be negative.
    assert (logits.min() >= 0) == (last_activation == "relu")


CIFAR = [([192, 160, 96], 5), ([192, 192, 192], 5)]
IMAGENET = [([96] * 3, 11), ([256] * 3, 5), ([384] * 3, 3)]


@pytest.mark.parametrize(
    ("blocks", "total"),
    [
        ([*CIFAR, ([192, 192, 10], 3)], 966_986),
        ([*CIFAR, ([192, 192, 100], 3)], 984_356),
        ([*IMAGENET, ([1024, 1024, 1000], 3)], 7_595_176),
    ],
)
def test_published_networks_have_their_number_of_weights(blocks, total):
    shape, count = (None, 32, 32, 3), 0
    for filters, kernel_size in blocks:
        layer = MLPConv(filters, kernel_size)
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
        count += layer.count_params()
    assert count == total


def test_steps_of_one_shape_start_with_different_kernels():
    layer = MLPConv([4, 4, 4], 1, kernel_initializer="he_normal")
    layer.build((None, 3, 3, 4))
    first, second, third = (step.get_weights()[0] for step in layer.steps)
    assert np.any(first != second) and np.any(second != third)


def test_channels_first_is_channels_last_transposed(channels_first, rng):
    x = rng.normal(size=(2, 5, 4, 3)).astype("float32")
    last = MLPConv([6, 7], 3, data_format="channels_last")
    first = MLPConv([6, 7], 3, data_format="channels_first")
    first.build((None, 3, 5, 4))
    expected = ops.convert_to_numpy(last(x))
    first.set_weights(last.get_weights())
    outputs = ops.convert_to_numpy(first(np.moveaxis(x, -1, 1)))
    np.testing.assert_allclose(
        outputs, np.moveaxis(expected, -1, 1), rtol=1e-5, atol=1e-5
    )


def test_network_without_steps_explains_itself():
    with pytest.raises(ValueError, match="at least one step"):
        MLPConv([], 3)


def test_seeded_initializer_is_kept_by_saving(tmp_path):
    initializer = keras.initializers.RandomNormal(stddev=0.05, seed=3)
    layer = MLPConv([4], 3, kernel_initializer=initializer)
    again = MLPConv.from_config(layer.get_config())
    for each in (layer, again):
        each.build((None, 5, 5, 2))
    np.testing.assert_array_equal(*(m.get_weights()[0] for m in (layer, again)))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf")
def test_a_batch_that_turns_out_empty_gives_an_empty_output():
    import tensorflow as tf

    layer = MLPConv([4, 3], 3, strides=2, data_format="channels_last")
    layer.build((None, 5, 4, 2))
    call = tf.function(
        layer, input_signature=[tf.TensorSpec((None, None, None, 2))]
    )
    assert call(tf.zeros((0, 5, 4, 2))).shape == (0, 3, 2, 3)
    np.testing.assert_allclose(
        call(tf.ones((2, 5, 4, 2))), layer(tf.ones((2, 5, 4, 2))), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([4, 0], 3), r"`filters\[1\]` must be an integer"),
        (([4], (3, 3, 3)), "`kernel_size` must be a positive integer"),
        (([4], 3, 1.5), "`strides` must be a positive integer"),
    ],
)
def test_sizes_that_make_no_windows_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MLPConv(*arguments)
