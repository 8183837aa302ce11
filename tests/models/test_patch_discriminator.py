import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.models import patch_discriminator


def small(**kwargs):
    settings = {"image_shape": (40, 48, 3), "target_channels": 2, "width": 4}
    return patch_discriminator(**{**settings, **kwargs})


def pairs(model, seed=1):
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=(2, *x.shape[1:])).astype("float32")
        for name, x in model.input.items()
    }


def judge(model, inputs):
    logits = model(inputs, training=False)["logits"]
    return ops.convert_to_numpy(logits)


@pytest.mark.parametrize(
    ("unused_norms", "published"), [(True, 2_769_731), (False, 2_769_601)]
)
def test_weights_and_patches_are_as_many_as_published(unused_norms, published):
    model = patch_discriminator(unused_norms=unused_norms)
    weights = model.trainable_weights
    assert sum(int(np.prod(w.shape)) for w in weights) == published
    assert model.output["logits"].shape == (None, 30, 30, 1)


def test_a_logit_sees_seventy_pixels():
    model = small(image_shape=(96, 96, 3), width=2)
    # In each sample one row is lit, and none in the last. Normalization,
    # which lets a logit see the whole image, is left out.
    maps = np.concatenate([np.eye(96), np.zeros((1, 96))]).astype("float32")
    maps = np.tile(maps[:, :, None, None], (1, 1, 96, 5))
    for layer in model.layers:
        if isinstance(layer, keras.layers.ZeroPadding2D | keras.layers.Conv2D):
            maps = layer(maps)
    logits = ops.convert_to_numpy(maps)[:, 5, 5, 0]
    seen = np.flatnonzero(logits[:-1] != logits[-1])
    assert len(seen) == np.ptp(seen) + 1 == 70


@pytest.mark.parametrize("name", ["condition", "image"])
def test_both_images_change_the_logits(name):
    model = small()
    inputs = pairs(model)
    before = judge(model, inputs)
    other = {**inputs, name: inputs[name][::-1].copy()}
    assert np.abs(judge(model, other) - before).max() > 1e-3


def test_logits_of_a_sample_ignore_the_rest_of_the_batch():
    model = small()
    inputs = pairs(model)
    alone = judge(model, {name: x[:1] for name, x in inputs.items()})
    np.testing.assert_allclose(
        judge(model, inputs)[:1], alone, rtol=1e-4, atol=1e-5
    )


def test_every_trainable_weight_learns():
    model = small()
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), {"logits": loss}, run_eagerly=True)
    before = [ops.convert_to_numpy(w) for w in model.trainable_weights]
    inputs = pairs(model)
    model.train_on_batch(inputs, {"logits": np.ones_like(judge(model, inputs))})
    still = {
        weight.path
        for weight, value in zip(model.trainable_weights, before, strict=True)
        if np.array_equal(weight, value)
    }
    # Instance normalization takes off the biases before it.
    assert still <= {f"block{block}_conv/bias" for block in (2, 3, 4)}


def test_unused_norms_change_no_logit():
    plain, counted = small(), small(unused_norms=True)
    weights = {w.path: ops.convert_to_numpy(w) for w in plain.weights}
    for weight in counted.weights:
        weight.assign(weights.get(weight.path, 7.0 * np.ones(weight.shape)))
    assert len(counted.weights) == len(plain.weights) + 4
    inputs = pairs(plain)
    assert np.array_equal(judge(plain, inputs), judge(counted, inputs))


def test_a_saved_model_loads_and_gives_the_same_numbers(tmp_path):
    model = small(unused_norms=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    inputs = pairs(model)
    assert np.array_equal(judge(loaded, inputs), judge(model, inputs))


def test_images_may_have_any_size():
    model = small(image_shape=(None, None, 3))
    for size in ((24, 31), (57, 40)):
        rng = np.random.default_rng(1)
        logits = judge(
            model,
            {
                "condition": rng.normal(size=(1, *size, 3)),
                "image": rng.normal(size=(1, *size, 2)),
            },
        )
        assert logits.shape == (1, *(side // 8 - 2 for side in size), 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stages": 0}, "`stages` must be at least 1"),
        ({"image_shape": (23, 48, 3)}, "must be at least 24 with `stages=3`"),
    ],
)
def test_wrong_arguments_explain_themselves(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)
