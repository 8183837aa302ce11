"""Acceptance case 10 for every bilinear layer and text convolution."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.layers import cases_bilinear
from tests.layers import cases_text
from tests.layers.test_contract import built
from tests.layers.test_contract import flat
from tests.layers.test_contract import random_arguments

CASES = [*cases_bilinear.CASES, *cases_text.CASES]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tape")
@every_case
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_gradients_agree_with_central_differences(case, seed):
    import tensorflow as tf

    layer = built(case, dtype="float64")
    arguments = keras.tree.map_structure(
        lambda x: tf.Variable(x, dtype="float64"),
        random_arguments(case, seed=seed),
    )
    variables = [*flat(arguments), *(w.value for w in layer.trainable_weights)]
    rng = np.random.default_rng(seed)
    upstream = rng.normal(size=layer(*arguments).shape)

    def total():
        return tf.reduce_sum(layer(*arguments) * upstream)

    with tf.GradientTape() as tape:
        loss = total()
    gradients = tape.gradient(loss, variables)
    for variable, gradient in zip(variables, gradients, strict=True):
        direction = rng.normal(size=variable.shape)
        value = variable.numpy()
        ends = []
        for step in (1e-7, -1e-7):
            variable.assign(value + step * direction)
            ends.append(total().numpy())
        variable.assign(value)
        difference = (ends[0] - ends[1]) / 2e-7
        slope = np.sum(gradient * direction)
        scale = max(1.0, abs(slope), abs(loss))
        assert abs(difference - slope) < 1e-6 * scale, variable.name


@every_case
def test_half_precision_is_within_a_hundredth(case):
    single = built(case)
    half = built(case, dtype="mixed_float16")
    for one, other in zip(half.weights, single.weights, strict=True):
        one.assign(other)
    arguments = random_arguments(case)
    expected = ops.convert_to_numpy(single(*arguments))
    outputs = ops.convert_to_numpy(half(*arguments)).astype("float32")
    error = np.linalg.norm(outputs - expected)
    assert error <= 1e-2 * np.linalg.norm(expected)
