import contextlib
import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.models import CAPTION_DECODERS
from keras_fusion.models import CAPTION_IMAGES
from keras_fusion.models import caption_contexts
from keras_fusion.models import caption_parts
from keras_fusion.models import captioner
from keras_fusion.models.caption_images import local_response_normalization
from tests.gradients import gradients

SMALL = {
    "embedding_size": 6,
    "context": 3,
    "factors": 5,
    "image_units": 7,
    "units": 8,
    "num_heads": 2,
    "length": 9,
}
every_decoder = pytest.mark.parametrize("decoder", CAPTION_DECODERS)
scored_once = [d for d, r in CAPTION_DECODERS.items() if r.likelihoods]


def small(decoder, **changes):
    return captioner([4], 11, decoder, **(SMALL | changes))


def samples(rng, batch=5, words=6):
    said = rng.integers(2, 11, (batch, words)).astype("int32")
    said[:, 0] = 1
    image = rng.normal(size=(batch, 4)).astype("float32")
    return {"image": image, "words": said}


def logits(model, inputs):
    return ops.convert_to_numpy(model(inputs, training=False)["next"])


@every_decoder
def test_no_word_sees_those_behind_it(rng, decoder):
    model, inputs = small(decoder), samples(rng)
    changed = inputs["words"].copy()
    changed[:, 3] = 1 + changed[:, 3] % 9
    before, after = (
        logits(model, inputs | {"words": words})
        for words in (inputs["words"], changed)
    )
    np.testing.assert_allclose(before[:, :3], after[:, :3], atol=1e-5)
    assert np.all(np.abs(before - after)[:, 3].max(axis=-1) > 1e-5)


@every_decoder
def test_the_image_has_an_influence_where_it_is_said_to(rng, decoder):
    model, inputs = small(decoder), samples(rng)
    other = logits(model, inputs | {"image": inputs["image"][::-1].copy()})
    change = np.abs(logits(model, inputs) - other)[:2].max()
    assert (change > 1e-4) == CAPTION_DECODERS[decoder].sees_image


@every_decoder
def test_every_weight_gets_a_gradient(rng, decoder):
    model, inputs = small(decoder), samples(rng, 16)
    weights = model.trainable_variables

    def loss(*values):
        pairs = list(zip(weights, values, strict=True))
        with keras.StatelessScope(state_mapping=pairs):
            scores = model(inputs, training=False)["next"]
        return keras.losses.sparse_categorical_crossentropy(
            np.roll(inputs["words"], -1, axis=1), scores, from_logits=True
        )

    values = [ops.convert_to_numpy(weight) for weight in weights]
    for weight, gradient in zip(weights, gradients(loss, *values), strict=True):
        assert np.abs(gradient).max() > 0, weight.path


