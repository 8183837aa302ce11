import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import ChannelExchange
from keras_fusion.optimizers import MultiRateSGD
from tests.layers.gradients import gradients

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="steps are slower there"
)

# The published example: the signs and the equality with 0.02 matter.
GAMMA = [[0.5, 0.0, -0.5, 0.02], [0.0, 0.3, 0.019, -0.02]]


def exchange(gamma, beta=0.0, **kwargs):
    """A layer whose statistics at rest change nothing, not even a bit."""
    layer = ChannelExchange(epsilon=0, **kwargs)
    modalities, channels = np.shape(gamma)
    shape = [None, 3, 3, 3]
    shape[layer.axis] = channels
    layer.build([tuple(shape)] * modalities)
    layer.gamma.assign(gamma)
    layer.beta.assign(np.broadcast_to(beta, np.shape(gamma)))
    return layer


def exchange_of_shifts(gamma, beta, **kwargs):
    """Zeros go in, so that every normalized output is exactly its shift."""
    layer = exchange(gamma, beta, **kwargs)
    zeros = np.zeros((1, 1, 1, layer.gamma.shape[1]), "float32")
    outputs = arrays(layer([zeros] * len(gamma)))
    return [output.ravel().tolist() for output in outputs]


def arrays(outputs):
    return [ops.convert_to_numpy(output) for output in outputs]


def images(rng, modalities=2, channels=4, batch=2):
    shape = (modalities, batch, 3, 3, channels)
    return list(rng.normal(size=shape).astype("float32"))


def assert_equal(first, second):
    np.testing.assert_array_equal(arrays(first), arrays(second))


def test_two_modalities_follow_the_published_rule():
    beta = [[1, 2, 3, 4], [10, 20, 30, 40]]
    assert exchange_of_shifts(GAMMA, beta) == [[1, 20, 3, 4], [1, 20, 3, 40]]


def test_three_modalities_take_the_mean_of_the_others_with_their_shifts():
    beta = [[1, 2, 3], [10, 20, 30], [100, 200, 300]]
    gamma = [[0, 1, 1], [1, 0, 0.01], [1, 0, 1]]
    expected = [[55, 2, 3], [10, 101, 151.5], [100, 11, 300]]
    assert exchange_of_shifts(gamma, beta) == expected


def test_threshold_zero_is_normalization_alone(rng):
    x, beta = images(rng), rng.normal(size=(2, 4))
    alone = [
        exchange(GAMMA[m : m + 1], beta[m : m + 1])([x[m]])[0] for m in range(2)
    ]
    assert_equal(exchange(GAMMA, beta, threshold=0)(x), alone)


