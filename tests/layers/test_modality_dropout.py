import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import ModalityDropout


def presence_of(layer, samples, modalities, presence=None):
    inputs = [np.ones((samples, 2), "float32")] * modalities
    _, kept = layer(inputs, presence, training=True)
    return ops.convert_to_numpy(kept)


@pytest.mark.parametrize("modalities", [2, 3, 5])
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.8, 1.0])
def test_share_of_hidden_modalities_is_the_documented_one(rate, modalities):
    samples = 20_000
    kept = presence_of(ModalityDropout(rate, seed=0), samples, modalities)
    hidden = rate - rate**modalities / modalities
    # Five standard errors of a share.
    error = 5 * np.sqrt(0.25 / samples)
    assert np.all(np.abs((1 - kept).mean(axis=0) - hidden) <= error)
    assert kept.sum(axis=1).min() >= 1


def test_modalities_and_samples_are_hidden_independently():
    # With five modalities hardly a sample needs one to be kept.
    kept = presence_of(ModalityDropout(0.3, seed=0), 20_000, 5)
    correlation = np.corrcoef(kept.T) - np.eye(5)
    assert np.abs(correlation).max() < 0.05
    following = np.corrcoef(kept[1:, 0], kept[:-1, 0])[0, 1]
    assert abs(following) < 0.05


def test_hidden_modalities_are_zeros_and_the_others_unchanged(rng):
    inputs = [
        rng.normal(size=(50, *shape)).astype("float32")
        for shape in ((3,), (4, 4, 2), (5, 1))
    ]
    outputs, kept = ModalityDropout(0.5, seed=0)(inputs, training=True)
    kept = ops.convert_to_numpy(kept)
    assert set(kept.ravel()) == {0.0, 1.0}
    for m, (x, y) in enumerate(zip(inputs, outputs, strict=True)):
        y = ops.convert_to_numpy(y)
        for i in range(50):
            assert np.array_equal(y[i], x[i] if kept[i, m] else 0 * x[i])


def test_nothing_is_hidden_outside_training(rng):
    x = rng.normal(size=(2, 8, 3)).astype("float32")
    for training in (False, None):
        outputs, kept = ModalityDropout(1.0)(list(x), training=training)
        assert np.array_equal(ops.convert_to_numpy(outputs[0]), x[0])
        assert np.array_equal(ops.convert_to_numpy(outputs[1]), x[1])
        assert np.all(ops.convert_to_numpy(kept) == 1)


def test_absent_modality_stays_absent_and_one_present_stays(rng):
    presence = rng.integers(2, size=(500, 3)).astype("bool")
    kept = presence_of(ModalityDropout(0.9, seed=0), 500, 3, presence)
    assert not np.any(kept[~presence])
    some = presence.any(axis=1)
    assert np.all(kept[some].sum(axis=1) >= 1)
    assert kept.sum() < 0.7 * presence.sum()


def test_absent_nan_becomes_zeros(rng):
    broken = np.full((2, 3), np.nan, "float32")
    presence = np.array([[1, 0], [1, 0]])
    (_, second), _ = ModalityDropout(0.5)([broken * 0 + 1, broken], presence)
    assert not np.any(ops.convert_to_numpy(second))


def test_seed_repeats_and_steps_differ():
    layer, again = ModalityDropout(0.5, seed=3), ModalityDropout(0.5, seed=3)
    first = presence_of(layer, 64, 2)
    assert np.array_equal(presence_of(again, 64, 2), first)
    assert not np.array_equal(presence_of(layer, 64, 2), first)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs TensorFlow"
)
def test_replicas_hide_different_modalities(two_replicas):
    import tensorflow as tf

    with two_replicas.scope():
        layer = ModalityDropout(0.5, seed=0)
        inputs = [np.ones((64, 2), "float32")] * 2
        layer(inputs)

    @tf.function
    def step():
        return two_replicas.run(lambda: layer(inputs, training=True)[1])

    draws = [two_replicas.experimental_local_results(step()) for _ in range(3)]
    draws = [np.array(kept) for pair in draws for kept in pair]
    for i, one in enumerate(draws):
        for other in draws[i + 1 :]:
            assert not np.array_equal(one, other)


def test_wrong_input_explains_itself():
    with pytest.raises(ValueError, match="between 0 and 1"):
        ModalityDropout(1.5)
    with pytest.raises(ValueError, match="list of at least 2 tensors"):
        ModalityDropout(0.5)([np.zeros((2, 3))])


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_indices_of_words_stay_integers(dtype):
    words = np.array([[2049, 3], [4097, 5]], "int32")
    maps = np.ones((2, 3), "float32")
    layer = ModalityDropout(1.0, seed=0, dtype=dtype)
    (outputs, _), presence = layer([words, maps], training=True)
    kept = ops.convert_to_numpy(presence)[:, :1].astype("int32")
    np.testing.assert_array_equal(outputs, kept * words)
    inputs = [keras.Input((2,), dtype="int32"), keras.Input((3,))]
    (symbol, other), _ = layer(inputs)
    assert symbol.dtype == "int32"
    assert other.dtype == layer.compute_dtype
