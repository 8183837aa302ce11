import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import ChannelExchange
from keras_fusion.models import BRANCH_FUSIONS
from keras_fusion.models import refinenet
from keras_fusion.models.refinenet_decoder import merge
from keras_fusion.models.refinenet_decoder import residual_units

R50, R101, R152 = (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)
MODALITIES = ("rgb", "depth", "normals")

every_fusion = pytest.mark.parametrize("fusion", BRANCH_FUSIONS)


def small(modalities=("rgb", "depth"), **kwargs):
    settings = {
        "num_classes": 3,
        "blocks": (1, 1, 1, 1),
        "width": 4,
        "decoder_width": 8,
        "units_in": 1,
        "units_out": 1,
        "pools": 1,
    }
    return refinenet(modalities, **{**settings, **kwargs})


def images(model, size=(40, 56), seed=1):
    rng = np.random.default_rng(seed)
    return {
        modality: rng.normal(size=(2, *size, 3)).astype("float32")
        for modality in model.input
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
    ("blocks", "modalities", "num_classes", "published"),
    [
        pytest.param(*(R50, 1, 40, 99_104_105), marks=pytest.mark.slow),
        (R50, 2, 40, 99_157_226),
        pytest.param(*(R50, 3, 40, 99_210_347), marks=pytest.mark.slow),
        (R101, 1, 40, 118_096_233),
        (R101, 2, 40, 118_201_578),
        pytest.param(*(R101, 3, 40, 118_306_923), marks=pytest.mark.slow),
        pytest.param(*(R101, 1, 37, 118_089_318), marks=pytest.mark.slow),
        pytest.param(*(R101, 2, 37, 118_194_663), marks=pytest.mark.slow),
        pytest.param(*(R152, 1, 40, 133_739_881), marks=pytest.mark.slow),
        (R152, 2, 40, 133_891_306),
        pytest.param(*(R152, 3, 40, 134_042_731), marks=pytest.mark.slow),
        pytest.param(*(R152, 1, 37, 133_732_966), marks=pytest.mark.slow),
        pytest.param(*(R152, 2, 37, 133_884_391), marks=pytest.mark.slow),
    ],
)
def test_parameters_are_as_many_as_published(
    blocks, modalities, num_classes, published
):
    names = MODALITIES[:modalities]
    model = refinenet(names, num_classes=num_classes, blocks=blocks)
    assert parameters(model) == published


def test_a_modality_adds_its_scales_and_shifts_and_one_weight():
    one, two = small(("rgb",)), small(("rgb", "depth"))
    channels = sum(x.gamma.shape[1] for x in exchanges(one).values())
    assert parameters(two) - parameters(one) == 2 * channels + 1


def test_published_size_has_logits_at_a_quarter_of_the_resolution():
    model = refinenet(blocks=R50, image_shape=(425, 560, 3))
    logits = model.get_layer("ensemble_weights").input
    assert [x.shape for x in logits] == [(None, 107, 140, 40)] * 2
    assert {name: x.shape for name, x in model.output.items()} == {
        name: (None, 425, 560, 40) for name in ("rgb", "depth", "ensemble")
    }


def test_equal_branches_have_identical_outputs():
    model = small(MODALITIES)
    for layer in exchanges(model).values():
        for weight in layer.weights:
            row = np.linspace(0.01, 1, weight.shape[1])
            weight.assign(np.tile(row, (3, 1)))
        assert layer.threshold == 0 or layer.exchanged.any()
    image = images(model)["rgb"]
    outputs = predict(model, dict.fromkeys(MODALITIES, image))
    for modality in MODALITIES:
        assert np.array_equal(outputs[modality], outputs["rgb"])
    np.testing.assert_allclose(outputs["ensemble"], outputs["rgb"], atol=1e-6)


def test_a_residual_unit_adds_to_the_rectified_input(rng):
    x = keras.Input((5, 5, 4))
    model = keras.Model(x, residual_units([x], 4, 2, "unit")[0])
    identity = np.zeros((3, 3, 4, 4))
    identity[1, 1] = np.eye(4)
    for weight in model.weights:
        if weight.name == "kernel":
            weight.assign(identity)
    values = rng.normal(size=(2, 5, 5, 4)).astype("float32")
    # Each of the two units doubles what it has rectified.
    expected = 4 * np.maximum(values, 0)
    np.testing.assert_allclose(model(values), expected, rtol=1e-6)


