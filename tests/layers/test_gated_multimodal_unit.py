import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import GatedMultimodalUnit


def vectors(rng, *widths):
    return [rng.normal(size=(6, d)).astype("float32") for d in widths]


def proposals(layer, xs):
    return [
        np.tanh(x @ ops.convert_to_numpy(proposal.kernel))
        for x, proposal in zip(xs, layer.proposals, strict=True)
    ]


@pytest.mark.parametrize("widths", [(3, 4), (3, 4, 2), (3, 4, 2, 5)])
def test_tied_gates_mix_between_the_smallest_and_largest_proposal(rng, widths):
    xs = vectors(rng, *widths)
    layer = GatedMultimodalUnit(5)
    output = ops.convert_to_numpy(layer(xs))
    proposed = proposals(layer, xs)
    assert np.all(output <= np.max(proposed, axis=0) + 1e-6)
    assert np.all(output >= np.min(proposed, axis=0) - 1e-6)
    gates = ops.convert_to_numpy(layer.gates(xs))
    np.testing.assert_allclose(gates.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_gates_without_weights_treat_modalities_alike(rng, tied):
    xs = vectors(rng, 3, 4, 2)
    layer = GatedMultimodalUnit(5, tied_gates=tied)
    layer(xs)
    layer.gate.kernel.assign(np.zeros(layer.gate.kernel.shape))
    share = 1 / 3 if tied else 1 / 2
    expected = share * np.sum(proposals(layer, xs), axis=0)
    output = ops.convert_to_numpy(layer(xs))
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-6)


def test_extreme_gates_choose_one_modality_each(rng):
    xs = vectors(rng, 1, 4, 2)
    xs[0] = np.ones_like(xs[0])
    layer = GatedMultimodalUnit(3)
    layer(xs)
    # Unit u trusts modality u alone; the last has no gate of its own.
    kernel = np.zeros((7, 2, 3))
    kernel[0] = [[1000, 0, -1000], [0, 1000, -1000]]
    layer.gate.kernel.assign(kernel.reshape(7, 6))
    output = ops.convert_to_numpy(layer(xs))
    for unit, proposed in enumerate(proposals(layer, xs)):
        np.testing.assert_allclose(
            output[:, unit], proposed[:, unit], rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("tied", [True, False])
def test_modality_of_zeros_proposes_nothing(rng, tied):
    xs = vectors(rng, 3, 4)
    layer = GatedMultimodalUnit(5, activation="linear", tied_gates=tied)
    layer(xs)
    xs[1] = np.zeros_like(xs[1])
    gates = ops.convert_to_numpy(layer.gates(xs))
    alone = xs[0] @ ops.convert_to_numpy(layer.proposals[0].kernel)
    output = ops.convert_to_numpy(layer(xs))
    np.testing.assert_allclose(
        output, gates[:, 0] * alone, rtol=1e-4, atol=1e-6
    )
