import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.models import TEXT_FUSIONS
from keras_fusion.models import instruction_agent
from keras_fusion.models.instruction_agent import Standardize

SMALL = {
    "num_blocks": 3,
    "num_words": 12,
    "picture_shape": (20, 20, 3),
    "filters": (8, 8),
    "kernel_sizes": (4, 3),
    "strides": (4, 1),
    "image_units": 8,
    "word_units": 6,
    "text_units": 7,
    "direction_units": 4,
    "block_units": 4,
    "joint_units": 16,
    "fusion_units": 8,
    "published_start": False,
}

every_fusion = pytest.mark.parametrize("fusion", TEXT_FUSIONS)


def inputs(rng, batch=4, shape=(20, 20, 3), words=5, blocks=3):
    return {
        "picture": rng.random((batch, *shape)).astype("float32"),
        "text": rng.integers(1, 12, (batch, words)).astype("int32"),
        "previous_direction": rng.integers(6, size=batch).astype("int32"),
        "previous_block": rng.integers(blocks + 1, size=batch).astype("int32"),
    }


def run(model, given):
    outputs = model(given, training=False)
    return {name: ops.convert_to_numpy(x) for name, x in outputs.items()}


# Case 1
def test_published_network_has_the_published_weights():
    model = instruction_agent()
    parts = {
        "convolution_1": 30_752,
        "convolution_2": 65_568,
        "convolution_3": 16_416,
        "image": 102_600,
        "words": 165_900,
        "reading": 401_000,
        "table_of_previous_direction": 6 * 24,
        "table_of_previous_block": 21 * 32,
        "joint": 60_840,
        "direction": 605,
        "block": 2_420,
    }
    received = {
        layer.name: layer.count_params()
        for layer in model.layers
        if layer.count_params()
    }
    assert received == parts
    assert model.count_params() == 846_917


def test_published_pictures_shrink_as_published():
    model = instruction_agent()
    sides = [
        model.get_layer(f"convolution_{index}").output.shape[1:3]
        for index in (1, 2, 3)
    ]
    assert sides == [(30, 30), (8, 8), (4, 4)]
    assert model.get_layer("flat").output.shape[1] == 512
    assert model.get_layer("join").output.shape[1] == 506


# Case 3
def test_padding_does_not_change_the_text_vector(rng):
    model = instruction_agent(**SMALL)
    reader = keras.Model(
        model.input["text"], model.get_layer("mean_of_words").output
    )
    words = rng.integers(1, 12, (3, 9)).astype("int32")
    vectors = [
        ops.convert_to_numpy(reader(np.pad(words, ((0, 0), (0, length - 9)))))
        for length in (15, 83)
    ]
    np.testing.assert_array_equal(*vectors)
    table = model.get_layer("words")
    value = ops.convert_to_numpy(table.embeddings).copy()
    value[0] += 1
    table.embeddings.assign(value)
    again = reader(np.pad(words, ((0, 0), (0, 6))))
    np.testing.assert_array_equal(ops.convert_to_numpy(again), vectors[0])


@every_fusion
def test_a_text_of_padding_alone_is_zeros_and_trains(fusion, rng):
    model = instruction_agent(**SMALL, fusion=fusion, goal=True)
    given = inputs(rng)
    expected = run(model, given)
    given["text"][1] = 0
    for name, values in run(model, given).items():
        assert np.all(np.isfinite(values))
        others = [0, 2, 3]
        np.testing.assert_allclose(
            values[others], expected[name][others], rtol=1e-4, atol=1e-5
        )
    vector = keras.Model(model.input, model.get_layer("mean_of_words").output)
    assert not np.any(ops.convert_to_numpy(vector(given))[1])
    model.compile("sgd", dict.fromkeys(model.output, "mse"), run_eagerly=True)
    model.train_on_batch(given, expected)
    assert all(np.all(np.isfinite(w)) for w in model.get_weights())


def test_the_text_vector_is_the_mean_of_what_the_words_give(rng):
    model = instruction_agent(**SMALL)
    text = model.input["text"]
    outputs = [model.get_layer(n).output for n in ("reading", "mean_of_words")]
    reader = keras.Model(text, outputs)
    for length in (1, 4, 9):
        words = rng.integers(1, 12, (3, length)).astype("int32")
        states = ops.convert_to_numpy(reader(words)[0])
        padded = np.pad(words, ((0, 0), (0, 9 - length)))
        vector = ops.convert_to_numpy(reader(padded)[1])
        np.testing.assert_allclose(vector, states.mean(axis=1), atol=1e-6)


