import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import LingUNet


def run(layer, *inputs, **kwargs):
    return ops.convert_to_numpy(layer(*inputs, **kwargs))


def test_without_text_weights_the_text_does_not_matter(rng):
    maps, text = rng.normal(size=(2, 8, 9, 3)), rng.normal(size=(2, 6))
    layer = LingUNet(4, depth=2)
    layer(maps, text)
    for level in layer.text:
        level.affine.kernel.assign(np.zeros(level.affine.kernel.shape))
        level.affine.bias.assign(np.arange(16.0))
    other = run(layer, maps, text + 1)
    np.testing.assert_array_equal(run(layer, maps, text), other)


def test_each_level_reads_its_part_of_the_text(rng):
    maps, text = rng.normal(size=(2, 8, 8, 3)), rng.normal(size=(2, 6))
    layer = LingUNet(4, depth=2, split_conditioning=True)
    before = run(layer, maps, text)
    # The part of the smaller level, whose kernels do not read the text.
    layer.text[1].affine.kernel.assign(np.zeros((3, 16)))
    layer.text[1].affine.bias.assign(np.arange(16.0))
    resting = run(layer, maps, text)
    text[:, 3:] += 1
    np.testing.assert_array_equal(run(layer, maps, text), resting)
    text[:, :3] += 1
    assert np.abs(run(layer, maps, text) - resting).max() > 0.1
    assert np.abs(resting - before).max() > 0.1


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("released", [True, False])
def test_documented_number_of_weights(split, released):
    layer = LingUNet(
        8,
        depth=3,
        kernel_size=3,
        split_conditioning=split,
        released=released,
    )
    layer.build((None, 32, 32, 5), (None, 12))
    text = (12 + 3) * 64 if split else 13 * 3 * 64
    shrink_and_widen = 9 * 8 * (5 + 7 * 8)
    biases_and_norms = (2 if released else 6) * 3 * 8
    assert layer.count_params() == shrink_and_widen + text + biases_and_norms


def test_the_published_map_and_text_reach_the_output_from_one_pixel(rng):
    maps, text = rng.normal(size=(2, 32, 32, 64)), rng.normal(size=(2, 256))
    layer = LingUNet()
    filtered = run(layer, maps, text)
    assert filtered.shape == (2, 32, 32, 32)
    # Linear in what the last deconvolution reads: no bend, no norm.
    bias = np.zeros(32)
    bias[3] = 5
    layer.widen[0].bias.assign(bias)
    np.testing.assert_allclose(
        run(layer, maps, text) - filtered,
        np.broadcast_to(bias, filtered.shape),
        atol=1e-5,
    )
    # The kernels of the one pixel are still read.
    layer.text[4].affine.bias.assign(np.arange(1024.0))
    assert np.abs(run(layer, maps, text) - bias - filtered).max() > 1e-3


def test_one_model_takes_maps_of_any_size(rng):
    inputs = [keras.Input((None, None, 3)), keras.Input((6,))]
    model = keras.Model(inputs, LingUNet(4, depth=2)(*inputs))
    for height, width in ((8, 8), (7, 13)):
        maps = rng.normal(size=(2, height, width, 3))
        filtered = model.predict([maps, np.ones((2, 6))], verbose=0)
        assert filtered.shape == (2, height, width, 4)


def test_dropout_rests_outside_training(rng):
    maps, text = rng.normal(size=(2, 8, 8, 3)), rng.normal(size=(2, 6))
    layer = LingUNet(4, depth=2, seed=1)
    resting = run(layer, maps, text)
    dropped = run(layer, maps, text, training=True)
    assert np.any(dropped != resting)
    np.testing.assert_array_equal(run(layer, maps, text), resting)


def test_wrong_input_explains_itself():
    maps, text = np.ones((2, 8, 8, 3)), np.ones((2, 6))
    with pytest.raises(ValueError, match="leave `split_conditioning` out"):
        LingUNet(4, depth=2, split_conditioning=True)(maps, text[:, :5])
    for depth, released in ((4, True), (3, False)):
        with pytest.raises(ValueError, match="one pixel behind 3 levels"):
            LingUNet(4, depth=depth, released=released)(maps, text)
    LingUNet(4, depth=3)(maps, text)
    LingUNet(4, depth=1)(maps[:, :1, :1], text)


def goal_pixels(rng, size):
    """Maps with a pixel of each of three colors; a cell beside one of them."""
    pixels = np.stack([rng.permutation(36)[:3] for _ in range(size)])
    rows, columns = 1 + pixels // 6, 1 + pixels % 6
    maps = np.zeros((size, 8, 8, 3), "float32")
    samples = np.arange(size)
    for color in range(3):
        maps[samples, rows[:, color], columns[:, color], color] = 1
    color, relation = rng.integers(3, size=size), rng.integers(5, size=size)
    down, along = np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]).T
    goal = 8 * (rows[samples, color] + down[relation])
    goal += columns[samples, color] + along[relation]
    text = np.concatenate([np.eye(3)[color], np.eye(5)[relation]], axis=1)
    return [maps, text.astype("float32")], goal


@pytest.mark.parametrize("released", [True, False])
def test_case_10_finds_the_goal_pixel_that_a_text_names(released, rng):
    maps, text = keras.Input((8, 8, 3)), keras.Input((8,))
    encoded = keras.layers.Dense(32, activation="relu")(text)
    layer = LingUNet(16, depth=2, released=released, dropout=0.0)
    filtered = layer(maps, encoded)
    scores = keras.layers.Flatten()(keras.layers.Dense(1)(filtered))
    model = keras.Model([maps, text], scores)
    model.compile(
        keras.optimizers.Adam(0.005),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(*goal_pixels(rng, 6000), batch_size=100, epochs=10, verbose=0)
    x, goal = goal_pixels(rng, 1000)
    loss, accuracy = model.evaluate(x, goal, batch_size=500, verbose=0)
    assert accuracy >= 0.97
    assert loss / np.log(2) <= 0.2
    # Without the text, three colors and five relations are a guess.
    _, blind = model.evaluate(
        [x[0], np.zeros_like(x[1])], goal, batch_size=500, verbose=0
    )
    assert blind <= 0.2


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf")
def test_a_batch_that_turns_out_empty_gives_an_empty_output():
    import tensorflow as tf

    layer = LingUNet(3, depth=2, kernel_size=3)
    layer.build((None, 8, 8, 2), (None, 4))
    call = tf.function(
        layer,
        input_signature=[
            tf.TensorSpec((None, 8, 8, 2)),
            tf.TensorSpec((None, 4)),
        ],
    )
    outputs = call(tf.zeros((0, 8, 8, 2)), tf.zeros((0, 4)))
    assert outputs.shape == (0, 8, 8, 3)
