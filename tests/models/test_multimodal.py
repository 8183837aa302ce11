import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.callbacks import find_exchanges
from keras_fusion.callbacks import find_layers
from keras_fusion.layers import ChannelExchange
from keras_fusion.layers import FiLM
from keras_fusion.models import multimodal

# Name, smallest side, and pattern of the norms behind spatial convolutions.
FAMILIES = {
    "MobileNetV2": (32, r".*depthwise_BN"),
    "MobileNetV3Small": (32, r".*depthwise_bn"),
    "ResNet50": (32, r".*_2_bn"),
    "EfficientNetB0": (32, r".*_bn"),
    "DenseNet121": (32, r".*_1_bn"),
    "Xception": (71, r"block\d+_sepconv\d_bn"),
}


def vary_norms(model, rng):
    """Statistics and affine parts that matter, as after a training."""
    for layer in find_layers(model, keras.layers.BatchNormalization):
        for weight, low, high in (
            (layer.gamma, 0.5, 1.5),
            (layer.beta, -0.2, 0.2),
            (layer.moving_mean, -0.2, 0.2),
            (layer.moving_variance, 0.5, 1.5),
        ):
            if weight is not None:
                weight.assign(rng.uniform(low, high, weight.shape))


def small_backbone(normalization=True):
    """Two convolutions and a shortcut, with a model inside."""
    inputs = keras.Input((8, 8, 3))
    scaling = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Rescaling(2.0, name="twice")],
        name="scaling",
    )
    x, shortcut = scaling(inputs), None
    for number in (1, 2):
        x = keras.layers.Conv2D(
            6, 3, padding="same", name=f"conv{number}", use_bias=False
        )(x)
        if normalization:
            x = keras.layers.BatchNormalization(
                name=f"norm{number}", scale=number == 2
            )(x)
        x = ops.relu(x)
        shortcut = x if number == 1 else shortcut
    x = keras.layers.Add(name="add")([x, shortcut])
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = keras.layers.Dense(4, name="logits")(x)
    return keras.Model(inputs, outputs, name="small")


def image_dict(rng, model, batch=2):
    return {
        name: rng.normal(size=(batch, *x.shape[1:])).astype("float32")
        for name, x in model.input.items()
    }


def arrays(values):
    return keras.tree.map_structure(ops.convert_to_numpy, values)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    side, pattern = FAMILIES[request.param]
    keras.utils.set_random_seed(0)
    backbone = getattr(keras.applications, request.param)(
        input_shape=(side, side, 3), include_top=False, weights=None
    )
    vary_norms(backbone, np.random.default_rng(0))
    yield backbone, pattern
    keras.utils.clear_session()


def test_each_branch_of_a_known_backbone_is_the_backbone(family, rng):
    backbone, pattern = family
    model = multimodal(
        backbone, ("rgb", "thermal"), positions=(pattern,), threshold=0.02
    )
    images = image_dict(rng, model)
    outputs = arrays(model(images))
    for name, image in images.items():
        expected = ops.convert_to_numpy(backbone(image))
        np.testing.assert_array_equal(outputs[name], expected)
    norms = find_layers(backbone, keras.layers.BatchNormalization)
    assert not find_layers(model, keras.layers.BatchNormalization)
    assert len(find_layers(model, ChannelExchange)) == len(norms)
    exchanges = find_exchanges(model)
    assert 0 < len(exchanges) <= len(norms)

    # Equal images have nothing to exchange, whatever is exchanged.
    for exchange in exchanges:
        scales = np.array(exchange.gamma)
        scales[:, ::3] = 1e-3
        exchange.gamma.assign(scales)
    same = dict.fromkeys(images, images["rgb"])
    outputs = arrays(model(same))
    np.testing.assert_array_equal(outputs["rgb"], outputs["thermal"])
    outputs = arrays(model(images))
    for name, image in images.items():
        expected = ops.convert_to_numpy(backbone(image))
        assert np.abs(outputs[name] - expected).max() > 1e-4


def small_model(*args, rng=None, **kwargs):
    backbone = small_backbone()
    vary_norms(backbone, rng or np.random.default_rng(0))
    return backbone, multimodal(backbone, *args, **kwargs)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("modalities", [("a",), ("a", "b"), ("a", "b", "c")])
def test_models_inside_operations_and_shortcuts_are_followed(
    rng, modalities, shared
):
    backbone, model = small_model(modalities, shared=shared)
    images = image_dict(rng, model)
    for name, output in arrays(model(images)).items():
        expected = ops.convert_to_numpy(backbone(images[name]))
        np.testing.assert_array_equal(output, expected)
    convolutions = find_layers(model, keras.layers.Conv2D)
    copies = 1 if shared else len(modalities)
    assert len(convolutions) == 2 * copies
    names = {layer.name for layer in model.layers}
    inner = "scaling_twice"
    assert inner in names or f"{inner}_{modalities[0]}" in names


def test_the_backbone_stays_as_it_is(rng):
    backbone, model = small_model(threshold=0.0)
    before = arrays(backbone.weights)
    model.compile("sgd", "mse")
    images = image_dict(rng, model)
    model.fit(images, dict.fromkeys(images, np.ones((2, 4))), verbose=0)
    for old, new in zip(before, arrays(backbone.weights), strict=True):
        np.testing.assert_array_equal(old, new)
    assert len(backbone.get_layer("conv1").get_config()) > 0
    assert backbone.get_layer("conv1").output.shape == (None, 8, 8, 6)


