import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import FactoredLogBilinear
from keras_fusion.layers import LogBilinear
from tests.gradients import gradients

# The numbers of the cases are those of the reference note, section 1.7.
LAYERS = {
    "text": lambda: LogBilinear(5, 3, dtype="float64"),
    "additive": lambda: LogBilinear(5, 3, dtype="float64"),
    "factored": lambda: FactoredLogBilinear(5, 3, 4, dtype="float64"),
}


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="the other backends multiply matrices in float32",
)
@pytest.mark.parametrize("name", LAYERS)
def test_case_7_gradients_are_the_central_differences(rng, name):
    layer = LAYERS[name]()
    context, target = rng.integers(5, size=(4, 2)), rng.integers(5, size=4)
    arguments = [context]
    if name != "text":
        arguments.append(rng.normal(size=(4, 3)))
    layer(*arguments)
    values = [rng.normal(size=weight.shape) for weight in layer.weights]

    def loss(*values):
        pairs = zip(layer.weights, values, strict=True)
        with keras.StatelessScope(state_mapping=list(pairs)):
            logits = layer(*arguments)
        return keras.losses.sparse_categorical_crossentropy(
            target, logits, from_logits=True
        )

    computed = gradients(loss, *values, dtype="float64")
    for value, gradient in zip(values, computed, strict=True):
        differences = np.zeros(value.shape)
        for index in np.ndindex(value.shape):
            kept = value[index]
            sides = []
            for step in (1e-5, -1e-5):
                value[index] = kept + step
                moved = [ops.convert_to_tensor(x, "float64") for x in values]
                sides.append(float(ops.sum(loss(*moved))))
            value[index] = kept
            differences[index] = (sides[0] - sides[1]) / 2e-5
        error = np.linalg.norm(gradient - differences)
        assert np.linalg.norm(differences) > 1e-3
        assert error / np.linalg.norm(differences) < 1e-6


def test_case_7_tied_table_learns_from_reading_and_from_scoring(rng):
    layer = LogBilinear(5, 3)
    context, target = np.array([[0, 1], [1, 0]]), np.array([2, 2])
    layer(context)
    table = rng.normal(size=(5, 3)).astype("float32")

    def loss(read, scored):
        with keras.StatelessScope(state_mapping=[(layer.embeddings, read)]):
            code = layer.encode_context(context)
        with keras.StatelessScope(state_mapping=[(layer.embeddings, scored)]):
            logits = layer.logits(code)
        return keras.losses.sparse_categorical_crossentropy(
            target, logits, from_logits=True
        )

    read, scored = gradients(loss, table, table)
    assert np.all(np.abs(read[:2]).sum(axis=1) > 1e-3)
    # Only words of the context are read, but all of them are scored.
    np.testing.assert_array_equal(read[2:], 0)
    assert np.all(np.abs(scored).sum(axis=1) > 1e-3)
    (both,) = gradients(lambda table: loss(table, table), table)
    np.testing.assert_allclose(both, read + scored, rtol=1e-4, atol=1e-6)
