import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import ChannelExchange
from keras_fusion.models import BRANCH_FUSIONS
from keras_fusion.models import unet_generator

MODALITIES = ("shading", "texture", "edges")

every_fusion = pytest.mark.parametrize("fusion", BRANCH_FUSIONS)


def small(modalities=("shading", "texture"), **kwargs):
    settings = {"image_shape": (32, 48, 3), "width": 4, "depth": 4}
    return unet_generator(modalities, **{**settings, **kwargs})


def images(model, seed=1):
    rng = np.random.default_rng(seed)
    return {
        modality: rng.normal(size=(2, *x.shape[1:])).astype("float32")
        for modality, x in model.input.items()
    }


def predict(model, inputs):
    outputs = model(inputs, training=False)
    return {name: ops.convert_to_numpy(x) for name, x in outputs.items()}


def exchanges(model):
    layers = [x for x in model.layers if isinstance(x, ChannelExchange)]
    return {layer.name: layer for layer in layers}


def parameters(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


@pytest.mark.parametrize(
    ("modalities", "unused_norms", "published"),
    [
        (1, True, 54_420_618),
        (2, True, 54_431_633),
        pytest.param(3, True, 54_442_648, marks=pytest.mark.slow),
        pytest.param(1, False, 54_419_460, marks=pytest.mark.slow),
        (2, False, 54_429_317),
    ],
)
def test_parameters_are_as_many_as_published(
    modalities, unused_norms, published
):
    model = unet_generator(MODALITIES[:modalities], unused_norms=unused_norms)
    assert parameters(model) == published


def test_a_modality_adds_its_scales_and_shifts_and_one_weight():
    one, two, three = (small(MODALITIES[:count]) for count in (1, 2, 3))
    channels = sum(x.gamma.shape[1] for x in exchanges(one).values())
    added = 2 * channels + 1
    assert parameters(two) - parameters(one) == added
    assert parameters(three) - parameters(two) == added


@pytest.mark.parametrize("count", [1, 2, 3])
def test_images_are_as_large_as_the_inputs_and_within_one(count):
    names = MODALITIES[:count]
    model = small(names, target_channels=2)
    expected = [*names, "ensemble"] if count > 1 else list(names)
    assert list(model.output) == expected
    for image in predict(model, images(model)).values():
        assert image.shape == (2, 32, 48, 2)
        assert np.abs(image).max() <= 1


@pytest.mark.parametrize(("depth", "side"), [(2, 4), (3, 24), (5, 32)])
def test_the_coarsest_maps_are_of_depth_halvings(depth, side):
    model = small(image_shape=(side, side, 3), depth=depth)
    coarsest = model.get_layer(f"down{depth}_conv").output
    assert coarsest.shape[1:3] == (side // 2**depth,) * 2
    assert model.output["ensemble"].shape[1:3] == (side, side)


def test_filters_double_up_to_eight_times_the_width():
    model = small(image_shape=(64, 64, 3), width=2, depth=6)
    down = [model.get_layer(f"down{n}_conv").filters for n in range(1, 7)]
    up = [model.get_layer(f"up{n}_conv").filters for n in range(1, 7)]
    assert down == [2, 4, 8, 16, 16, 16]
    assert up == [16, 16, 8, 4, 2, 3]


def test_convolutions_pad_by_one_on_every_side(rng):
    model = small(("shading",))
    first = model.get_layer("down1_conv")
    kernel = rng.normal(size=first.kernel.shape)
    first.kernel.assign(kernel)
    image = images(model)["shading"]
    maps = keras.Model(model.input, first.output)({"shading": image})
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)))
    # The corners, and a patch inside.
    for row, column in ((0, 0), (15, 23), (7, 11)):
        patch = padded[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4]
        np.testing.assert_allclose(
            maps[:, row, column],
            np.einsum("bhwc,hwcf->bf", patch, kernel),
            rtol=1e-4,
            atol=1e-4,
        )


