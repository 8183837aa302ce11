"""What the layers of one signature share: `Layer(units)([a, b, ...])`."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import GatedMultimodalUnit
from keras_fusion.layers import LowRankTensorFusion
from keras_fusion.layers import TensorFusion
from keras_fusion.layers import TransformerFusion

WIDTHS = [3, 5, 2, 4]
# The number of weights of layers of 8 units, as their docstrings give it.
SIZES = {
    GatedMultimodalUnit: lambda d: len(d) * sum(d) * 8,
    TensorFusion: lambda d: math.prod(width + 1 for width in d) * 8,
    LowRankTensorFusion: lambda d: 4 * 8 * (sum(d) + len(d)) + 4 + 8,
    TransformerFusion: lambda d: (
        (sum(d) + len(d) + 3) * 8 + 2 * ((4 + 2 * 4) * 8**2 + (5 + 4) * 8)
    ),
}
every_layer = pytest.mark.parametrize(
    "layer_class", SIZES, ids=lambda layer_class: layer_class.__name__
)


@every_layer
@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_any_number_of_modalities_of_any_width_is_fused(
    rng, layer_class, modalities
):
    widths = WIDTHS[:modalities]
    xs = [rng.normal(size=(6, d)).astype("float32") for d in widths]
    layer = layer_class(8)
    fused = ops.convert_to_numpy(layer(xs))
    assert fused.shape == (6, 8)
    assert layer.count_params() == SIZES[layer_class](widths)
    # A sample's output does not depend on the others.
    alone = ops.convert_to_numpy(layer([x[2:3] for x in xs]))
    np.testing.assert_allclose(alone, fused[2:3], rtol=1e-4, atol=1e-5)


@every_layer
def test_exclusive_or_of_two_modalities_is_learnt(layer_class):
    first = np.array([[-1], [-1], [1], [1]], "float32")
    second = np.array([[-1], [1], [-1], [1]], "float32")
    different = (first != second).astype("float32")
    symbols = [keras.Input((1,)), keras.Input((1,))]
    fused = layer_class(8)(symbols)
    model = keras.Model(symbols, keras.layers.Dense(1)(fused))
    model.compile(
        keras.optimizers.Adam(0.03),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    steps = 200
    model.fit(
        [np.tile(first, (steps, 1)), np.tile(second, (steps, 1))],
        np.tile(different, (steps, 1)),
        batch_size=4,
        shuffle=False,
        verbose=0,
    )
    logits = ops.convert_to_numpy(model([first, second]))
    # Whoever sees the sum of two functions of one modality each errs, or
    # says 0, at one corner at least.
    assert np.all(np.where(different, logits, -logits) > 2)


@every_layer
def test_wrong_input_explains_itself(layer_class):
    vector = np.zeros((2, 3), "float32")
    with pytest.raises(ValueError, match="list of at least 2 tensors"):
        layer_class(8)([vector])
    with pytest.raises(ValueError, match="list of at least 2 tensors"):
        layer_class(8)(vector)
    with pytest.raises(ValueError, match="axes? .*first|axis of tokens first"):
        layer_class(8)([vector, np.zeros((2, 3, 3, 3), "float32")])
    with pytest.raises(ValueError, match="Set that dimension"):
        layer_class(8)([keras.Input((3,)), keras.Input((None,))])
    with pytest.raises(ValueError, match="units=0"):
        layer_class(0)