@every_decoder
def test_a_loaded_model_and_its_parts_tell_the_same(rng, tmp_path, decoder):
    model, inputs = small(decoder, dropout=0.5), samples(rng)
    expected = logits(model, inputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(logits(loaded, inputs), expected, atol=1e-6)
    encode, tell = caption_parts(loaded)
    image, words = map(ops.convert_to_tensor, inputs.values())
    code = image if encode is None else encode(image)
    apart = ops.convert_to_numpy(tell([code, words]))
    np.testing.assert_allclose(apart, expected, atol=1e-6)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs TensorFlow"
)
@every_decoder
def test_two_replicas_learn_like_one(rng, two_replicas, decoder):
    inputs = samples(rng, 6)
    targets = {"next": np.roll(inputs["words"], -1, axis=1)}
    learned = []
    for scope in (contextlib.nullcontext, two_replicas.scope):
        keras.utils.set_random_seed(0)
        with scope():
            model = small(decoder)
            model.compile(
                keras.optimizers.SGD(0.5, momentum=0.9),
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            )
        start = model.get_weights()
        for _ in range(2):
            model.train_on_batch(inputs, targets)
        learned.append(model.get_weights())
    moved = []
    for before, one, two in zip(start, *learned, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
        moved.append(np.abs(one - before).max() > 1e-4)
    # Biases of the keys of attention change nothing, so they stay.
    assert np.mean(moved) > 0.9


def test_contexts_are_the_words_before_and_starts_where_there_are_none():
    words = np.array([[1, 5, 6, 7]], "int32")
    expected = [[1, 1, 1], [1, 1, 5], [1, 5, 6], [5, 6, 7]]
    np.testing.assert_array_equal(caption_contexts(words, 3)[0], expected)
    np.testing.assert_array_equal(
        caption_contexts(words, 1)[0], words[0][:, None]
    )


@pytest.mark.parametrize("decoder", ["mlbl_b", "mlbl_f"])
def test_log_bilinear_captioners_are_their_layers(rng, decoder):
    model, inputs = small(decoder), samples(rng)
    found = logits(model, inputs)
    encode, tell = caption_parts(model)
    layer = tell.get_layer("decoder")
    for place in range(6):
        before = [1, 1, 1]
        for row in range(5):
            before = [1, 1, *inputs["words"][row, : place + 1]][-3:]
            alone = layer(
                np.array([before], "int32"),
                encode(inputs["image"][row : row + 1]),
            )
            np.testing.assert_allclose(
                ops.convert_to_numpy(alone)[0], found[row, place], atol=1e-5
            )


def pairwise(model, images, words):
    """One pass for each pair, and a softmax: (images, captions, words)."""
    result = np.empty((len(images), len(words), words.shape[1] - 1))
    for i, j in itertools.product(range(len(images)), range(len(words))):
        scores = logits(
            model, {"image": images[i : i + 1], "words": words[j : j + 1, :-1]}
        )[0].astype("float64")
        scores -= np.log(np.exp(scores).sum(axis=-1, keepdims=True))
        result[i, j] = scores[np.arange(len(scores)), words[j, 1:]]
    return result


def once(model, images, words, decoder):
    contexts = caption_contexts(words[:, :-1], SMALL["context"])
    encode, tell = caption_parts(model)
    codes = images if encode is None else ops.convert_to_numpy(encode(images))
    found = CAPTION_DECODERS[decoder].likelihoods(
        tell.get_layer("decoder"),
        contexts.reshape(-1, SMALL["context"]),
        words[:, 1:].reshape(-1),
        codes,
    )
    return found.reshape(len(images), *words[:, 1:].shape)


@pytest.mark.parametrize("scale", [1, 300])
@pytest.mark.parametrize("decoder", scored_once)
def test_scores_of_all_pairs_are_those_one_by_one(rng, decoder, scale):
    model = small(decoder)
    layer = caption_parts(model)[1].get_layer("decoder")
    layer.bias.assign(rng.normal(size=11))
    if decoder == "mlbl_b":
        # Sums of products of exponentials that single precision lacks.
        layer.modality_kernel.assign(layer.modality_kernel * scale)
        layer.context_kernel.assign(layer.context_kernel * scale)
    inputs = samples(rng, 7)
    words, images = inputs["words"], inputs["image"]
    words[3:5] = words[:2]
    expected = pairwise(model, images, words)
    found = once(model, images, words, decoder)
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)
    if decoder != "lbl":
        assert np.ptp(expected[:, 0, 0]) > 1e-3


def test_sums_beyond_double_precision_are_made_again():
    # The image wants the first word only, the context the second only.
    class Sum:
        vocabulary_size = 2
        bias = ops.zeros(2)

        def encode_modality(self, codes):
            return ops.convert_to_tensor([[0.0, -2000.0]])

        def encode_context(self, contexts):
            return ops.convert_to_tensor([[-2001.0, 0.0]])

        def logits(self, codes):
            return codes

    found = CAPTION_DECODERS["mlbl_b"].likelihoods(
        Sum(), np.zeros((1, 1), int), np.array([1]), np.zeros((1, 1))
    )
    # Logits -2001 and -2000.
    assert found[0, 0] == pytest.approx(-np.log(1 + np.exp(-1)))


def test_the_published_convolution_has_its_weights_and_its_sizes():
    model, _ = caption_parts(captioner([9, 9, 128], 11, encoder="published"))
    assert model.get_layer("image_convolution").count_params() == 73792
    assert model.get_layer("image_convolution").output.shape[1:] == (7, 7, 64)
    assert model.get_layer("image_pool").output.shape[1:] == (3, 3, 64)
    assert model.get_layer("image_code").count_params() == 147712