def test_a_picture_is_standardized_as_a_whole(rng):
    model = instruction_agent(**SMALL)
    given = inputs(rng)
    brighter = given | {"picture": 3 * given["picture"] + 7}
    for name, value in run(model, given).items():
        np.testing.assert_allclose(run(model, brighter)[name], value, atol=1e-4)


@every_fusion
def test_every_weight_learns_and_every_modality_matters(fusion, rng):
    model = instruction_agent(
        **SMALL, fusion=fusion, goal=True, coordinates=True
    )
    given = inputs(rng, batch=16)
    targets = {
        "direction": rng.integers(5, size=16),
        "block": rng.integers(3, size=16),
        "goal": rng.integers(26, size=16),
    }
    before = [ops.convert_to_numpy(w).copy() for w in model.trainable_weights]
    model.compile(
        keras.optimizers.SGD(0.1),
        {
            name: keras.losses.SparseCategoricalCrossentropy(True)
            for name in targets
        },
    )
    model.train_on_batch(given, targets)
    for weight, value in zip(model.trainable_weights, before, strict=True):
        assert np.abs(ops.convert_to_numpy(weight) - value).max() > 0, (
            weight.path
        )
    usual = run(model, given)
    for name in given:
        other = given | {name: given[name][::-1].copy()}
        changed = run(model, other)
        for head in ("direction", "block"):
            assert np.abs(changed[head] - usual[head]).max() > 1e-6, name


@every_fusion
def test_words_join_the_picture_before_the_joint_vector(fusion, rng):
    model = instruction_agent(**SMALL, fusion=fusion)
    joint = model.get_layer("join")
    fused = keras.Model(model.input, joint.input[0])
    given = inputs(rng)
    other = given | {"text": given["text"][:, ::-1] % 11 + 1}
    difference = np.abs(
        ops.convert_to_numpy(fused(given)) - ops.convert_to_numpy(fused(other))
    ).max()
    assert (difference > 0) == TEXT_FUSIONS[fusion].joins


@every_fusion
def test_records_name_the_arguments_that_matter(fusion):
    others = {
        "fusion_units": 9,
        "fusion_depth": 2,
        "fusion_kernel_size": 5,
        "fusion_released": True,
        "fusion_glimpses": 3,
        "fusion_activate_product": False,
    }

    def settings(**arguments):
        model = instruction_agent(**SMALL | {"fusion": fusion} | arguments)
        return [
            layer.get_config()
            for layer in model.layers
            if type(layer).__module__.startswith("keras_fusion.layers")
        ]

    usual = settings()
    matter = {
        name
        for name, value in others.items()
        if settings(**{name: value}) != usual
    }
    assert matter == set(TEXT_FUSIONS[fusion].arguments)


@every_fusion
def test_goals_have_a_logit_for_each_cell_and_one_for_none(fusion, rng):
    model = instruction_agent(**SMALL, fusion=fusion, goal=True)
    goal = run(model, inputs(rng))["goal"]
    assert goal.shape == (4, 5 * 5 + 1)
    # Out of sight is one number for all samples.
    assert np.ptp(goal[:, -1]) == 0


def test_coordinates_tell_places_of_a_constant_picture_apart(rng):
    given = inputs(rng) | {"picture": np.ones((4, 20, 20, 3), "float32")}
    spread = []
    for coordinates in (False, True):
        model = instruction_agent(
            **SMALL | {"kernel_sizes": (4, 1)},
            fusion="text_gate",
            goal=True,
            coordinates=coordinates,
        )
        goal = run(model, given)["goal"][:, :-1]
        spread.append(np.ptp(goal, axis=1).max())
    assert spread[0] < 1e-6 < spread[1]


@every_fusion
def test_a_saved_agent_says_the_same(fusion, rng, tmp_path):
    model = instruction_agent(
        **SMALL, fusion=fusion, goal=True, coordinates=True
    )
    model.save(tmp_path / "agent.keras")
    loaded = keras.models.load_model(tmp_path / "agent.keras")
    given = inputs(rng)
    for name, value in run(model, given).items():
        np.testing.assert_allclose(run(loaded, given)[name], value, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fusion": "magic"}, "`fusion` must be one of concat, local_dense"),
        ({"strides": (4,)}, "an entry for each convolution"),
    ],
)
def test_wrong_arguments_explain_themselves(arguments, message):
    with pytest.raises(ValueError, match=message):
        instruction_agent(**SMALL | arguments)


def test_pictures_far_from_zero_are_standardized_like_those_near_it(rng):
    x = rng.normal(size=(2, 5, 4, 3)).astype("float32")
    near, far = (
        ops.convert_to_numpy(Standardize()(ops.convert_to_tensor(picture)))
        for picture in (x, x + 1000)
    )
    np.testing.assert_allclose(far, near, atol=1e-3)
