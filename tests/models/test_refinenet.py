import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import ChannelExchange
from keras_fusion.losses import MaximumMeanDiscrepancy
from keras_fusion.models import BRANCH_FUSIONS
from keras_fusion.models import refinenet
from keras_fusion.models.branch_alignment import BranchAlignment
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
    model = small(fusion=fusion, gate_ratio=1, l1=0, dropout=0)
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
    model = small(fusion="exchange", fusion_stages=(stage,))
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


@pytest.mark.parametrize("fusion", ["squeeze_excite", "film"])
@pytest.mark.parametrize("stage", [1, 4])
def test_the_branches_are_coupled_in_their_stages_only(fusion, stage):
    assert changes_rgb(small(fusion=fusion, fusion_stages=(stage,)))
    assert not changes_rgb(small(fusion=fusion, fusion_stages=()))


@pytest.mark.parametrize("fusion", ["self_squeeze_excite", "align"])
def test_fusions_without_a_word_between_branches_do_not_couple_them(fusion):
    assert not changes_rgb(small(fusion=fusion))


def stage_maps(model, fusion, inputs, stage):
    """Maps that a stage gives the decoder, and the branches they are from."""
    maps = model.get_layer(f"level{stage}_entry").input
    outputs = keras.Model(
        model.input, [maps, *model.get_layer(f"stage{stage}_{fusion}").input]
    )(inputs, training=False)
    return [ops.convert_to_numpy(x) for x in outputs]


def test_average_is_half_the_sum():
    model = small(fusion="average")
    maps, rgb, depth = stage_maps(model, "average", images(model), 2)
    np.testing.assert_allclose(maps, (rgb + depth) / 2, rtol=1e-5)


def test_gates_that_are_open_make_the_gated_sum_a_sum():
    model = small(MODALITIES, fusion="gated_sum")
    for number in (1, 2, 3):
        kernel, bias = model.get_layer(f"stage2_gate{number}").weights
        kernel.assign(0 * kernel)
        bias.assign(0 * bias + (100 if number < 3 else -100))
    maps, *branches = stage_maps(model, "concatenate", images(model), 2)
    np.testing.assert_allclose(maps, branches[0] + branches[1], rtol=1e-5)


def test_gates_that_are_open_make_self_attention_a_concatenation():
    model, plain = small(fusion="self_attention"), small(fusion="concat")
    for stage in (1, 2, 3, 4):
        kernel, bias = model.get_layer(f"stage{stage}_excite").weights
        kernel.assign(0 * kernel)
        bias.assign(0 * bias + 100)
    weights = {weight.path: weight for weight in model.weights}
    for weight in plain.weights:
        weight.assign(weights[weight.path])
    inputs = images(model)
    np.testing.assert_allclose(
        predict(model, inputs)["ensemble"],
        predict(plain, inputs)["ensemble"],
        rtol=1e-5,
    )


def test_modulation_by_nothing_changes_nothing():
    model, plain = (
        small(MODALITIES, fusion="film"),
        small(MODALITIES, fusion="none"),
    )
    weights = {}
    for weight in model.weights:
        if "_film" in weight.path:
            weight.assign(0 * weight)
        weights[weight.path] = weight
    for weight in plain.weights:
        weight.assign(weights[weight.path])
    inputs = images(model)
    expected = predict(plain, inputs)
    for name, logits in predict(model, inputs).items():
        np.testing.assert_allclose(logits, expected[name], rtol=1e-5)


def test_a_branch_is_modulated_by_the_means_of_all_others():
    model = small(MODALITIES, fusion="film")
    films = [model.get_layer(f"stage3_film{number}") for number in (1, 2, 3)]
    first, third = films[0].input[0], films[2].input[0]
    outputs = keras.Model(model.input, [first, third, films[1].input[1]])
    first, third, others = outputs(images(model), training=False)
    means = [np.mean(x, axis=(1, 2)) for x in (first, third)]
    np.testing.assert_allclose(
        others, np.concatenate(means, axis=-1), rtol=1e-5, atol=1e-6
    )


def test_gates_of_a_branch_see_itself():
    model = small(fusion="self_squeeze_excite", fusion_stages=(4,))
    gates = [model.get_layer(f"stage4_gates{number}") for number in (1, 2)]
    assert gates[0].squeeze is not gates[1].squeeze
    for gate in gates:
        gate.excite.kernel.assign(0 * gate.excite.kernel)
    gates[0].excite.bias.assign(0 * gates[0].excite.bias - 100)
    outputs = keras.Model(model.input, [gate.output for gate in gates])
    closed, half = outputs(images(model), training=False)
    assert np.abs(closed).max() < 1e-6 < np.abs(half).max()


