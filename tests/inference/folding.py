"""What tests of folding share: random models, and equality to 1e-4."""

import keras
import numpy as np
from keras import ops


def randomize(model, rng):
    """Random weights, statistics and scales, none of them under 0.1."""
    for weight in model.weights:
        if weight.name in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, weight.shape)
        elif weight.name in ("beta", "bias", "moving_mean", "alpha"):
            value = rng.normal(size=weight.shape)
        elif weight.name == "kernel":
            # Activations keep their size from layer to layer.
            fan = np.prod(weight.shape[:-1])
            value = rng.normal(size=weight.shape) * np.sqrt(2 / fan)
        else:
            continue
        weight.assign(value)


def predict(model, inputs):
    outputs = model(inputs, training=False)
    return keras.tree.map_structure(ops.convert_to_numpy, outputs)


def assert_equal(model, folded, inputs, share=1e-4):
    """Both predict the same, to a share of the largest value."""
    expected, values = predict(model, inputs), predict(folded, inputs)
    if isinstance(expected, dict):
        expected = {name: expected[name] for name in values}
    keras.tree.assert_same_structure(expected, values)
    for a, b in zip(
        keras.tree.flatten(expected), keras.tree.flatten(values), strict=True
    ):
        assert a.dtype == b.dtype
        largest = np.abs(a).max()
        assert largest > 0.1
        assert np.abs(a - b).max() < share * largest
