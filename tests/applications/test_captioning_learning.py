"""The published recipe, starts from word vectors, and the ratio rule."""

import itertools

import keras
import numpy as np
import pytest

from applications.captioning import PRESETS
from applications.captioning import Config
from applications.captioning import build_model
from applications.captioning import callbacks
from applications.captioning import optimizer
from applications.captioning import scores
from applications.captioning.likelihoods import Teller
from applications.inputs import caption as captions
from keras_fusion.models import CAPTION_DECODERS
from keras_fusion.models import caption_parts
from keras_fusion.models import captioner

WORDS = tuple("abcdefgh")
SMALL = {
    "words": WORDS,
    "backbone": "convolution",
    "feature_shape": (32, 32, 3),
    "image_units": 6,
    "embedding_size": 4,
    "factors": 4,
    "units": 8,
    "num_blocks": 1,
}


def test_the_published_step_is_that_by_hand():
    weights = {
        name: keras.Variable(np.array([2.0, -1.0], "float32"), name=name)
        for name in ("embeddings", "context_kernel")
    }
    descent = optimizer.DecayedMomentum(
        0.1, momentum=0.5, decays={"embeddings$": 0.01, "": 0.1}
    )
    expected = {name: np.array([2.0, -1.0]) for name in weights}
    velocity = {name: np.zeros(2) for name in weights}
    decays = {"embeddings": 0.01, "context_kernel": 0.1}
    descent.build(list(weights.values()))
    for momentum in (0.5, 0.9, 0.9):
        gradients = []
        descent.current_momentum.assign(momentum)
        for name, value in expected.items():
            gradients.append(keras.ops.ones(2))
            slope = 1 + decays[name] * value
            velocity[name] = momentum * velocity[name] - 0.1 * slope
            expected[name] = value + velocity[name]
        descent.apply(gradients, list(weights.values()))
    for name, weight in weights.items():
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(weight), expected[name], rtol=1e-5
        )


@pytest.mark.parametrize(("model", "rate"), [("mlbl_b", 0.2), ("mlbl_f", 0.02)])
def test_the_published_preset_is_the_papers(model, rate):
    config = Config(
        **SMALL
        | {"model": model}
        | {
            name: getattr(PRESETS["published"], name)
            for name in ("learning_rate", "optimizer", "batch_size", "dropout")
        }
    )
    assert PRESETS["published"].context == 5
    assert PRESETS["published"].embedding_size == 50
    assert PRESETS["published"].image_units == 256
    assert config.batch_size == 20
    network = build_model(config)
    momenta, rates = [], []
    for epoch in (0, 10, 20, 50):
        for callback in callbacks(config, None, None):
            callback.set_model(network)
            callback.on_epoch_begin(epoch)
        momenta.append(float(network.optimizer.current_momentum))
        rates.append(float(network.optimizer.learning_rate))
    np.testing.assert_allclose(momenta, [0.5, 0.7, 0.9, 0.9], rtol=1e-6)
    np.testing.assert_allclose(
        rates, rate * 0.998 ** np.array([0, 10, 20, 50]), rtol=1e-5
    )
    decays = {
        weight.path.rsplit("/", 1)[-1]: network.optimizer.decay_of(weight.path)
        for weight in network.trainable_weights
    }
    assert decays["context_kernel"] == 1e-4
    table = "embeddings" if model == "mlbl_b" else "word_factors"
    assert decays[table] == 1e-5
    assert decays["kernel"] == decays["bias"] == 1e-4


@pytest.mark.parametrize("model", CAPTION_DECODERS)
def test_words_start_from_their_vectors(tmp_path, model):
    rng = np.random.default_rng(0)
    table = rng.normal(size=(3, 4))
    file = tmp_path / "vectors.txt"
    lines = [
        " ".join([word, *(f"{value:.6f}" for value in row)])
        for word, row in zip("bgz", table, strict=True)
    ]
    file.write_text("\n".join(lines) + "\n")
    network = build_model(
        Config(**SMALL | {"model": model, "word_vectors": str(file)})
    )
    layer = caption_parts(network)[1].get_layer(CAPTION_DECODERS[model].table)
    if model == "mlbl_f":
        found = np.array(layer.word_factors @ layer.embedding_factors)
    else:
        found = np.array(layer.embeddings)
    rows = found[[captions.RESERVED + WORDS.index(word) for word in "bg"]]
    # The same but for one factor.
    factors = rows / table[:2]
    np.testing.assert_allclose(factors, factors[0, 0], rtol=1e-3)
    assert factors[0, 0] > 0
    with pytest.raises(ValueError, match="give --embedding-size 4"):
        build_model(
            Config(
                **SMALL
                | {"word_vectors": str(file), "embedding_size": 5}
                | {"model": model}
            )
        )


