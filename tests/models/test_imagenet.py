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


TORCH_LAYOUT = LAYOUT | {"stride_on": "3x3", "epsilon": 1e-5}


@pytest.fixture(scope="module")
def torchvision_arrays():
    """Arrays with the names and shapes of torchvision's ResNet50."""
    rng = np.random.default_rng(6)
    arrays = {"fc.weight": np.ones((1000, 2048)), "fc.bias": np.ones(1000)}

    def add(convolution, norm, filters, channels, size):
        shape = (filters, channels, size, size)
        arrays[f"{convolution}.weight"] = rng.normal(size=shape) / 50
        for name in ("weight", "bias", "running_mean", "running_var"):
            arrays[f"{norm}.{name}"] = rng.uniform(0.5, 1.5, filters)
        arrays[f"{norm}.num_batches_tracked"] = np.array(7)

    add("conv1", "bn1", 64, 3, 7)
    channels = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2**stage
        for block in range(blocks):
            path = f"layer{stage + 1}.{block}."
            add(path + "conv1", path + "bn1", width, channels, 1)
            add(path + "conv2", path + "bn2", width, width, 3)
            add(path + "conv3", path + "bn3", 4 * width, width, 1)
            if block == 0:
                names = (path + "downsample.0", path + "downsample.1")
                add(*names, 4 * width, channels, 1)
            channels = 4 * width
    return arrays


def test_arrays_of_torchvision_are_put_in_their_place(torchvision_arrays):
    model = refinenet(("rgb", "depth"), **TORCH_LAYOUT)
    load_imagenet_encoder(model, torchvision_arrays)
    for ours, theirs, norm in (
        ("stem_{}", "conv1", "bn1"),
        ("stage1_block1_{}0", "layer1.0.downsample.0", "layer1.0.downsample.1"),
        ("stage3_block6_{}2", "layer3.5.conv2", "layer3.5.bn2"),
        ("stage4_block3_{}3", "layer4.2.conv3", "layer4.2.bn3"),
    ):
        kernel = ops.convert_to_numpy(
            model.get_layer(ours.format("conv")).kernel
        )
        expected = torchvision_arrays[f"{theirs}.weight"]
        # In torch filters come first and positions last.
        for row, column in np.ndindex(kernel.shape[:2]):
            np.testing.assert_allclose(
                kernel[row, column].T, expected[:, :, row, column], rtol=1e-6
            )
        layer = model.get_layer(ours.format("norm"))
        for weight, name in (
            (layer.gamma, "weight"),
            (layer.beta, "bias"),
            (layer.moving_mean, "running_mean"),
            (layer.moving_variance, "running_var"),
        ):
            for row in ops.convert_to_numpy(weight):
                np.testing.assert_allclose(
                    row, torchvision_arrays[f"{norm}.{name}"], rtol=1e-6
                )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stride_on": "1x1"}, 'Build the model with `stride_on="3x3"`'),
        ({"epsilon": 1e-3}, "Build the model with `epsilon=1e-05`"),
        ({"blocks": (3, 4, 23, 3)}, "source dict with 53 conv"),
    ],
)
def test_arrays_for_another_layout_are_refused(
    torchvision_arrays, change, message
):
    model = refinenet(("rgb",), **{**TORCH_LAYOUT, **change})
    with pytest.raises(ValueError, match=message):
        load_imagenet_encoder(model, torchvision_arrays)


def test_a_strided_bottleneck_of_torchvision(torchvision_arrays, rng):
    torch = pytest.importorskip("torch")
    model = refinenet(("rgb",), **TORCH_LAYOUT)
    load_imagenet_encoder(model, torchvision_arrays)
    block = keras.Model(
        model.get_layer("stage1_block3_output").output,
        model.get_layer("stage2_block1_output").output,
    )
    maps = rng.normal(size=(1, 9, 12, 256)).astype("float32")

    def step(x, convolution, norm, **settings):
        x = torch.nn.functional.conv2d(
            x, arrays[f"layer2.0.{convolution}.weight"], **settings
        )
        names = ("running_mean", "running_var", "weight", "bias")
        weights = (arrays[f"layer2.0.{norm}.{name}"] for name in names)
        return torch.nn.functional.batch_norm(x, *weights)

    arrays = {
        name: torch.tensor(value, dtype=torch.float32)
        for name, value in torchvision_arrays.items()
    }
    x = torch.tensor(np.moveaxis(maps, -1, 1))
    shortcut = step(x, "downsample.0", "downsample.1", stride=2)
    x = torch.relu(step(x, "conv1", "bn1"))
    x = torch.relu(step(x, "conv2", "bn2", stride=2, padding=1))
    expected = torch.relu(step(x, "conv3", "bn3") + shortcut)
    received = ops.convert_to_numpy(block(maps, training=False))
    np.testing.assert_allclose(
        np.moveaxis(received, -1, 1), expected.numpy(), rtol=1e-3, atol=1e-3
    )


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