def test_merging_keeps_the_corner_pixels_of_the_coarser_level(rng):
    coarse = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    fine = np.zeros((2, 6, 7, 5), "float32")
    inputs = [keras.Input(x.shape[1:]) for x in (fine, coarse)]
    model = keras.Model(inputs, merge(inputs[:1], inputs[1:], "level")[0])
    merged = ops.convert_to_numpy(model([fine, coarse]))
    corners = np.ix_(range(2), (0, -1), (0, -1))
    assert np.array_equal(merged[corners], coarse[corners])


def test_logits_are_resized_to_the_input_by_half_pixels():
    model = small(fusion="concat")
    inputs = images(model)
    logits = keras.Model(model.input, model.get_layer("classifier").output)
    low = logits(inputs, training=False)
    assert low.shape == (2, 10, 14, 3)
    np.testing.assert_allclose(
        predict(model, inputs)["ensemble"],
        ops.image.resize(low, (40, 56)),
        rtol=1e-4,
        atol=1e-5,
    )


def trained(model, loss):
    """Names of the trainable weights that one step moves."""
    model.compile(keras.optimizers.SGD(0.1), loss=loss, run_eagerly=True)
    inputs = images(model)
    before = [ops.convert_to_numpy(w) for w in model.trainable_weights]
    model.train_on_batch(
        inputs, {name: np.ones((2, 40, 56, 3)) for name in loss}
    )
    return {
        weight.path
        for weight, value in zip(model.trainable_weights, before, strict=True)
        if not np.array_equal(weight, value)
    }


def test_cubic_logits_are_for_measuring():
    model, cubic = small(dropout=0.0), small(dropout=0.0, cubic=True)
    cubic.set_weights(model.get_weights())
    inputs = images(model)
    plain, measured = predict(model, inputs), predict(cubic, inputs)
    quarter = keras.Model(
        model.input, model.get_layer("ensemble_weights").output
    )(inputs, training=False)
    resized = ops.image.resize(quarter, (40, 56), data_format="channels_last")
    np.testing.assert_allclose(plain["ensemble"], resized, atol=1e-5)
    assert np.abs(measured["ensemble"] - plain["ensemble"]).max() > 1e-3


@every_fusion
def test_every_trainable_weight_learns(fusion):
    model = small(fusion=fusion, l1=0, dropout=0)
    expected = {weight.path for weight in model.trainable_weights}
    assert trained(model, dict.fromkeys(model.output, "mse")) == expected


def test_the_weight_of_a_single_modality_alone_has_nothing_to_learn():
    model = small(("rgb",), dropout=0)
    expected = {weight.path for weight in model.trainable_weights}
    assert list(model.output) == ["rgb"]
    assert trained(model, {"rgb": "mse"}) == expected - {
        "ensemble_weights/alpha"
    }


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
        assert np.abs(after - before).max() > 1e-3 * np.abs(before).max()


def differ(first, second):
    # Equal samples of a batch may be summed up in another order.
    return np.abs(first - second).max() > 1e-5 * np.abs(first).max()


def changes_rgb(model):
    """Whether the second sample's depth, alone new, changes its rgb logits."""
    inputs = images(model)
    inputs["rgb"] = inputs["rgb"][[0, 0]]
    outputs = predict(model, inputs)
    assert differ(*outputs["depth"])
    return differ(*outputs["rgb"])


@pytest.mark.parametrize("stage", [1, 2, 3, 4])
def test_a_scale_under_the_threshold_couples_the_branches(stage):
    model = small(fusion="exchange", exchange_stages=(stage,))
    assert not changes_rgb(model)
    gamma = model.get_layer(f"stage{stage}_block1_norm2").gamma
    gamma.assign(np.where(np.arange(gamma.shape[1]) == 1, 0.019, gamma))
    assert changes_rgb(model)


