import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import ResizeLike


def pixel_by_pixel(maps, height, width, align_corners):
    """Blends the four neighbors of each wanted pixel, one at a time."""

    def neighbors(i, size, target):
        if align_corners:
            at = i * (size - 1) / (target - 1) if target > 1 else 0
        else:
            at = min(max((i + 0.5) * size / target - 0.5, 0), size - 1)
        low = min(int(at), size - 1)
        return low, min(low + 1, size - 1), at - low

    rows, columns = maps.shape[1:3]
    resized = np.zeros((len(maps), height, width, maps.shape[3]))
    for i in range(height):
        top, bottom, down = neighbors(i, rows, height)
        for j in range(width):
            left, right, along = neighbors(j, columns, width)
            upper = maps[:, top, left] * (1 - along)
            upper = upper + maps[:, top, right] * along
            lower = maps[:, bottom, left] * (1 - along)
            lower = lower + maps[:, bottom, right] * along
            resized[:, i, j] = upper * (1 - down) + lower * down
    return resized


SIZES = [((3, 4), (7, 9)), ((6, 5), (2, 3)), ((1, 4), (3, 1)), ((4, 4), (4, 4))]


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(("size", "wanted"), SIZES)
def test_agrees_with_a_loop_over_pixels(rng, align_corners, size, wanted):
    maps = rng.normal(size=(2, *size, 3)).astype("float32")
    resized = ResizeLike(align_corners)(maps, np.zeros((2, *wanted, 1)))
    expected = pixel_by_pixel(maps, *wanted, align_corners)
    np.testing.assert_allclose(resized, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("align_corners", [True, False])
def test_channels_first_is_channels_last_transposed(rng, align_corners):
    maps = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    last = ResizeLike(align_corners, data_format="channels_last")
    first = ResizeLike(align_corners, data_format="channels_first")
    np.testing.assert_allclose(
        first(np.moveaxis(maps, -1, 1), np.zeros((2, 9, 7, 6))),
        np.moveaxis(
            ops.convert_to_numpy(last(maps, np.zeros((2, 7, 6, 9)))), -1, 1
        ),
        rtol=1e-6,
        atol=1e-6,
    )


def test_half_pixels_are_those_of_keras(rng):
    maps = rng.normal(size=(2, 5, 7, 3)).astype("float32")
    resized = ResizeLike()(maps, np.zeros((1, 11, 16, 1)))
    expected = ops.image.resize(maps, (11, 16), data_format="channels_last")
    np.testing.assert_allclose(resized, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("wanted", [(17, 23), (107, 140)])
def test_aligned_corner_pixels_are_reproduced_exactly(rng, wanted):
    maps = rng.normal(size=(1, 5, 6, 4)).astype("float32")
    resized = ops.convert_to_numpy(
        ResizeLike(align_corners=True)(maps, np.zeros((1, *wanted, 1)))
    )
    for row in (0, -1):
        for column in (0, -1):
            assert np.array_equal(resized[:, row, column], maps[:, row, column])


@pytest.mark.parametrize("align_corners", [True, False])
def test_size_of_the_input_itself_changes_nothing(rng, align_corners):
    maps = rng.normal(size=(2, 9, 6, 3)).astype("float32")
    assert np.array_equal(ResizeLike(align_corners)(maps, maps), maps)


@pytest.mark.parametrize("align_corners", [True, False])
def test_one_model_resizes_to_sizes_unknown_when_it_was_built(
    rng, align_corners
):
    maps, target = keras.Input((None, None, 2)), keras.Input((None, None, 5))
    resized = ResizeLike(align_corners)(maps, target)
    assert resized.shape == (None, None, None, 2)
    model = keras.Model([maps, target], resized)
    for size, wanted in (((3, 4), (8, 5)), ((6, 2), (4, 9))):
        x = rng.normal(size=(2, *size, 2)).astype("float32")
        y = model.predict([x, np.zeros((2, *wanted, 5))], verbose=0)
        expected = pixel_by_pixel(x, *wanted, align_corners)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tape")
@pytest.mark.parametrize("align_corners", [True, False])
def test_gradient_is_the_transposed_resize(rng, align_corners):
    import tensorflow as tf

    maps = tf.Variable(rng.normal(size=(1, 3, 4, 1)).astype("float32"))
    upstream = rng.normal(size=(1, 7, 5, 1)).astype("float32")
    with tf.GradientTape() as tape:
        resized = ResizeLike(align_corners)(maps, upstream)
        total = tf.reduce_sum(resized * upstream)
    gradient = tape.gradient(total, maps).numpy()
    for i in range(3):
        for j in range(4):
            one = np.zeros((1, 3, 4, 1))
            one[0, i, j] = 1
            expected = (
                pixel_by_pixel(one, 7, 5, align_corners) * upstream
            ).sum()
            assert gradient[0, i, j, 0] == pytest.approx(expected, abs=1e-5)


def test_cubic_maps_are_for_inference_only(rng):
    maps = rng.normal(size=(2, 5, 7, 3)).astype("float32")
    target = np.zeros((2, 11, 16, 1))
    layer = ResizeLike(cubic_inference=True)
    plain = ops.convert_to_numpy(ResizeLike()(maps, target))
    trained = ops.convert_to_numpy(layer(maps, target, training=True))
    np.testing.assert_array_equal(trained, plain)
    measured = ops.convert_to_numpy(layer(maps, target, training=False))
    assert np.abs(measured - plain).max() > 0.1
    # It reproduces what is constant, and the input's own size.
    ones = np.ones_like(maps)
    np.testing.assert_allclose(layer(ones, target), 1, rtol=1e-6)
    np.testing.assert_allclose(layer(maps, maps), maps, rtol=1e-6)


def test_wrong_input_explains_itself():
    with pytest.raises(ValueError, match="`target` .* must have 4 dim"):
        ResizeLike()(np.zeros((2, 3, 3, 1)), np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match='must be "channels_last" or'):
        ResizeLike(data_format="last")
