import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import MissingModalityToken
from tests.gradients import gradients


def test_tokens_of_zeros_are_zero_filling(rng):
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    presence = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0]])
    outputs = MissingModalityToken()(list(x), presence)
    for m in range(2):
        expected = x[m] * presence[:, m, None]
        assert np.array_equal(ops.convert_to_numpy(outputs[m]), expected)


@pytest.mark.parametrize("dtype", ["bool", "int32", "float32"])
def test_token_stands_at_every_position(rng, dtype):
    layer = MissingModalityToken()
    x = [np.ones((2, 4, 4, 3), "float32"), np.ones((2, 7, 5), "float32")]
    layer.build([x[0].shape, x[1].shape], (2, 2))
    for token in layer.tokens:
        token.assign(rng.normal(size=token.shape))
    presence = np.array([[0, 1], [1, 0]]).astype(dtype)
    maps, words = map(ops.convert_to_numpy, layer(x, presence))
    first, second = map(ops.convert_to_numpy, layer.tokens)
    assert np.array_equal(maps[0], np.broadcast_to(first, (4, 4, 3)))
    assert np.array_equal(words[1], np.broadcast_to(second, (7, 5)))
    assert np.all(maps[1] == 1)
    assert np.all(words[0] == 1)


def test_what_is_absent_gets_no_gradient_even_if_broken():
    presence = np.array([[1, 1], [0, 1]])
    x = np.ones((2, 2, 3), "float32")
    x[0, 1] = np.nan
    layer = MissingModalityToken()
    slopes = gradients(
        lambda a, b: sum(ops.square(y) for y in layer([a, b], presence)), *x
    )
    assert np.array_equal(slopes[0], [[2, 2, 2], [0, 0, 0]])
    assert np.array_equal(slopes[1], np.full((2, 3), 2))


def test_wrong_presence_explains_itself():
    x = [np.zeros((2, 3))] * 3
    with pytest.raises(ValueError, match=r"of shape \(batch, 3\)"):
        MissingModalityToken()(x, np.ones((2, 2)))


def test_presence_of_other_modalities_is_refused_after_the_first_call_too():
    layer = MissingModalityToken()
    x = [np.ones((2, 3), "float32")] * 2
    layer(x, np.ones((2, 2)))
    with pytest.raises(ValueError, match="one column for each modality"):
        layer(x, np.ones((2, 3)))