def test_without_exchange_no_scale_couples_the_branches():
    model = small(fusion="none")
    for layer in exchanges(model).values():
        layer.gamma.assign(0.001 * layer.gamma)
    assert not changes_rgb(model)
    assert not model.losses


def test_gates_couple_the_branches_in_their_stages_only():
    assert changes_rgb(small(fusion="squeeze_excite", exchange_stages=(4,)))
    assert not changes_rgb(small(fusion="squeeze_excite", exchange_stages=()))


def test_only_second_norms_of_the_chosen_stages_exchange():
    model = small(blocks=(2, 1, 2, 1), exchange_stages=(1, 3), threshold=0.05)
    thresholds = {x.name: x.threshold for x in exchanges(model).values()}
    assert {name for name, x in thresholds.items() if x == 0.05} == {
        "stage1_block1_norm2",
        "stage1_block2_norm2",
        "stage3_block1_norm2",
        "stage3_block2_norm2",
    }
    assert set(thresholds.values()) == {0, 0.05}


def test_penalty_is_the_sum_of_the_penalized_scales_counted_once():
    model = small(gamma_initializer=keras.initializers.Constant(-0.5), l1=6e-4)
    # Second norms have 4, 8, 16 and 32 channels, each penalized in one row.
    assert float(sum(model.losses)) == pytest.approx(6e-4 * 0.5 * 60)


def test_stride_moves_from_the_3x3_to_the_1x1_convolution():
    for stride_on, strides in (("3x3", (1, 2)), ("1x1", (2, 1))):
        model = small(("rgb",), stride_on=stride_on)
        assert strides == tuple(
            model.get_layer(f"stage2_block1_conv{number}").strides[0]
            for number in (1, 2)
        )


@every_fusion
def test_records_tell_what_a_fusion_does(fusion):
    record = BRANCH_FUSIONS[fusion]
    model = small(fusion=fusion)
    exchanging = [x for x in exchanges(model).values() if x.threshold > 0]
    assert bool(exchanging) == record.exchanges
    assert (list(model.output) == ["ensemble"]) == record.joins


@every_fusion
def test_records_name_the_arguments_that_matter(fusion):
    others = {
        "exchange_stages": (2,),
        "threshold": 0.5,
        "l1": 0.1,
        "penalized_only": True,
        "gate_ratio": 2,
    }
    usual = small(fusion=fusion).to_json()
    matter = {
        name
        for name, value in others.items()
        if small(fusion=fusion, **{name: value}).to_json() != usual
    }
    assert matter == set(BRANCH_FUSIONS[fusion].arguments)


@every_fusion
def test_one_model_takes_images_of_any_size(fusion):
    model = small(fusion=fusion)
    outputs = {"ensemble"}
    if not BRANCH_FUSIONS[fusion].joins:
        outputs |= {"rgb", "depth"}
    for size in ((33, 47), (64, 32)):
        logits = predict(model, images(model, size))
        assert set(logits) == outputs
        assert all(x.shape == (2, *size, 3) for x in logits.values())


@every_fusion
def test_a_saved_model_loads_and_gives_the_same_numbers(rng, tmp_path, fusion):
    model = small(fusion=fusion)
    for weight in model.weights:
        if weight.name in ("gamma", "beta", "alpha"):
            weight.assign(rng.uniform(0, 0.1, weight.shape))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = predict(model, images(model))
    for name, logits in predict(loaded, images(model)).items():
        assert np.array_equal(logits, expected[name])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fusion": "mix"}, "one of exchange, none, concat, sum, squeeze_exc"),
        ({"exchange_stages": (0, 1)}, "must be among 1, 2, 3, 4"),
        ({"blocks": (1, 1, 1)}, "must be among 1, 2, 3, as"),
        ({"stride_on": "5x5"}, '"3x3" or "1x1"'),
        ({"modalities": ()}, "one or more different names"),
        ({"modalities": ("rgb", "rgb")}, "one or more different names"),
        ({"modalities": ("rgb", "ensemble")}, 'none of them "ensemble"'),
    ],
)
def test_wrong_arguments_explain_themselves(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)