def test_a_channel_is_divided_by_its_neighbors(rng):
    x = 50 * rng.normal(size=(2, 7)).astype("float32")
    found = ops.convert_to_numpy(local_response_normalization(x))
    for row in range(2):
        for c in range(7):
            near = x[row, max(0, c - 2) : c + 3].astype("float64")
            size = (2 + 1e-4 * (near**2).sum()) ** 0.75
            assert found[row, c] == pytest.approx(x[row, c] / size, rel=1e-4)


def blobs(seed):
    """12x12 pictures of a blob; "COLOR QUADRANT end"."""
    images, words = [], []
    rng = np.random.default_rng(seed)
    for color, down, right in itertools.product(range(3), (0, 1), (0, 1)):
        for _ in range(16):
            image = np.zeros((12, 12, 3), "float32")
            top, left = rng.integers(0, 3, 2) + 6 * np.array([down, right])
            image[top : top + 4, left : left + 4, color] = 255
            images.append(image + rng.uniform(0, 20, image.shape))
            words.append([1, 3 + color, 6 + 2 * down + right, 2])
    return np.array(images, "float32"), np.array(words, "int32")


@pytest.mark.parametrize("decoder", ["mlbl_b", "mlbl_f"])
# The number of the case is that of the reference note, section 1.7.
def test_case_16_convolutions_learn_from_captions(rng, decoder):
    (images, words), (others, their_words) = blobs(0), blobs(1)
    inputs = {"image": images, "words": words[:, :-1]}
    perplexity = {}
    for trained in (True, False):
        keras.utils.set_random_seed(0)
        model = captioner(
            [12, 12, 3],
            10,
            decoder,
            "convolution",
            embedding_size=8,
            context=2,
            image_units=16,
        )
        encode, _ = caption_parts(model)
        for layer in encode.layers:
            if "convolution" in layer.name or "norm" in layer.name:
                layer.trainable = trained
        first = encode.get_layer("image_convolution_1").kernel
        before = ops.convert_to_numpy(first)
        model.compile(
            keras.optimizers.Adam(5e-3),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        model.fit(inputs, {"next": words[:, 1:]}, 16, epochs=20, verbose=0)
        moved = np.abs(ops.convert_to_numpy(first) - before).max()
        assert (moved > 1e-3) == trained
        loss = model.evaluate(
            {"image": others, "words": their_words[:, :-1]},
            {"next": their_words[:, 1:]},
            verbose=0,
        )
        perplexity[trained] = np.exp(loss)
    assert perplexity[True] < 1.02
    # The bar of the trained ones is out of reach, by far.
    assert perplexity[False] > 1.02
    assert np.log(perplexity[False]) > 5 * np.log(perplexity[True])


def test_case_16_convolutions_learn_through_the_share_and_the_gates(rng):
    images, words = blobs(0)
    model = captioner(
        [12, 12, 3], 10, "mlbl_f", "convolution", context=2, factors=5
    )
    encode, tell = caption_parts(model)
    layer = tell.get_layer("decoder")
    kernel = encode.get_layer("image_convolution_1").kernel
    contexts = caption_contexts(words[:, :-1], 2)[:, 0]

    def code_of(value):
        with keras.StatelessScope(state_mapping=[(kernel, value)]):
            return layer.encode_modality(encode(images, training=False))

    def loss(through_share, through_gates):
        gates, _ = ops.split(code_of(through_gates), 2, axis=-1)
        _, share = ops.split(code_of(through_share), 2, axis=-1)
        scores = layer.logits(
            layer.encode_context(contexts),
            ops.concatenate([gates, share], axis=-1),
        )
        return keras.losses.sparse_categorical_crossentropy(
            words[:, 1], scores, from_logits=True
        )

    value = ops.convert_to_numpy(kernel)
    for gradient in gradients(loss, value, value):
        assert np.abs(gradient).max() > 1e-6


def test_wrong_arguments_explain_themselves():
    with pytest.raises(ValueError, match="`decoder` must be one of lbl, mlbl"):
        captioner([4], 11, "gru")
    with pytest.raises(ValueError, match="`encoder` must be one of dense"):
        captioner([4], 11, encoder="vgg")
    with pytest.raises(ValueError, match="a multiple of `num_heads`"):
        captioner([4], 11, "transformer", units=9, num_heads=2)
    assert CAPTION_IMAGES["convolution"].of_pixels
