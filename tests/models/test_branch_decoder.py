"""Convolutional fusion without pooling as a decoder for every pixel."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.models import refinenet


def small(modalities=("rgb", "depth"), **kwargs):
    settings = {
        "num_classes": 3,
        "blocks": (1, 1, 1),
        "width": 4,
        "decoder": "branches",
        "decoder_width": 5,
        "dropout": 0.0,
        "fusion": "none",
        "fusion_stages": (1, 2, 3),
    }
    return refinenet(modalities, **{**settings, **kwargs})


def images(model, size=(40, 56)):
    rng = np.random.default_rng(1)
    return {
        modality: rng.normal(size=(2, *size, 3)).astype("float32")
        for modality in model.input
    }


def test_weights_are_lifts_fusion_and_classifier():
    model = small()
    channels = (16, 32, 64)
    decoder = sum(
        int(np.prod(w.shape))
        for w in model.trainable_weights
        if w.path.startswith(("level", "stage_fusion", "classifier"))
    )
    lifts = sum((count + 1) * 5 for count in channels)
    assert decoder == lifts + 5 * (3 + 1) + (9 * 5 + 1) * 3


def test_logits_are_the_weighted_sum_of_resized_stages(rng):
    model = small(("rgb",))
    fusion = model.get_layer("stage_fusion")
    kernel = rng.normal(size=(5, 3)).astype("float32")
    bias = rng.normal(size=5).astype("float32")
    fusion.set_weights([kernel, bias])
    lifted = [
        model.get_layer(f"level{level}_lift").output for level in (1, 2, 3)
    ]
    classifier = model.get_layer("classifier")
    watched = keras.Model(model.input, [*lifted, classifier.output])
    *maps, logits = watched(images(model))
    total = bias
    for weights, stage in zip(kernel.T, maps, strict=True):
        resized = ops.image.resize(stage, maps[0].shape[1:3])
        total = total + weights * ops.convert_to_numpy(resized)
    expected = classifier(np.maximum(total, 0))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_any_size_works_and_every_weight_learns():
    model = small(dropout=0.0)
    for weight in model.weights:
        # Units under zero for every pixel would learn nothing.
        if weight.path.endswith("lift/bias"):
            weight.assign(0.3 + 0 * weight)
    inputs = images(model, (33, 47))
    assert model(inputs)["ensemble"].shape == (2, 33, 47, 3)
    model.compile(keras.optimizers.SGD(0.1), dict.fromkeys(model.output, "mse"))
    before = {
        w.path: ops.convert_to_numpy(w).copy() for w in model.trainable_weights
    }
    targets = dict.fromkeys(model.output, np.ones((2, 33, 47, 3)))
    model.train_on_batch(inputs, targets)
    still = {
        w.path
        for w in model.trainable_weights
        if np.array_equal(w, before[w.path])
    }
    assert not still


def test_an_unknown_decoder_is_refused():
    with pytest.raises(
        ValueError, match="`decoder` must be one of refinenet, branches"
    ):
        small(decoder="pyramid")
