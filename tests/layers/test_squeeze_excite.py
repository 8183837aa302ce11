"""Acceptance case 25: squeeze-and-excitation, with and without a text."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import SqueezeExcite
from keras_fusion.layers import SqueezeExciteFusion
from keras_fusion.layers import TextGate


def draw(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def call(layer, *inputs):
    return ops.convert_to_numpy(layer(*inputs))


@pytest.mark.parametrize("shape", [(2, 4, 5, 6), (2, 3, 6), (2, 6)])
def test_constant_gates_halve_or_keep_the_input(rng, shape):
    x, text = draw(rng, *shape), draw(rng, 2, 7)
    for layer, inputs in (
        (SqueezeExcite(2), (x,)),
        (TextGate(2), (x, text)),
    ):
        layer.build(*(each.shape for each in inputs))
        layer.excite.kernel.assign(np.zeros(layer.excite.kernel.shape))
        np.testing.assert_array_equal(call(layer, *inputs), x / 2)
        layer.excite.bias.assign(np.full(6, 20.0))
        np.testing.assert_allclose(call(layer, *inputs), x, rtol=1e-6)


def test_output_is_the_input_times_a_gate_for_each_channel(rng):
    x = draw(rng, 2, 4, 5, 6)
    gates = call(SqueezeExcite(2), x) / x
    spread = gates.max(axis=(1, 2)) - gates.min(axis=(1, 2))
    assert spread.max() < 1e-5
    assert 0 < gates.min() and gates.max() < 1


def test_permuted_positions_give_the_permuted_output(rng):
    x = draw(rng, 2, 12, 6)
    layer, order = SqueezeExcite(2), rng.permutation(12)
    np.testing.assert_allclose(
        call(layer, x[:, order]), call(layer, x)[:, order], rtol=1e-5, atol=1e-6
    )


def test_resnet_50_gets_the_published_number_of_weights():
    """Biases included; the published count without them is 2,514,944."""
    blocks, widths = (3, 4, 6, 3), (256, 512, 1024, 2048)
    total = without_bias = 0
    for count, width in zip(blocks, widths, strict=True):
        layer = SqueezeExcite()
        layer.build((None, 7, 7, width))
        total += count * layer.count_params()
        kernels = (layer.squeeze.kernel, layer.excite.kernel)
        without_bias += count * sum(np.prod(k.shape) for k in kernels)
    assert (total, without_bias) == (2_530_992, 2_514_944)


@pytest.mark.parametrize(("channels", "units"), [(3, 1), (16, 1), (40, 2)])
def test_bottleneck_has_at_least_one_unit(channels, units):
    layer = SqueezeExcite(ratio=16)
    layer.build((None, channels))
    assert layer.squeeze.units == units


def test_gate_of_two_modalities_has_the_formula_of_one(rng):
    """Cross-modal gates on halves of the channels are gates on them all."""
    x = draw(rng, 2, 4, 5, 6)
    single, cross = SqueezeExcite(2), SqueezeExciteFusion(2)
    expected = call(single, x)
    cross.build([(2, 4, 5, 2), (2, 4, 5, 4)])
    kernel, bias = single.excite.get_weights()
    cross.squeeze.set_weights(single.squeeze.get_weights())
    cross.excite[0].set_weights([kernel[:, :2], bias[:2]])
    cross.excite[1].set_weights([kernel[:, 2:], bias[2:]])
    parts = cross([x[..., :2], x[..., 2:]])
    np.testing.assert_allclose(
        ops.concatenate(parts, axis=-1), expected, rtol=1e-5, atol=1e-6
    )


def test_text_gate_without_weights_for_the_text_ignores_it(rng):
    x, text = draw(rng, 2, 4, 5, 6), draw(rng, 2, 7)
    gate, single = TextGate(2), SqueezeExcite(2)
    gate.build(x.shape, text.shape)
    single.build(x.shape)
    kernel, bias = gate.squeeze.get_weights()
    kernel[6:] = 0
    gate.squeeze.set_weights([kernel, bias])
    single.squeeze.set_weights([kernel[:6], bias])
    single.excite.set_weights(gate.excite.get_weights())
    np.testing.assert_allclose(
        call(gate, x, text), call(single, x), rtol=1e-5, atol=1e-6
    )
    assert gate.count_params() == (6 + 7 + 1) * 3 + (3 + 1) * 6


def test_text_gate_answers_the_text_of_its_own_sample(rng):
    x = np.repeat(draw(rng, 1, 4, 5, 6), 3, axis=0)
    text = draw(rng, 3, 7)
    text[2] = text[0]
    gate = TextGate(2)
    gate.build(x.shape, text.shape)
    gate.set_weights([np.abs(draw(rng, *w.shape)) for w in gate.weights])
    outputs = call(gate, x, np.abs(text))
    np.testing.assert_allclose(outputs[0], outputs[2], rtol=1e-6)
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-4


def test_wrong_input_explains_itself():
    maps = keras.Input((4, 4, 6))
    for layer in (SqueezeExcite, TextGate):
        with pytest.raises(ValueError, match="`ratio` must be an integer"):
            layer(0)
    with pytest.raises(ValueError, match="known number of channels"):
        SqueezeExcite()(keras.Input((4, 4, None)))
    with pytest.raises(ValueError, match="Pool or flatten"):
        TextGate()(maps, keras.Input((9, 7)))


def test_channels_first_is_channels_last_transposed(rng):
    x = rng.normal(size=(2, 4, 5, 6)).astype("float32")
    last, first = SqueezeExcite(ratio=2), SqueezeExcite(ratio=2, axis=1)
    expected = ops.convert_to_numpy(last(x))
    first.build((2, 6, 4, 5))
    first.set_weights(last.get_weights())
    outputs = ops.convert_to_numpy(first(np.moveaxis(x, -1, 1)))
    np.testing.assert_allclose(
        outputs, np.moveaxis(expected, -1, 1), rtol=1e-5, atol=1e-6
    )