def test_equal_branches_have_identical_outputs():
    model = small(MODALITIES, threshold=0.1)
    for layer in exchanges(model).values():
        for weight in layer.weights:
            row = np.linspace(0.01, 1, weight.shape[1])
            weight.assign(np.tile(row, (3, 1)))
        assert layer.threshold == 0 or layer.exchanged.any()
    image = images(model)["shading"]
    outputs = predict(model, dict.fromkeys(MODALITIES, image))
    for modality in MODALITIES:
        assert np.array_equal(outputs[modality], outputs["shading"])
    np.testing.assert_allclose(
        outputs["ensemble"], outputs["shading"], atol=1e-6
    )


def test_ensemble_averages_and_ignores_a_constant_in_its_weights():
    model = small(MODALITIES)
    inputs = images(model)
    alpha = model.get_layer("ensemble_weights").alpha
    outputs = predict(model, inputs)
    mean = np.mean([outputs[modality] for modality in MODALITIES], axis=0)
    np.testing.assert_allclose(outputs["ensemble"], mean, atol=1e-6)
    alpha.assign([5.0, 5.0, 5.0])
    shifted = predict(model, inputs)["ensemble"]
    np.testing.assert_allclose(shifted, mean, atol=1e-6)
    alpha.assign([0.0, 100.0, 0.0])
    chosen = predict(model, inputs)["ensemble"]
    np.testing.assert_allclose(chosen, outputs["texture"], atol=1e-6)


def trained(model, loss):
    """Names of the trainable weights that one step moves."""
    # A long step, as gradients of the coarsest maps are small at the start.
    model.compile(keras.optimizers.SGD(1e4), loss=loss, run_eagerly=True)
    before = [ops.convert_to_numpy(w) for w in model.trainable_weights]
    shape = (2, *model.output["ensemble"].shape[1:])
    targets = {name: np.ones(shape) for name in loss}
    model.train_on_batch(images(model), targets)
    return {
        weight.path
        for weight, value in zip(model.trainable_weights, before, strict=True)
        if not np.array_equal(weight, value)
    }


# Behind a convolution, instance normalization takes its bias off.
def weights_with_an_effect(model):
    normalized = {
        f"{name.replace('norm', 'conv')}/bias" for name in exchanges(model)
    }
    return {w.path for w in model.trainable_weights} - normalized


@every_fusion
def test_every_trainable_weight_learns(fusion):
    model = small(fusion=fusion, gate_ratio=1, l1=0, dropout=0)
    moved = trained(model, dict.fromkeys(model.output, "mse"))
    assert weights_with_an_effect(model) <= moved


def test_the_loss_of_the_ensemble_trains_its_weights_only():
    model = small(l1=0)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        moved = trained(model, {"ensemble": "mse"})
    assert moved == {"ensemble_weights/alpha"}


@every_fusion
def test_every_modality_changes_the_ensemble(fusion):
    model = small(MODALITIES, fusion=fusion)
    # The first sample, and the same with one modality of the second.
    inputs = {
        modality: image[[0] + [int(other == modality) for other in MODALITIES]]
        for modality, image in images(model).items()
    }
    before, *changed = predict(model, inputs)["ensemble"]
    for after in changed:
        assert np.abs(after - before).max() > 1e-4 * np.abs(before).max()


@pytest.mark.parametrize(
    "fusion", [name for name, x in BRANCH_FUSIONS.items() if x.joins]
)
def test_the_encoder_goes_on_with_what_was_joined(fusion):
    model = small(MODALITIES, fusion=fusion, fusion_stages=(2,))
    rows = [x.gamma.shape[0] for x in exchanges(model).values()]
    # Block 2, then block 3 and the decoder.
    assert rows == [3, 1, 1, 1, 1]
    assert list(model.output) == ["ensemble"]


@pytest.mark.parametrize("block", [2, 3])
def test_a_scale_under_the_threshold_couples_the_branches(block):
    model = small(fusion_stages=(block,))
    inputs = images(model)
    inputs["shading"] = inputs["shading"][[0, 0]]
    first, second = predict(model, inputs)["shading"]
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-7)
    gamma = model.get_layer(f"down{block}_norm").gamma
    gamma.assign(np.where(np.arange(gamma.shape[1]) == 1, 0.009, gamma))
    first, second = predict(model, inputs)["shading"]
    assert np.abs(first - second).max() > 1e-3 * np.abs(first).max()


