import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import LocalFullyConnectedFusion
from tests.layers.precision import DOUBLE

pytestmark = pytest.mark.usefixtures("double_precision")


def array(x):
    return ops.convert_to_numpy(x)


@pytest.fixture
def maps(rng):
    return rng.normal(size=(3, 4, 5, 6))


@pytest.fixture
def text(rng):
    return rng.normal(size=(3, 7))


def test_without_text_weights_it_is_one_by_one_convolutions(maps, text):
    layer = LocalFullyConnectedFusion([8, 2], dtype="float64")
    layer(maps, text)
    layer.text.kernel.assign(np.zeros((7, 8)))
    expected = maps
    for cell in layer.cells:
        kernel = array(cell.kernel)[None, None]
        expected = ops.conv(expected, kernel, data_format="channels_last")
        expected = ops.relu(expected + cell.bias)
    np.testing.assert_allclose(
        array(layer(maps, text)), array(expected), rtol=DOUBLE
    )


def test_on_one_cell_it_is_concatenation_and_dense_layers(maps, text):
    layer = LocalFullyConnectedFusion([8, 2], dtype="float64")
    fused = array(layer(maps[:, :1, :1], text))[:, 0, 0]
    joined = np.concatenate([maps[:, 0, 0], text], axis=1)
    first, second = layer.cells
    kernel = np.concatenate([array(first.kernel), array(layer.text.kernel)])
    hidden = np.maximum(0, joined @ kernel + array(first.bias))
    expected = array(ops.relu(second(hidden)))
    np.testing.assert_allclose(fused, expected, rtol=DOUBLE)


def test_moving_cells_moves_the_output(rng, maps, text):
    layer = LocalFullyConnectedFusion([8, 2], dtype="float64")
    order = rng.permutation(20)
    fused = array(layer(maps, text)).reshape(3, 20, 2)
    moved = maps.reshape(3, 20, 6)[:, order].reshape(maps.shape)
    np.testing.assert_allclose(
        array(layer(moved, text)).reshape(3, 20, 2),
        fused[:, order],
        rtol=DOUBLE,
    )


def test_wrong_input_explains_itself(maps, text):
    with pytest.raises(ValueError, match="`units` must be a list"):
        LocalFullyConnectedFusion(8)
    with pytest.raises(ValueError, match=r"`units\[1\]` must be an integer"):
        LocalFullyConnectedFusion([8, 0])
    with pytest.raises(ValueError, match="`inputs` .* must have at least 3"):
        LocalFullyConnectedFusion([8])(maps[:, 0, 0], text)