# The numbers of the cases are those of the reference note, section 1.7.
def slots():
    """Case 10: "a C S on the P", and three one-hots as an image."""
    words = tuple(["a", "on", "the", "photo"])
    colors, shapes, places = ("c0", "c1", "c2", "c3"), "vwxyz", "lmr"
    words += (*colors, *shapes, *places)
    said, images = [], []
    for color, shape, place in itertools.product(colors, shapes, places):
        said.append(("a", color, shape, "on", "the", place))
        image = [w in (color, shape, place) for w in words[4:]]
        images.append(image)
    return words, said, np.array(images, "float32")


@pytest.mark.parametrize("model", ["mlbl_b", "mlbl_f"])
def test_case_14_the_ratio_passes_over_what_fits_every_image(model):
    words, said, images = slots()
    generic = ("a", "photo")
    encoded = captions.encode([*said, generic], words, 6)
    config = Config(
        **SMALL
        | {"words": words, "feature_shape": (12,), "dropout": 0.0}
        | {"model": model, "image_units": 32, "embedding_size": 16}
    )
    # Of features, in place of the backbone.
    network = captioner(
        [12], len(words) + 4, model, image_units=32, embedding_size=16
    )
    schedule = keras.optimizers.schedules.CosineDecay(0.03, 300, alpha=0.02)
    network.compile(
        keras.optimizers.Adam(schedule),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=captions.PADDING, reduction="sum"
        ),
    )
    # Nine times as often as its own text each image has the generic one.
    rows = np.concatenate([encoded[:60], np.repeat(encoded[60:], 60, axis=0)])
    weights = np.repeat([0.1, 0.9], 60).astype("float32") / 60
    inputs = {"image": np.tile(images, (2, 1)), "words": rows[:, :-1]}
    repeated = {
        n: np.tile(x, (300,) + (1,) * (x.ndim - 1)) for n, x in inputs.items()
    }
    network.fit(
        repeated,
        {"next": np.tile(rows[:, 1:], (300, 1))},
        sample_weight={"next": np.tile(weights, 300)[:, None]},
        batch_size=120,
        shuffle=False,
        verbose=0,
    )
    teller = Teller(network, config)
    codes = teller.codes(images)
    costs = teller.pairs(codes, encoded)
    alone = teller.pairs(scores.mean_code(codes), encoded)
    assert (costs.argmin(axis=1) == 60).mean() > 0.95
    best = scores.ratios(costs, alone).argmin(axis=1)
    assert (best == 60).mean() < 0.05
    assert (best == np.arange(60)).mean() > 0.9
    # Without the generic text perplexity alone finds every image's own.
    assert (costs[:, :60].argmin(axis=1) == np.arange(60)).mean() > 0.95


@pytest.mark.parametrize("model", CAPTION_DECODERS)
def test_case_15_what_all_words_and_all_images_share_is_worth_nothing(
    rng, model
):
    config = Config(
        **SMALL | {"model": model, "feature_shape": (12,), "dropout": 0.0}
    )
    network = captioner(
        [12], len(WORDS) + 4, model, image_units=6, embedding_size=4, units=8
    )
    teller = Teller(network, config)
    _, tell = caption_parts(network)
    words = captions.encode([("a", "c", "b"), ("h",)], WORDS, 3)
    images = rng.normal(size=(5, 12)).astype("float32")

    def costs_and_ratios(images):
        codes = teller.codes(images)
        costs = teller.pairs(codes, words)
        alone = teller.pairs(scores.mean_code(codes), words)
        return costs, scores.ratios(costs, alone)

    before = costs_and_ratios(images)
    assert (np.ptp(before[1], axis=0) > 1e-4).all() == teller.record.sees_image
    log_bilinear = CAPTION_DECODERS[model].table == "decoder"
    bias = tell.get_layer("decoder" if log_bilinear else "scores").bias
    bias.assign(bias + 7.0)
    for old, new in zip(before, costs_and_ratios(images), strict=True):
        np.testing.assert_allclose(old, new, rtol=1e-4)
    # One word alone is another matter.
    bias.assign(bias + 7.0 * np.eye(len(WORDS) + 4)[4])
    assert np.abs(costs_and_ratios(images)[0] - before[0]).min() > 0.1
    # Five images that are the same are their own mean.
    _, ratios = costs_and_ratios(np.repeat(images[:1], 5, axis=0))
    np.testing.assert_allclose(ratios, 1, rtol=1e-5)
