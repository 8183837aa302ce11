import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import GatedGraph

pytestmark = pytest.mark.usefixtures("double_precision")


def run(layer, states):
    return ops.convert_to_numpy(layer(states))


@pytest.fixture
def states(rng):
    return rng.normal(size=(2, 4, 3))


def test_case_5_without_edges_classes_stay_apart(rng, states):
    layer = GatedGraph(dtype="float64")
    before = run(layer, states)
    states[:, 1] += 1
    after = run(layer, states)
    changed = np.any(after != before, axis=(0, 2))
    assert changed.tolist() == [False, True, False, False]


def test_messages_run_along_edges_in_both_directions(states):
    layer = GatedGraph(num_steps=1, dtype="float64")
    layer(states)
    adjacency = np.zeros((4, 4))
    adjacency[0, 1] = adjacency[1, 3] = 1
    layer.adjacency.assign(adjacency)
    before = run(layer, states)
    states[:, 1] += 1
    after = run(layer, states)
    changed = np.any(after != before, axis=(0, 2))
    assert changed.tolist() == [True, True, False, True]


def test_case_5_closed_update_gate_is_the_identity(states):
    layer = GatedGraph(dtype="float64")
    layer(states)
    layer.adjacency.assign(np.ones((4, 4)))
    layer.update[2].assign([-1e4] * 3)
    np.testing.assert_array_equal(run(layer, states), states)


def test_case_5_reset_gate_has_weights_of_its_own(states):
    layer = GatedGraph(dtype="float64")
    before = run(layer, states)
    layer.reset[1].assign(layer.reset[1] + 1)
    assert np.all(np.any(run(layer, states) != before, axis=2))
    own = {id(w) for w in layer.reset}
    assert own.isdisjoint(id(w) for w in layer.update)


def test_documented_number_of_weights(states):
    layer = GatedGraph()
    layer(states)
    trainable = sum(int(np.prod(w.shape)) for w in layer.trainable_weights)
    assert trainable == 9 * 3 * 3 + 3 * 3


def test_wrong_input_explains_itself(states):
    with pytest.raises(ValueError, match="`inputs` .* must have 3 dim"):
        GatedGraph()(states[0])
    with pytest.raises(ValueError, match="`num_steps` must be an integer"):
        GatedGraph(num_steps=0)