def test_alignment_is_the_discrepancy_of_the_means_of_all_pairs():
    model = small(
        MODALITIES, fusion="align", fusion_stages=(2, 3), alignment=0.3
    )
    inputs = images(model)
    layers = [model.get_layer(f"stage{stage}_alignment") for stage in (2, 3)]
    maps = keras.Model(model.input, [layer.input for layer in layers])
    loss = MaximumMeanDiscrepancy()
    expected = 0
    for branches in maps(inputs, training=False):
        a, b, c = (np.mean(branch, axis=(1, 2)) for branch in branches)
        expected += 0.3 * (loss(a, b) + loss(a, c) + loss(b, c)) / 3
    model(inputs, training=False)
    assert float(sum(model.losses)) == pytest.approx(float(expected), rel=1e-4)


def test_alignment_pulls_branches_together(rng):
    inputs = [keras.Input((4, 4, 3)) for _ in range(2)]
    branches = [keras.layers.Conv2D(3, 1)(x) for x in inputs]
    model = keras.Model(inputs, BranchAlignment(alignment=1.0)(branches))
    # The same distribution, but for where and how wide it is.
    x = rng.normal(size=(32, 4, 4, 3)), 3 + 2 * rng.normal(size=(32, 4, 4, 3))
    model.compile(keras.optimizers.Adam(0.05))
    losses = model.fit(x, batch_size=32, epochs=60, verbose=0).history["loss"]
    assert losses[-1] < 0.3 * losses[0]


joining = pytest.mark.parametrize(
    "fusion", [name for name, x in BRANCH_FUSIONS.items() if x.joins]
)


@joining
@pytest.mark.parametrize("last", [1, 3])
def test_the_encoder_goes_on_with_what_was_joined(fusion, last):
    model = small(MODALITIES, fusion=fusion, fusion_stages=(last,))
    rows = {
        stage: model.get_layer(f"stage{stage}_block1_norm2").gamma.shape[0]
        for stage in (1, 2, 3, 4)
    }
    assert rows == {stage: 3 if stage <= last else 1 for stage in rows}
    assert list(model.output) == ["ensemble"]
    inputs = images(model)
    before = predict(model, inputs)["ensemble"]
    for modality in MODALITIES:
        changed = {**inputs, modality: inputs[modality][::-1].copy()}
        after = predict(model, changed)["ensemble"]
        assert np.abs(after - before).max() > 1e-3 * np.abs(before).max()


@joining
def test_only_the_last_stage_counts_where_branches_are_joined(fusion):
    some = small(fusion=fusion, fusion_stages=(1, 3)).to_json()
    assert some == small(fusion=fusion, fusion_stages=(1, 2, 3)).to_json()
    late = small(fusion=fusion, fusion_stages=(4,)).to_json()
    assert late == small(fusion=fusion).to_json()


def test_only_second_norms_of_the_chosen_stages_exchange():
    model = small(blocks=(2, 1, 2, 1), fusion_stages=(1, 3), threshold=0.05)
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
        "fusion_stages": (2,),
        "threshold": 0.5,
        "l1": 0.1,
        "penalized_only": True,
        "minimum_kept": 0.5,
        "begin_step": 9,
        "shrinkage": 1e-4,
        "gate_ratio": 2,
        "alignment": 0.7,
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
        ({"fusion": "mix"}, "one of exchange, none, concat, sum, average, "),
        ({"fusion_stages": (0, 1)}, "must be among 1, 2, 3, 4"),
        ({"blocks": (1, 1, 1)}, "must be among 1, 2, 3, as"),
        (
            {"fusion": "sum", "fusion_stages": ()},
            "must hold one or more of 1, 2, 3, 4",
        ),
        ({"fusion": "align", "alignment": -1}, "`alignment` must be at least"),
        ({"stride_on": "5x5"}, '"3x3" or "1x1"'),
        ({"modalities": ()}, "one or more different names"),
        ({"modalities": ("rgb", "rgb")}, "one or more different names"),
        ({"modalities": ("rgb", "ensemble")}, 'none of them "ensemble"'),
    ],
)
def test_wrong_arguments_explain_themselves(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)
