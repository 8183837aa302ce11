import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.models import load_imagenet_encoder
from keras_fusion.models import refinenet

LAYOUT = {
    "blocks": (3, 4, 6, 3),
    "stride_on": "1x1",
    "epsilon": 1.001e-5,
    "decoder_width": 4,
    "fusion": "concat",
}


@pytest.fixture(scope="module")
def resnet50():
    """A ResNet50 whose statistics, scales and biases all matter."""
    rng = np.random.default_rng(5)
    source = keras.applications.ResNet50(weights=None, include_top=False)
    for weight in source.weights:
        if weight.name in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("beta", "moving_mean", "bias"):
            weight.assign(rng.uniform(-0.5, 0.5, weight.shape))
    return source


def test_each_branch_has_the_features_of_the_source(rng, resnet50):
    model = refinenet(("rgb", "depth"), **LAYOUT)
    load_imagenet_encoder(model, resnet50)
    stages = [
        model.get_layer(f"stage{stage}_concatenate").input
        for stage in (1, 2, 3, 4)
    ]
    blocks = ("conv2_block3", "conv3_block4", "conv4_block6", "conv5_block3")
    source = [resnet50.get_layer(f"{block}_out").output for block in blocks]

    # Odd sizes show a padding that is on the wrong side.
    images = rng.normal(size=(2, 2, 57, 70, 3)).astype("float32")
    pyramid = keras.Model(model.input, stages)(
        dict(zip(("rgb", "depth"), images, strict=True)), training=False
    )
    expected = keras.Model(resnet50.input, source)
    for m, image in enumerate(images):
        features = expected(image, training=False)
        for maps, feature in zip(pyramid, features, strict=True):
            scale = float(ops.max(ops.abs(feature)))
            np.testing.assert_allclose(maps[m], feature, atol=1e-4 * scale)


def test_every_row_of_every_encoder_weight_is_loaded(resnet50):
    model = refinenet(("rgb", "thermal", "depth"), **LAYOUT)
    before = {w.path: ops.convert_to_numpy(w) for w in model.weights}
    load_imagenet_encoder(model, resnet50)
    for weight in model.weights:
        value = ops.convert_to_numpy(weight)
        encodes = "conv" in weight.path.split("/")[0] or "norm" in weight.path
        if encodes and not weight.path.startswith("level"):
            rows = zip(value, before[weight.path], strict=True)
            assert all(not np.array_equal(*pair) for pair in rows)
        else:
            assert np.array_equal(value, before[weight.path])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"stride_on": "3x3"},
            'strides of .*Build the model with `stride_on="1x1"`',
        ),
        (
            {"epsilon": 1e-3},
            "epsilon of .*Build the model with `epsilon=1.001e-05`",
        ),
        ({"width": 32}, "kernel of .*Build the model with `width=64`"),
        ({"blocks": (1, 1, 1, 1)}, "with as many bottlenecks"),
    ],
)
def test_another_layout_is_refused_and_the_model_left_as_it_was(
    resnet50, change, message
):
    model = refinenet(("rgb",), **{**LAYOUT, **change})
    before = [ops.convert_to_numpy(weight) for weight in model.weights]
    with pytest.raises(ValueError, match=message):
        load_imagenet_encoder(model, resnet50)
    for weight, value in zip(model.weights, before, strict=True):
        assert np.array_equal(weight, value)


def test_another_kind_of_source_is_refused():
    model = refinenet(
        ("rgb",), **{**LAYOUT, "blocks": (1, 1, 1, 1), "width": 4}
    )
    source = keras.applications.MobileNet(weights=None, include_top=False)
    with pytest.raises(ValueError, match="ResNet50, ResNet101 or ResNet152"):
        load_imagenet_encoder(model, source)
