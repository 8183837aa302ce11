import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import LearnedEnsemble
from tests.layers.gradients import gradients


def ensemble(alpha, **kwargs):
    layer = LearnedEnsemble(**kwargs)
    layer.build([(None, 5)] * len(alpha))
    layer.alpha.assign(alpha)
    return layer


def branches(rng, modalities):
    return list(rng.normal(size=(modalities, 4, 5)).astype("float32"))


@pytest.mark.parametrize("modalities", [1, 2, 3, 4])
def test_starts_as_the_arithmetic_mean(rng, modalities):
    x = branches(rng, modalities)
    np.testing.assert_allclose(
        ops.convert_to_numpy(LearnedEnsemble()(x)),
        np.mean(x, axis=0),
        rtol=1e-5,
        atol=1e-6,
    )


def test_weights_sum_to_one_and_ignore_a_common_shift(rng):
    alpha = np.array([0.5, -2.0, 30.0, 29.0])
    weights = ensemble(alpha).mixing_weights
    assert weights.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(
        ensemble(alpha - 64).mixing_weights, weights, rtol=1e-5
    )
    ratio = weights[2] / weights[3]
    assert ratio == pytest.approx(np.e, rel=1e-5)


@pytest.mark.parametrize("best", [0, 1, 2])
def test_a_large_weight_recovers_its_branch(rng, best):
    x = branches(rng, 3)
    output = ops.convert_to_numpy(ensemble(200.0 * np.eye(3)[best])(x))
    np.testing.assert_allclose(output, x[best], rtol=1e-6)


def test_loss_on_the_output_trains_the_weights_alone(rng):
    x, (u,) = branches(rng, 3), branches(rng, 1)
    layer = ensemble([0.3, -1.0, 2.0])
    by_input, by_weight = gradients(layer, x, [u])
    assert not np.any(by_input)
    # Of softmax: each score against their mean.
    p, scores = layer.mixing_weights, np.sum(np.array(x) * u, axis=(1, 2))
    expected = p * (scores - p @ scores)
    np.testing.assert_allclose(by_weight["alpha"], expected, rtol=1e-4)


def test_without_stop_each_branch_gets_its_share_of_the_gradient(rng):
    x, (u,) = branches(rng, 3), branches(rng, 1)
    layer = ensemble([0.3, -1.0, 2.0], stop_gradient=False)
    by_input, _ = gradients(layer, x, [u])
    for m, share in enumerate(layer.mixing_weights):
        np.testing.assert_allclose(by_input[m], share * u, rtol=1e-5)


def test_wrong_input_explains_itself():
    with pytest.raises(ValueError, match="must be a list of at least 1 tensor"):
        LearnedEnsemble()(keras.Input((3,)))
    with pytest.raises(ValueError, match="must be modalities of one shape"):
        LearnedEnsemble()([keras.Input((3,)), keras.Input((4,))])


def test_branches_of_two_shapes_are_refused_after_the_first_call_too():
    layer = LearnedEnsemble()
    layer([np.ones((2, 3))] * 2)
    with pytest.raises(ValueError, match="modalities of one shape"):
        layer([np.ones((2, 3)), np.ones((2, 1))])
