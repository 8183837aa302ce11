import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import FactoredLogBilinear
from keras_fusion.layers import LogBilinear


def filled(layer, rng, **weights):
    for weight in layer.weights:
        value = weights.get(weight.name, rng.normal(size=weight.shape))
        weight.assign(value)
    return layer


def built(rng, modality=4, **weights):
    layer = LogBilinear(7, 5)
    layer.build((2, 3), modality and (2, modality))
    return filled(layer, rng, **weights)


def scores(layer, *arguments):
    return ops.convert_to_numpy(layer(*arguments))


def softmax(logits):
    return ops.convert_to_numpy(ops.softmax(logits))


def words(rng, *shape):
    return rng.integers(7, size=shape)


# The numbers of the cases are those of the reference note, section 1.7.
def test_case_1_number_of_weights():
    for modality, count in ((None, 1569), ((2, 12), 1761)):
        layer = LogBilinear(17, 16)
        layer.build((2, 5), modality)
        assert layer.count_params() == count


def test_case_2_probabilities_of_two_words_are_those_by_hand(rng):
    layer = LogBilinear(2, 1)
    layer.build((1, 1), (1, 1))
    filled(
        layer,
        rng,
        embeddings=[[1.0], [-1.0]],
        context_kernel=[[[2.0]]],
        modality_kernel=[[1.0]],
        bias=[0.0, 0.0],
    )
    context = np.zeros((1, 1), "int32")
    # Agreement with the first word is 2, with the second -2.
    text_alone = softmax(layer(context))[0, 0]
    assert text_alone == pytest.approx(0.9820137900, abs=1e-6)
    assert softmax(layer(context, np.array([[-2.0]], "float32")))[0, 0] == 0.5


def test_case_3_without_kernel_or_features_the_modality_changes_no_bit(rng):
    layer = built(rng)
    context, x = words(rng, 6, 3), rng.normal(size=(6, 4)).astype("float32")
    of_text = scores(layer, context)
    np.testing.assert_array_equal(scores(layer, context, 0 * x), of_text)
    layer.modality_kernel.assign(np.zeros((4, 5)))
    np.testing.assert_array_equal(scores(layer, context, x), of_text)


def test_case_3_without_kernels_only_the_biases_speak(rng):
    bias = rng.normal(size=7)
    zeros = np.zeros((3, 5, 5))
    layer = built(rng, modality=None, context_kernel=zeros, bias=bias)
    expected = np.exp(bias) / np.exp(bias).sum()
    for row in softmax(layer(words(rng, 6, 3))):
        np.testing.assert_allclose(row, expected, rtol=1e-5)
    layer.bias.assign(np.zeros(7))
    likelihoods = softmax(layer(words(rng, 6, 3)))
    perplexity = 2 ** -np.log2(likelihoods).mean()
    assert perplexity == pytest.approx(7, rel=1e-6)


def test_case_4_modality_shifts_logits_alike_in_every_context(rng):
    layer = built(rng)
    context = words(rng, 6, 3)
    x, other = rng.normal(size=(2, 1, 4)).astype("float32")
    shifts = scores(layer, context, np.repeat(x, 6, axis=0))
    shifts -= scores(layer, context, np.repeat(other, 6, axis=0))
    assert np.ptp(shifts[0]) > 0.1
    np.testing.assert_allclose(
        shifts, np.repeat(shifts[:1], 6, axis=0), atol=1e-4
    )


def test_codes_of_captions_and_images_meet_in_one_broadcast(rng):
    layer = built(rng)
    captions, images = words(rng, 4, 6, 3), rng.normal(size=(5, 4))
    images = images.astype("float32")
    contexts = ops.expand_dims(layer.encode_context(captions), 1)
    modalities = layer.encode_modality(images)[None, :, None]
    together = ops.convert_to_numpy(layer.logits(contexts, modalities))
    assert together.shape == (4, 5, 6, 7)
    for i in range(4):
        for j in range(5):
            alone = scores(layer, captions[i : i + 1], images[j : j + 1])
            np.testing.assert_allclose(together[i, j], alone[0], atol=1e-4)


def test_wrong_input_explains_itself(rng):
    with pytest.raises(ValueError, match="must be an integer of at least 1"):
        LogBilinear(0, 5)
    with pytest.raises(ValueError, match="Pass the indices of the words"):
        LogBilinear(7, 5)(np.zeros(3, "int32"))
    with pytest.raises(ValueError, match="Pool or flatten"):
        LogBilinear(7, 5)(words(rng, 2, 3), np.zeros((2, 4, 4), "float32"))
    with pytest.raises(ValueError, match="Pass one at the first call too"):
        built(rng, modality=None)(words(rng, 2, 3), np.zeros((2, 4)))


@pytest.mark.parametrize("kind", [LogBilinear, FactoredLogBilinear])
def test_words_rounded_by_half_precision_are_refused(kind):
    layer = kind(5000, 2, dtype="mixed_float16")
    modality = np.ones((1, 3), "float32")
    layer(np.array([[2049, 3]], "int32"), modality)
    with pytest.raises(ValueError, match="`context` of .* must be integers"):
        layer(np.array([[2049, 3]], "float32"), modality)


@pytest.mark.parametrize("kind", [LogBilinear, FactoredLogBilinear])
def test_codes_are_asked_of_built_layers(kind):
    with pytest.raises(ValueError, match="must be asked of a built layer"):
        kind(7, 5).encode_context(np.ones((1, 2), "int32"))
