import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import SqueezeExciteFusion

# Another rank, another grid and another width for each modality.
SHAPES = [(2, 4, 6, 5), (2, 3, 3, 8), (2, 7, 3), (2, 4)]


def maps(rng):
    return [rng.normal(size=shape).astype("float32") for shape in SHAPES]


def gates_that_always_say(bias):
    layer = SqueezeExciteFusion(ratio=2)
    layer.build(SHAPES)
    for excite in layer.excite:
        excite.kernel.assign(np.zeros(excite.kernel.shape))
        excite.bias.assign(np.full(excite.bias.shape, bias))
    return layer


def arrays(outputs):
    return [ops.convert_to_numpy(output) for output in outputs]


@pytest.mark.parametrize(("bias", "gate"), [(100, 1), (0, 0.5), (-200, 0)])
def test_constant_gates_scale_every_map(rng, bias, gate):
    x = maps(rng)
    for output, each in zip(gates_that_always_say(bias)(x), x, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(output), gate * each)


@pytest.mark.parametrize("ratio", [1, 2, 16, 1000])
@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_number_of_weights_is_that_of_the_docstring(modalities, ratio):
    layer = SqueezeExciteFusion(ratio)
    layer.build(SHAPES[:modalities])
    channels = sum(shape[-1] for shape in SHAPES[:modalities])
    units = max(1, channels // ratio)
    assert layer.count_params() == (2 * channels + 1) * units + channels


def test_content_of_one_modality_changes_the_gates_of_the_others(rng):
    x = maps(rng)
    layer = SqueezeExciteFusion(ratio=2)
    before = arrays(layer(x))
    # Each gate is one number for each channel of each sample.
    gates = [output / each for output, each in zip(before, x, strict=True)]
    for gate, each in zip(gates, x, strict=True):
        first = gate.reshape(2, -1, each.shape[-1])[:, :1]
        assert np.ptp(gate.reshape(2, -1, each.shape[-1]) - first) < 1e-3
    louder = [x[0], x[1] + 3 * np.abs(x[1]).max(), *x[2:]]
    after = arrays(layer(louder))
    for m in (0, 2, 3):
        assert np.max(np.abs(after[m] - before[m])) > 1e-3, m


def test_only_the_mean_over_positions_matters_to_the_others(rng):
    x = maps(rng)
    layer = SqueezeExciteFusion(ratio=2)
    shuffled = rng.permutation(x[1].reshape(2, 9, 8), axis=1)
    after = layer([x[0], shuffled.reshape(x[1].shape), *x[2:]])
    np.testing.assert_allclose(
        ops.convert_to_numpy(after[0]),
        ops.convert_to_numpy(layer(x)[0]),
        rtol=1e-5,
        atol=1e-6,
    )


def test_samples_do_not_share_gates(rng):
    x = maps(rng)
    layer = SqueezeExciteFusion(ratio=2)
    both, second = layer(x), layer([each[1:] for each in x])
    for each, alone in zip(arrays(both), arrays(second), strict=True):
        np.testing.assert_allclose(each[1:], alone, rtol=1e-5, atol=1e-6)


def test_wrong_input_explains_itself():
    with pytest.raises(ValueError, match="`ratio` must be an integer of at"):
        SqueezeExciteFusion(ratio=0)
    with pytest.raises(ValueError, match="must be a list of at least 2 tensor"):
        SqueezeExciteFusion().build([(None, 4, 4, 3)])
    with pytest.raises(ValueError, match="must have a known number of chan"):
        SqueezeExciteFusion().build([(None, 4, 4, 3), (None, 4, 4, None)])


def test_channels_first_is_channels_last_transposed(rng):
    last, first = SqueezeExciteFusion(2), SqueezeExciteFusion(2, axis=1)
    x = maps(rng)
    turned = [np.moveaxis(each, -1, 1) for each in x]
    expected = arrays(last(x))
    first.build([each.shape for each in turned])
    first.set_weights(last.get_weights())
    for output, each in zip(arrays(first(turned)), expected, strict=True):
        np.testing.assert_allclose(
            output, np.moveaxis(each, -1, 1), rtol=1e-5, atol=1e-6
        )