def test_inner_blocks_of_the_encoder_exchange():
    thresholds = {x.name: x.threshold for x in exchanges(small()).values()}
    exchanging = {name for name, x in thresholds.items() if x == 0.01}
    assert exchanging == {"down2_norm", "down3_norm"}
    assert set(thresholds) - exchanging == {"up1_norm", "up2_norm", "up3_norm"}


@pytest.mark.parametrize("unused_norms", [True, False])
def test_penalty_falls_once_on_the_norms_that_exchange(unused_norms):
    model = small(
        gamma_initializer=keras.initializers.Constant(-0.5),
        l1=1e-3,
        unused_norms=unused_norms,
    )
    # Blocks 2 and 3 have 8 and 16 channels, each penalized in one row.
    assert float(sum(model.losses)) == pytest.approx(1e-3 * 0.5 * 24)


def test_unused_norms_change_no_output():
    plain, counted = small(), small(unused_norms=True)
    weights = {w.path: ops.convert_to_numpy(w) for w in plain.weights}
    for weight in counted.weights:
        weight.assign(weights.get(weight.path, 7.0 * np.ones(weight.shape)))
    assert len(counted.weights) == len(plain.weights) + 6
    inputs = images(plain)
    expected = predict(plain, inputs)
    for name, image in predict(counted, inputs).items():
        assert np.array_equal(image, expected[name])


def test_scales_are_drawn_anew_for_every_normalization():
    model = small(gamma_initializer=keras.initializers.RandomUniform(0, 1))
    norms = exchanges(model)
    first, second = (
        ops.convert_to_numpy(norms[name].gamma)
        for name in ("down2_norm", "up2_norm")
    )
    assert first.shape == second.shape == (2, 8)
    assert np.ptp(first) > 0.3
    assert not np.allclose(first, second)


def test_kernels_start_normally_distributed_and_differ():
    model = small(image_shape=(64, 64, 3), width=8, depth=6)
    first, second = (
        ops.convert_to_numpy(model.get_layer(name).kernel)
        for name in ("down5_conv", "down6_conv")
    )
    assert first.shape == second.shape and not np.array_equal(first, second)
    for kernel in (first, second):
        assert np.std(kernel) == pytest.approx(0.02, rel=0.02)


def test_dropout_follows_training():
    model = small()
    inputs = images(model)
    same, again = predict(model, inputs), predict(model, inputs)
    assert np.array_equal(same["shading"], again["shading"])
    first, second = (
        ops.convert_to_numpy(model(inputs, training=True)["shading"])
        for _ in range(2)
    )
    assert not np.array_equal(first, second)


@every_fusion
def test_a_saved_model_loads_and_gives_the_same_numbers(rng, tmp_path, fusion):
    model = small(fusion=fusion, unused_norms=True)
    for weight in model.weights:
        if weight.name in ("gamma", "beta", "alpha"):
            weight.assign(rng.uniform(0, 0.1, weight.shape))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = predict(model, images(model))
    for name, image in predict(loaded, images(model)).items():
        assert np.array_equal(image, expected[name])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fusion": "mix"}, "must be one of exchange, none, concat"),
        ({"fusion_stages": (1, 2)}, "must be among 2, 3, the blocks"),
        (
            {"fusion": "squeeze_excite", "fusion_stages": (5,)},
            "must be among 1, 2, 3, 4, the blocks",
        ),
        ({"depth": 2, "fusion_stages": (1,)}, "must be among none, the"),
        ({"fusion": "sum", "fusion_stages": ()}, "must hold one or more"),
        ({"depth": 1}, "`depth` must be at least 2"),
        ({"image_shape": (40, 48, 3)}, "must be multiples of 16"),
        ({"image_shape": (None, 48, 3)}, "must be multiples of 16"),
        ({"modalities": ()}, "one or more different names"),
        ({"modalities": ("rgb", "rgb")}, "one or more different names"),
        ({"modalities": ("rgb", "ensemble")}, 'none of them "ensemble"'),
    ],
)
def test_wrong_arguments_explain_themselves(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)