def test_a_threshold_above_every_scale_swaps_and_swaps_back(rng):
    x = images(rng)
    layer = exchange(np.ones((2, 4)), threshold=2)
    assert_equal(layer(x), x[::-1])
    assert_equal(layer(layer(x)), x)


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_equal_modalities_have_nothing_to_exchange(rng, modalities):
    beta = rng.normal(size=4).astype("float32")
    gamma = rng.uniform(-0.04, 0.04, size=(modalities, 4))
    outputs = exchange_of_shifts(gamma, beta)
    np.testing.assert_allclose(outputs, [beta] * modalities, rtol=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_one_modality_is_batch_normalized_as_keras_does(rng, training):
    (x,) = images(rng, modalities=1)
    reference = keras.layers.BatchNormalization()
    layer = ChannelExchange()
    for each, argument in ((reference, x), (layer, [x])):
        each.build(keras.tree.map_structure(np.shape, argument))
        each.gamma.assign(np.reshape([0.0, -0.5, 0.01, 2], each.gamma.shape))
        each.beta.assign(np.reshape([1.0, 2, -3, 4], each.beta.shape))
    np.testing.assert_allclose(
        arrays(layer([x], training=training))[0],
        arrays([reference(x, training=training)])[0],
        rtol=1e-4,
        atol=1e-5,
    )
    for weight in ("moving_mean", "moving_variance"):
        np.testing.assert_allclose(
            ops.convert_to_numpy(getattr(layer, weight))[0],
            ops.convert_to_numpy(getattr(reference, weight)),
            rtol=1e-5,
            atol=1e-7,
        )
    assert not layer.exchanged.any()


@pytest.mark.parametrize("mean", [100.0, 1000.0])
def test_statistics_keep_their_digits_far_from_zero(rng, mean):
    x = rng.normal(mean, size=(8, 9, 9, 4)).astype("float32")
    exact = x.astype("float64")
    deviation = exact.std((0, 1, 2))
    expected = (exact - exact.mean((0, 1, 2))) / np.sqrt(deviation**2 + 1e-3)
    layer = ChannelExchange(threshold=0, momentum=0.0)
    (output,) = arrays(layer([x], training=True))
    np.testing.assert_allclose(output, expected, atol=1e-3)
    (variance,) = arrays([layer.moving_variance])
    np.testing.assert_allclose(variance[0], deviation**2, rtol=1e-4)


@tensorflow_only
def test_two_uneven_replicas_share_their_statistics_far_from_zero(
    rng, two_replicas
):
    x = rng.normal(1000.0, size=(5, 3, 3, 4)).astype("float32")
    with two_replicas.scope():
        layer = ChannelExchange(momentum=0.0)
        layer.build([x.shape])
    parts = two_replicas.experimental_distribute_values_from_function(
        lambda context: ops.convert_to_tensor(
            [x[:1], x[1:]][context.replica_id_in_sync_group]
        )
    )
    two_replicas.run(lambda part: layer([part], training=True), args=(parts,))
    exact = x.astype("float64")
    for weight, expected in (
        (layer.moving_mean, exact.mean((0, 1, 2))),
        (layer.moving_variance, exact.var((0, 1, 2))),
    ):
        (value,) = arrays([weight])
        np.testing.assert_allclose(value[0], expected, rtol=1e-4)


def test_instance_statistics_are_those_of_keras_group_normalization(rng):
    x = images(rng)
    layer = ChannelExchange(normalization="instance", threshold=0)
    reference = keras.layers.GroupNormalization(groups=4, axis=-1)
    expected = arrays([reference(branch) for branch in x])
    for training in (False, True):
        outputs = arrays(layer(x, training=training))
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


def test_order_of_modalities_does_not_matter(rng):
    x, order = images(rng, modalities=3), [2, 0, 1]
    gamma, beta = rng.choice([0, 0.5, -1], (3, 4)), rng.normal(size=(3, 4))
    straight = exchange(gamma, beta)(x)
    permuted = exchange(gamma[order], beta[order])([x[m] for m in order])
    assert_equal(permuted, [straight[m] for m in order])


def test_order_of_channels_does_not_matter(rng):
    x, order = images(rng), [3, 1, 0, 2]
    gamma, beta = np.array(GAMMA), rng.normal(size=(2, 4))
    straight = arrays(exchange(gamma, beta)(x))
    permuted = exchange(gamma[:, order], beta[:, order])(
        [branch[..., order] for branch in x]
    )
    assert_equal(permuted, [branch[..., order] for branch in straight])


def test_samples_and_positions_do_not_matter_to_each_other(rng):
    x, layer = images(rng, batch=3), exchange(GAMMA, 0.5)
    outputs = arrays(layer(x))
    corner = [branch[1:2, 2:, :1] for branch in x]
    assert_equal(layer(corner), [branch[1:2, 2:, :1] for branch in outputs])


def test_channels_first_is_channels_last_transposed(rng):
    x = images(rng)
    last = arrays(exchange(GAMMA, 0.5)(x, training=True))
    moved = [np.moveaxis(branch, -1, 1) for branch in x]
    first = arrays(exchange(GAMMA, 0.5, axis=1)(moved, training=True))
    moved = [np.moveaxis(branch, -1, 1) for branch in last]
    np.testing.assert_allclose(first, moved, rtol=1e-4, atol=1e-5)


def test_the_choice_is_the_same_in_training(rng):
    x = images(rng)
    own = arrays(exchange(GAMMA, 0.5, threshold=0)(x, training=True))
    outputs = arrays(exchange(GAMMA, 0.5)(x, training=True))
    for m, replaced in enumerate([[1], [0, 2]]):
        for c in range(4):
            source = own[1 - m] if c in replaced else own[m]
            np.testing.assert_array_equal(outputs[m][..., c], source[..., c])


# Case F
@pytest.mark.parametrize("given", [1, 3])
def test_as_many_modalities_as_there_are_rows_of_scales(rng, given):
    layer = exchange(GAMMA)
    with pytest.raises(ValueError, match="the 2 modalities that it was b"):
        layer(images(rng, modalities=given))


# Case I
@tensorflow_only
@pytest.mark.parametrize("modalities", [2, 3])
@pytest.mark.parametrize("jit", [False, True])
def test_what_is_exchanged_is_the_same_when_compiled(rng, modalities, jit):
    import tensorflow as tf

    x = images(rng, modalities, channels=8)
    # Powers of two scale without rounding.
    gamma = rng.choice([0.0, 0.5, -2.0, 0.015625], size=(modalities, 8))
    layer = exchange(gamma)
    compiled = tf.function(layer, jit_compile=jit)
    assert layer.exchanged.any()
    if jit:
        # On some processors XLA's square root of 1 is 1 less its last bit.
        np.testing.assert_allclose(
            arrays(compiled(x)), arrays(layer(x)), rtol=1e-6
        )
    else:
        assert_equal(compiled(x), layer(x))


def test_saved_layer_gives_the_same_bits(rng, tmp_path):
    x = images(rng)
    inputs = [keras.Input(branch.shape[1:]) for branch in x]
    model = keras.Model(inputs, exchange(GAMMA, 0.5)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_equal(
        loaded.predict(x, verbose=0),
        model.predict(x, verbose=0),
    )


def test_same_input_in_every_branch_gives_the_same_output(rng):
    (x,) = images(rng, modalities=1)
    layer = exchange(np.tile(GAMMA[0], (2, 1)), 0.5)
    for training in (False, True):
        first, second = arrays(layer([x, x], training=training))
        np.testing.assert_array_equal(first, second)


def test_select_equals_a_gather_of_channels_frozen_beforehand(rng):
    x, beta = images(rng), rng.normal(size=(2, 4))
    layer = exchange(GAMMA, beta)
    channels = np.arange(4)
    chosen = [
        np.where(layer.exchanged[m], 4 * (1 - m) + channels, 4 * m + channels)
        for m in range(2)
    ]
    alone = arrays(exchange(GAMMA, beta, threshold=0)(x))
    both = np.concatenate(alone, axis=-1)
    assert_equal(layer(x), [both[..., index] for index in chosen])


# Case R
@pytest.mark.parametrize("modalities", [2, 3])
def test_select_equals_modalities_stacked_on_the_batch(rng, modalities):
    x = images(rng, modalities, channels=6)
    convolution = keras.layers.Conv2D(6, 3)
    gamma = rng.choice([0.0, 0.3, -0.01, -2.0], size=(modalities, 6))
    beta = rng.normal(size=(modalities, 6))
    apart = arrays(exchange(gamma, beta)([convolution(branch) for branch in x]))
    # One convolution of all, normalized by rows, the others in turn.
    maps = ops.convert_to_numpy(convolution(np.concatenate(x)))
    maps = maps.reshape(modalities, len(x[0]), *maps.shape[1:])
    rows = (modalities, 1, 1, 1, 6)
    own = maps * gamma.reshape(rows) + beta.reshape(rows)
    others = [np.roll(own, -turn, axis=0) for turn in range(1, modalities)]
    donors = np.mean(others, axis=0)
    stacked = np.where(np.abs(gamma).reshape(rows) < 0.02, donors, own)
    np.testing.assert_allclose(apart, stacked, rtol=1e-5, atol=1e-6)


def test_task_gradient_goes_to_the_donor_alone(rng):
    x = images(rng, channels=3)
    u = images(rng, channels=3)
    # Kept in both; replaced in the first; swapped.
    gamma = np.float32([[0.5, 0.01, 0.01], [-2.0, 0.5, -0.01]])
    # The sums of upstream gradients that reach each normalized channel.
    reach = [u[0].copy(), u[1].copy()]
    reach[0][..., 1], reach[1][..., 1] = 0, u[0][..., 1] + u[1][..., 1]
    reach[0][..., 2], reach[1][..., 2] = u[1][..., 2], u[0][..., 2]

    by_input, by_weight = gradients(exchange(gamma), x, u)
    positions = (0, 1, 2)
    for m in range(2):
        np.testing.assert_allclose(by_input[m], reach[m] * gamma[m], rtol=1e-5)
        np.testing.assert_allclose(
            by_weight["gamma"][m], (reach[m] * x[m]).sum(positions), rtol=1e-4
        )
        np.testing.assert_allclose(
            by_weight["beta"][m], reach[m].sum(positions), rtol=1e-4
        )
    assert not by_input[0][..., 1].any()
    assert by_weight["gamma"][0, 1] == by_weight["beta"][0, 1] == 0
    assert by_weight["gamma"][:, 2].all()


def test_each_of_two_donors_gets_half_of_the_gradient(rng):
    x = images(rng, modalities=3, channels=1)
    u = images(rng, modalities=3, channels=1)
    by_input, by_weight = gradients(exchange([[0.0], [1.0], [1.0]]), x, u)
    assert not by_input[0].any()
    assert by_weight["gamma"][0] == by_weight["beta"][0] == 0
    for donor in (1, 2):
        expected = u[donor] + u[0] / 2
        np.testing.assert_allclose(by_input[donor], expected, rtol=1e-5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_numbers_gone_bad_in_a_replaced_channel_do_not_spread(
    rng, poison, training
):
    x, u = images(rng), images(rng)
    layer = exchange(GAMMA, 0.5)
    clean = arrays(layer(x, training=training))
    layer = exchange(GAMMA, 0.5)
    x[0][0, 1, 1, 1] = poison
    np.testing.assert_allclose(
        arrays(layer(x, training=training)), clean, rtol=1e-5, atol=1e-6
    )
    by_input, by_weight = gradients(layer, x, u, training=training)
    assert np.isfinite(by_input[1]).all()
    assert np.isfinite(by_input[0][..., [0, 2, 3]]).all()
    assert np.isfinite(by_weight["gamma"][1]).all()
    assert np.isfinite(by_weight["beta"]).all()


@pytest.mark.parametrize(
    ("modalities", "channels", "sizes"),
    [
        (2, 64, [32, 32]),
        (2, 5, [3, 2]),
        (3, 8, [3, 3, 2]),
        (3, 2, [1, 1, 0]),
        (1, 4, [4]),
    ],
)
def test_penalized_parts_are_disjoint_contiguous_and_cover_all(
    modalities, channels, sizes
):
    layer = exchange(np.ones((modalities, channels)), l1=1.0)
    parts = layer.penalized
    assert sorted(parts.sum(axis=1), reverse=True) == sizes
    assert (parts.sum(axis=0) == 1).all()
    assert (np.diff(parts.argmax(axis=0)) >= 0).all()
    assert sum(arrays(layer.losses)) == channels


def test_penalty_counts_magnitudes_once():
    layer = exchange([[-1.0, 0.25, 9], [9, 9, -2.0]], l1=0.5)
    assert layer.penalized.tolist() == [
        [True, True, False],
        [False, False, True],
    ]
    # Called or not, and however often.
    x = np.zeros((1, 3, 3, 3), "float32")
    layer([x, x])
    layer([x, x])
    assert sum(arrays(layer.losses)) == 0.5 * (1 + 0.25 + 2)
    assert not exchange(GAMMA).losses


def no_task(targets, outputs):
    return 0.0 * ops.sum(outputs, axis=(1, 2, 3))


def trained_by_penalty(gamma, optimizer, l1, steps):
    layer = exchange(gamma, l1=l1, frozen_statistics=True)
    inputs = [keras.Input((1, 1, len(gamma[0]))) for _ in gamma]
    model = keras.Model(inputs, layer(inputs))
    # As many steps in one call as make the time of a call vanish.
    model.compile(optimizer, no_task, steps_per_execution=max(1, steps // 10))
    x = [np.zeros((steps, 1, 1, len(gamma[0])), "float32")] * len(gamma)
    model.fit(x, x, batch_size=1, epochs=1, verbose=0)
    return ops.convert_to_numpy(layer.gamma)


def test_penalty_slope_is_the_sign_inside_the_own_part_and_zero_outside():
    gamma = np.float32([[2, -2, 2, -2], [3, -3, -3, 4]])
    after = trained_by_penalty(gamma, keras.optimizers.SGD(0.5), 0.25, steps=1)
    slopes = (gamma - after) / 0.5
    expected = [[0.25, -0.25, 0, 0], [0, 0, -0.25, 0.25]]
    np.testing.assert_allclose(slopes, expected, atol=1e-6)


@tensorflow_only
def test_penalty_alone_moves_a_scale_as_published():
    optimizer = MultiRateSGD(5e-4, momentum=0.9, l2=1e-5)
    gamma = trained_by_penalty([[0.1, 0.1]] * 2, optimizer, 6e-4, steps=13_200)
    scale, velocity = 0.1, 0.0
    for _ in range(13_200):
        velocity = 0.9 * velocity - 5e-4 * (6e-4 + 1e-5 * scale)
        scale += velocity
    assert scale == pytest.approx(0.0604, abs=5e-5)
    penalized = gamma[[0, 1], [0, 1]]
    np.testing.assert_allclose(penalized, scale, atol=5e-5)
    np.testing.assert_allclose(gamma[[0, 1], [1, 0]], 0.1, atol=1e-4)


def test_frozen_statistics_stay_while_scale_and_shift_learn(rng):
    x = images(rng)
    inputs = [keras.Input(branch.shape[1:]) for branch in x]
    layer = ChannelExchange(frozen_statistics=True)
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.1), ["mse", "mse"])
    layer.moving_mean.assign(rng.normal(size=(2, 4)))
    before = [ops.convert_to_numpy(w) for w in layer.weights]
    assert_equal(layer(x, training=True), layer(x, training=False))
    model.fit(x, images(rng), verbose=0)
    for weight, old in zip(layer.weights, before, strict=True):
        moved = np.any(ops.convert_to_numpy(weight) != old)
        assert moved == (weight.name in ("gamma", "beta")), weight.name


def test_shares_count_magnitudes_in_the_own_part():
    layer = exchange([[0.0, -0.01, 0.5, 0.019], [0.0, 0.0, -5.0, 0.02]])
    assert layer.exchanged.tolist() == [
        [True, True, False, True],
        [True, True, False, False],
    ]
    assert layer.exchanged_share.tolist() == [1.0, 0.0]
    layer.gamma.assign([[1, 0, 0, 0], [0, 0, 1, 0.01]])
    assert layer.exchanged_share.tolist() == [0.5, 0.5]


def test_penalized_only_leaves_the_other_channels_alone(rng):
    x = images(rng)
    layer = exchange(np.ones((2, 4)), threshold=2, penalized_only=True)
    assert layer.exchanged.tolist() == layer.penalized.tolist()
    # Whoever owns a channel takes it from the other, who keeps it.
    taken = np.concatenate([x[1][..., :2], x[0][..., 2:]], axis=-1)
    assert_equal(layer(x), [taken, taken])


@pytest.mark.parametrize(
    ("minimum_kept", "kept"), [(0, 0), (0.01, 1), (0.3, 3), (0.7, 7), (1, 10)]
)
def test_a_modality_keeps_at_least_its_share_of_the_strongest(
    rng, minimum_kept, kept
):
    gamma = rng.permutation(np.linspace(-0.5, 0.4, 10))[None].repeat(2, axis=0)
    gamma[1] *= rng.choice([-1, 1], 10)
    layer = exchange(gamma, threshold=1, minimum_kept=minimum_kept)
    strongest = np.argsort(-np.abs(gamma), axis=1)[:, :kept]
    expected = np.ones((2, 10), bool)
    np.put_along_axis(expected, strongest, False, axis=1)
    np.testing.assert_array_equal(layer.exchanged, expected)


def test_the_share_to_keep_does_not_lift_the_threshold():
    layer = exchange(GAMMA, minimum_kept=0.25)
    np.testing.assert_array_equal(layer.exchanged, exchange(GAMMA).exchanged)
    layer = exchange([[0.0] * 4, [0.0] * 4], minimum_kept=0.25)
    assert not layer.exchanged.any(), "none of equal scales is the weakest"


def test_exchange_begins_after_so_many_calls_in_training(rng, tmp_path):
    x = images(rng)
    layer = exchange(GAMMA, 0.5, begin_step=2)
    alone = arrays(exchange(GAMMA, 0.5, threshold=0)(x))
    for _ in range(2):
        assert_equal(layer(x, training=False), layer(x, training=False))
        assert not layer.exchanged.any()
        layer(x, training=True)
    layer.moving_mean.assign(np.zeros((2, 4)))
    layer.moving_variance.assign(np.ones((2, 4)))
    assert layer.exchanged.tolist() == exchange(GAMMA).exchanged.tolist()
    outputs = arrays(layer(x))
    assert_equal(outputs, exchange(GAMMA, 0.5)(x))
    assert np.any(outputs[0] != alone[0])
    inputs = [keras.Input(branch.shape[1:]) for branch in x]
    keras.Model(inputs, layer(inputs)).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_equal(loaded(x), outputs)


def test_steps_are_counted_by_fit(rng):
    x = images(rng, batch=3)
    inputs = [keras.Input(branch.shape[1:]) for branch in x]
    layer = ChannelExchange(begin_step=100)
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", ["mse", "mse"])
    model.fit(x, x, batch_size=1, epochs=2, verbose=0)
    model.evaluate(x, x, verbose=0)
    assert int(layer.step) == 6


def test_shrinkage_ends_at_exactly_zero_and_only_in_the_own_part():
    gamma = [[0.25, -0.25, 0.25, 1e-3], [0.5, 0.5, 1e-3, -0.5]]
    layer = exchange(gamma, shrinkage=0.125, frozen_statistics=True)
    inputs = [keras.Input((1, 1, 4))] * 2
    model = keras.Model(inputs[:1], layer(inputs))
    model.compile(keras.optimizers.SGD(1.0), [no_task, no_task])
    x = np.zeros((3, 1, 1, 4), "float32")
    model.fit(x, [x, x], batch_size=1, epochs=1, verbose=0)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layer.gamma),
        np.float32([[0, 0, 0.25, 1e-3], [0.5, 0.5, 0, -0.125]]),
    )
    assert not layer.losses


IMAGE = (None, 4, 4, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": -0.1}, "`threshold` must be at least 0"),
        ({"l1": -1}, "`l1` must be at least 0"),
        ({"minimum_kept": 1.5}, "`minimum_kept` must be a share, at most 1"),
        ({"begin_step": -1}, "`begin_step` must be at least 0"),
        ({"shrinkage": -1e-3}, "`shrinkage` must be at least 0"),
        ({"normalization": "layer"}, 'must be "batch" or "instance"'),
    ],
)
def test_wrong_arguments_explain_themselves(arguments, message):
    with pytest.raises(ValueError, match=message):
        ChannelExchange(**arguments)


@pytest.mark.parametrize(
    ("arguments", "shapes", "message"),
    [
        ({}, IMAGE, "must be a list of at least 1 tensor,"),
        ({}, [IMAGE, (None, 4, 4, 5)], "must be modalities of one shape"),
        ({}, [IMAGE, (None, 4, 3)], "must be modalities of one shape"),
        ({}, [(None, 4, None)] * 2, "known number of channels on axis -1"),
        ({"axis": 4}, [IMAGE] * 2, "known number of channels on axis 4"),
        (
            {"normalization": "instance"},
            [(None, 3)] * 2,
            "must have a position axis",
        ),
    ],
)
def test_wrong_shapes_explain_themselves(arguments, shapes, message):
    with pytest.raises(ValueError, match=message):
        ChannelExchange(**arguments).build(shapes)


@pytest.mark.parametrize("name", ["exchanged", "exchanged_share"])
def test_nothing_is_exchanged_before_there_are_weights(name):
    with pytest.raises(ValueError, match="must be asked of a built layer"):
        getattr(ChannelExchange(), name)