def test_every_weight_learns(rng):
    _, model = small_model(("a", "b", "c"), l1=1e-3)
    before = arrays(model.trainable_weights)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    images = image_dict(rng, model, batch=4)
    targets = {name: rng.normal(size=(4, 4)) for name in images}
    model.fit(images, targets, epochs=2, verbose=0)
    for weight, old in zip(model.trainable_weights, before, strict=True):
        moved = ops.convert_to_numpy(weight) != old
        assert moved.reshape(len(moved), -1).any(axis=1).all(), weight.path


def test_only_the_named_norms_exchange():
    _, model = small_model(positions=("norm2",), threshold=0.5)
    assert [layer.name for layer in find_exchanges(model)] == ["norm2"]
    _, model = small_model(threshold=0.5)
    assert [x.name for x in find_exchanges(model)] == ["norm1", "norm2"]


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_joined_branches_are_one_from_there_on(rng, fusion):
    backbone, model = small_model(
        fusion=fusion, positions=("add",), outputs=("conv1", "add", "logits")
    )
    images = image_dict(rng, model)
    outputs = arrays(model(images))
    assert {name: list(maps) for name, maps in outputs.items()} == {
        "conv1": ["rgb", "depth"],
        "add": ["joined"],
        "logits": ["joined"],
    }
    if fusion == "sum":
        to_add = keras.Model(backbone.input, backbone.get_layer("add").output)
        expected = sum(arrays(to_add(image)) for image in images.values())
        np.testing.assert_allclose(
            outputs["add"]["joined"], expected, rtol=1e-5
        )


@pytest.mark.parametrize("fusion", ["squeeze_excite", "film"])
def test_gates_leave_the_branches_apart(rng, fusion):
    _, model = small_model(
        fusion=fusion, positions=("conv1", "add"), gate_ratio=2
    )
    for layer in find_layers(model, FiLM):
        # It begins with no change.
        for weight in layer.weights:
            weight.assign(weight + 0.1)
    assert list(model.output) == ["rgb", "depth"]
    images = image_dict(rng, model)
    before = arrays(model(images))["rgb"]
    images["depth"] = images["depth"] + 1
    assert np.abs(arrays(model(images))["rgb"] - before).max() > 1e-6


def test_saved_model_gives_the_same_numbers_without_the_backbone(rng, tmp_path):
    _, model = small_model(fusion="concat", positions=("add",))
    images = image_dict(rng, model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0)["joined"],
        model.predict(images, verbose=0)["joined"],
    )


def test_frozen_layers_and_learned_constants_come_along(rng):
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.Normalization(name="constants")(inputs)
    x = keras.layers.Conv2D(2, 3, name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    backbone = keras.Model(inputs, x)
    backbone.get_layer("constants").adapt(rng.normal(3, 2, (9, 4, 4, 3)))
    for name in ("conv", "norm"):
        backbone.get_layer(name).trainable = False
    model = multimodal(backbone)
    assert not model.trainable_weights
    images = image_dict(rng, model)
    np.testing.assert_array_equal(
        arrays(model(images, training=True))["rgb"],
        ops.convert_to_numpy(backbone(images["rgb"], training=True)),
    )


def test_channels_first(rng, monkeypatch):
    keras.config.set_image_data_format("channels_first")
    try:
        inputs = keras.Input((3, 8, 8))
        x = keras.layers.ZeroPadding2D(1)(inputs)
        x = keras.layers.BatchNormalization(axis=1, name="norm")(x)
        backbone = keras.Model(inputs, x)
        vary_norms(backbone, rng)
        model = multimodal(backbone, ("a", "b"), threshold=0.0)
        images = image_dict(rng, model)
        for name, output in arrays(model(images)).items():
            expected = ops.convert_to_numpy(backbone(images[name]))
            np.testing.assert_array_equal(output, expected)
        joined = multimodal(backbone, ("a", "b"), fusion="concat")
        assert joined.output["joined"].shape == (None, 3, 10, 10)
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"modalities": ("a", "a")}, "one or more different names"),
        ({"modalities": ("a", "joined")}, 'none of them "joined"'),
        ({"fusion": "magic"}, "`fusion` must be one of exchange"),
        ({"positions": ("conv1",)}, "must match a batch normalization of sm"),
        (
            {"positions": ("nrm",), "fusion": "sum"},
            "'nrm', which matches none of scaling_twice, conv1, norm1",
        ),
        ({"outputs": ("conv9",)}, "'conv9', which is none of"),
        (
            {"positions": ("conv2",), "fusion": "sum"},
            "joined beside a shortcut: the layer add gets both",
        ),
        ({"fusion": "concat"}, "needs layers with maps in `positions`"),
    ],
)
def test_wrong_arguments_explain_themselves(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**arguments)


def test_backbones_without_batch_norm_fuse_but_do_not_exchange():
    backbone = small_backbone(normalization=False)
    with pytest.raises(ValueError, match="has no `BatchNormalization`"):
        multimodal(backbone)
    model = multimodal(backbone, fusion="sum", positions=("add",))
    assert list(model.output) == ["joined"]


def test_other_models_are_refused():
    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    two = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    for backbone in (Subclassed(), keras.Model(two, keras.layers.Add()(two))):
        with pytest.raises(ValueError, match="functional `keras.Model` with"):
            multimodal(backbone)
