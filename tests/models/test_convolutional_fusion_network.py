"""Acceptance cases 18 to 23 on the builders, and the heads against NumPy."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_fusion.layers import LocallyConnectedFusion
from keras_fusion.models import CLASSIFICATION_HEADS
from keras_fusion.models import CONVOLUTIONAL_FUSION_PRESETS
from keras_fusion.models import convolutional_fusion_network
from keras_fusion.models import lenet
from keras_fusion.models.ceiling_pooling import ceiling_pool

every_head = pytest.mark.parametrize("head", CLASSIFICATION_HEADS)
CLASSES = 4


def small(head="locally_connected", **kwargs):
    settings = {
        "num_classes": CLASSES,
        "image_shape": (8, 8, 1),
        "filters": ((3,), (5,), (6,)),
        "pools": ("max", "average"),
        "width": 7,
        "kernel_initializer": "he_normal",
    }
    return convolutional_fusion_network(head=head, **{**settings, **kwargs})


def images(count=5, shape=(8, 8, 1)):
    rng = np.random.default_rng(1)
    return {"image": rng.normal(size=(count, *shape)).astype("float32")}


def parameters(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def values(model, names, inputs):
    """What layers give, by their names."""
    outputs = [model.get_layer(name).output for name in names]
    tensors = keras.Model(model.input, outputs)(inputs, training=False)
    return [ops.convert_to_numpy(x) for x in keras.tree.flatten(tensors)]


def assert_close(first, second, rtol=1e-5, atol=1e-5):
    np.testing.assert_allclose(first, second, rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    ("preset", "plain", "total"),
    [
        ("cifar10", 1_286_698, 1_343_146),
        ("cifar100", 1_721_572, 2_386_276),
        ("imagenet", 6_283_368, 6_752_362),
    ],
)
def test_shipped_networks_have_their_number_of_weights(preset, plain, total):
    arguments = CONVOLUTIONAL_FUSION_PRESETS[preset]
    model = convolutional_fusion_network(**arguments)
    assert parameters(model) == total
    model = convolutional_fusion_network(head="last", **arguments)
    assert parameters(model) == plain


@pytest.mark.parametrize(
    ("preset", "head", "extra"),
    [
        # A classifier of a pooled, unlifted map for each side branch.
        ("cifar10", "dag", 2_900),
        ("imagenet", "dag", 451_000),
        # Lifted sides, two more classifiers, and 10 * (3 + 1).
        ("cifar10", "eplf", 18_624 + 37_056 + 5_790 - 1_930 + 40),
        ("cifar10", "shared", 18_624 + 37_056 + 3 + 1),
        ("cifar10", "concat", 18_624 + 37_056 + 2 * 192 * 10),
    ],
)
def test_heads_add_the_weights_of_their_formula(preset, head, extra):
    arguments = CONVOLUTIONAL_FUSION_PRESETS[preset]
    plain = convolutional_fusion_network(head="last", **arguments)
    model = convolutional_fusion_network(**{**arguments, "head": head})
    assert parameters(model) - parameters(plain) == extra


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_side_branches_leave_behind_the_poolings_that_are_named(kernel_size):
    plain = small("last")
    channels = {1: 3, 2: 5}
    for sides in ((1,), (2,), (1, 2)):
        model = small(sides=sides, side_kernel_size=kernel_size)
        sizes = sum((kernel_size**2 * channels[side] + 1) * 7 for side in sides)
        fusion = 7 * (len(sides) + 2)
        assert parameters(model) - parameters(plain) == sizes + fusion


def test_branches_are_stacked_as_shipped():
    imagenet = CONVOLUTIONAL_FUSION_PRESETS["imagenet"]
    for arguments, order in (
        ({}, ["main", "pool1", "pool2"]),
        (imagenet, ["pool2", "pool3", "pool4", "main"]),
    ):
        model = convolutional_fusion_network(**arguments)
        kernel = model.get_layer("fusion").branch_weights
        assert kernel.shape[1] == len(order)
        inputs = model.get_layer("fusion").input
        for name, branch in zip(order, inputs, strict=True):
            assert branch is model.get_layer(f"{name}_branch").output


def test_logits_at_the_shipped_start_are_those_of_the_mean():
    """Case 19: 0.333 is short of a third by a thousandth."""
    model = small(fusion_start=0.333)
    names = [f"{name}_branch" for name in ("main", "pool1", "pool2")]
    *branches, logits = values(model, [*names, "label"], images())
    kernel, bias = model.get_layer("label_classifier").get_weights()
    mean = np.mean(branches, axis=0) @ kernel + bias
    assert np.abs(mean).max() > 0.05
    assert_close(logits, 0.999 * mean, atol=1e-6)


def test_fused_vector_of_imagenet_is_normalized_as_a_whole():
    """Case 20, and the option of a norm for each feature."""
    for kind, size in (("vector", 1), ("channel", 7)):
        norm = small(fused_normalization=kind).get_layer("fusion_norm")
        assert [w.shape for w in norm.weights] == [(size,)] * 4


def test_the_vector_norm_computes_one_mean_and_variance():
    model = small(fused_normalization="vector", dropout=0.0)
    inputs = images(64)
    fused, _ = values(model, ["fusion", "fusion_norm"], inputs)
    watched = keras.Model(model.input, model.get_layer("fusion_relu").output)
    received = ops.convert_to_numpy(watched(inputs, training=True))
    standard = (fused - fused.mean()) / np.sqrt(fused.var() + 1e-5)
    assert_close(received, np.maximum(standard, 0), rtol=1e-3, atol=1e-3)


def test_side_branch_and_main_path_see_the_same_features_dropped():
    """Case 21: what the side has lost, the next convolution has not."""
    model = small(dropout=0.5)
    dropped = model.get_layer("pool1_dropout").output
    consumers = [
        layer.name
        for layer in model.layers
        if any(x is dropped for x in keras.tree.flatten(layer.input))
    ]
    assert set(consumers) == {"pool1_lift_conv", "group2_1_conv"}
    watched = keras.Model(
        model.input,
        [dropped]
        + [model.get_layer(name).output for name in sorted(consumers)],
    )
    features, main, side = watched(images(), training=True)
    assert (ops.convert_to_numpy(features) == 0).mean() > 0.3
    for name, received in (("group2_1_conv", main), ("pool1_lift_conv", side)):
        assert_close(received, model.get_layer(name)(features))


@pytest.mark.parametrize("side", [32, 16, 14, 15, 7])
@pytest.mark.parametrize("kind", ["max", "average"])
def test_pooling_rounds_up_as_caffe_does(rng, side, kind):
    """Case 22, against an explicit loop over the windows."""
    maps = rng.normal(size=(1, side, side, 2)).astype("float32")
    x = keras.Input(maps.shape[1:])
    pooled = keras.Model(x, ceiling_pool(x, kind, "pool"))(maps)
    count = -(-(side - 3) // 2) + 1
    assert pooled.shape == (1, count, count, 2)
    reduce = {"max": np.max, "average": np.mean}[kind]
    expected = [
        [
            reduce(maps[0, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3], axis=(0, 1))
            for j in range(count)
        ]
        for i in range(count)
    ]
    assert_close(pooled[0], expected)


@pytest.mark.parametrize("shape", [(8, 7, 1), (None, None, 1)])
def test_images_that_cannot_be_pooled_as_in_caffe_are_refused(shape):
    with pytest.raises(ValueError, match="known height and width"):
        small(image_shape=shape)


def test_early_and_late_sums_of_a_shared_classifier_are_the_same():
    """Case 23: the bias of the classifier counts once a branch."""
    early = small("sum", dropout=0.0)
    late = small("eplf", dropout=0.0, fusion_start=1.0, fusion_bias=False)
    shared = {w.path: w for w in early.weights}
    classifier = early.get_layer("label_classifier").get_weights()
    classifier[1] = np.linspace(-1, 1, CLASSES)
    early.get_layer("label_classifier").set_weights(classifier)
    for weight in late.weights:
        if weight.path in shared:
            weight.assign(shared[weight.path])
    for name in ("main", "pool1", "pool2"):
        late.get_layer(f"{name}_classifier").set_weights(classifier)
    received = late(images())["label"]
    expected = early(images())["label"] + 2 * classifier[1]
    assert_close(received, expected)


def fused(head, vectors, model):
    """The vector that is classified, by its formula."""
    total = sum(vectors)
    if head == "max":
        return np.maximum.reduce(vectors)
    if head == "concat":
        return np.concatenate(vectors, axis=1)
    if head in ("sum", "mean"):
        return total if head == "sum" else total / len(vectors)
    kernel, bias = model.get_layer("fusion").get_weights()
    if head == "shared":
        return np.maximum(
            sum(w * x for w, x in zip(kernel.ravel(), vectors, strict=True))
            + bias,
            0,
        )
    weighted = sum(w * x for w, x in zip(kernel.T, vectors, strict=True))
    return np.maximum(weighted + bias, 0)


@pytest.mark.parametrize(
    "head", ["sum", "mean", "max", "concat", "shared", "locally_connected"]
)
def test_vector_heads_agree_with_numpy(head, rng):
    model = small(head)
    for weight in model.weights:
        if weight.path.startswith("fusion"):
            weight.assign(rng.normal(size=weight.shape))
    names = [f"{name}_branch" for name in ("main", "pool1", "pool2")]
    *vectors, logits = values(model, [*names, "label"], images())
    kernel, bias = model.get_layer("label_classifier").get_weights()
    expected = fused(head, vectors, model) @ kernel + bias
    assert_close(logits, expected, rtol=1e-4)


def weighted_sum(model, head):
    """The sum that a record's weights describe, and what the model fuses."""
    record = CLASSIFICATION_HEADS[head]
    kind = "classifier" if record.fuses_scores else "branch"
    names = [f"{name}_{kind}" for name in ("main", "pool1", "pool2")]
    end = model.get_layer(
        "label" if record.fuses_scores else "label_classifier"
    )
    branches = [model.get_layer(name).output for name in names]
    fusion = model.get_layer("fusion")
    watched = keras.Model(model.input, [*branches, fusion.output, end.input])
    *branches, gates, fused = map(ops.convert_to_numpy, watched(images()))
    stack = np.stack(branches, axis=-1)
    if record.branch_weights is None:
        weights = np.moveaxis(gates, 1, 2)
    else:
        weights = record.branch_weights(fusion, stack.shape[1:])
        assert weights.shape == stack.shape[1:]
    return (weights * stack).sum(axis=-1), fused


@every_head
def test_weights_of_a_record_are_those_of_the_sum(head, rng):
    record = CLASSIFICATION_HEADS[head]
    if not record.weighs:
        assert record.branch_weights is None
        return
    model = small(head, fusion_activation=None, fusion_bias=False, dropout=0.0)
    if head != "gated":
        for weight in model.get_layer("fusion").weights:
            weight.assign(rng.normal(size=weight.shape))
    expected, received = weighted_sum(model, head)
    assert np.ptp(expected) > 0
    assert_close(received, expected, rtol=1e-4)


@every_head
def test_records_tell_which_outputs_and_sides_a_head_has(head):
    record = CLASSIFICATION_HEADS[head]
    outputs = set(small(head).output)
    companions = {"companion_pool1", "companion_pool2"}
    assert outputs == {"label"} | (companions if record.supervises else set())
    if record.needs_sides:
        with pytest.raises(ValueError, match="needs side branches"):
            small(head, sides=())
    else:
        small(head, sides=())


@every_head
def test_records_count_the_weights_that_a_head_adds(head):
    """The formulas, with the sides that this network has."""
    formula = CLASSIFICATION_HEADS[head].added_weights
    channels, pixels = (3, 5), (16, 4)
    added = 0
    for c, p in zip(channels, pixels, strict=True):
        if formula.endswith(" a side"):
            source = formula.removesuffix(" a side")
            source = source.replace("pixels channels", f"{p} * {c}")
            added += count_of(source.replace("channels", str(c)))
        else:
            # The 1x1 convolution that lifts the side.
            added += (c + 1) * 8 if head != "last" else 0
    if not formula.endswith(" a side"):
        added += count_of(formula)
    total = parameters(small(head, width=8))
    assert total - parameters(small("last", width=8)) == added


def count_of(formula):
    """A formula's value for S = 3, K = 8 and the C of this file."""
    product = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", formula)
    return int(eval(product, {"S": 3, "K": 8, "C": CLASSES}))


def test_gates_sum_to_one_over_branches_and_open_one_for_another():
    model = small("gated")
    gates, *_ = values(model, ["fusion"], images())
    assert gates.shape == (5, 3, 7)
    assert_close(gates.sum(axis=1), np.ones((5, 7)))
    # With a large bias on the second branch only that one is heard.
    kernel, bias = model.get_layer("fusion_scores").get_weights()
    bias = bias.reshape(3, 7) + [[0.0], [100.0], [0.0]]
    model.get_layer("fusion_scores").set_weights([0 * kernel, bias.ravel()])
    branch, logits = values(model, ["pool1_branch", "label"], images())
    kernel, bias = model.get_layer("label_classifier").get_weights()
    assert_close(logits, branch @ kernel + bias)


def test_unit_norm_makes_scores_blind_to_the_scale_of_a_map():
    model = small("dag", dropout=0.0)
    expected = ops.convert_to_numpy(model(images())["label"])
    # No ReLU stands between this scaling and the pooled vector of a side.
    kernel, bias = model.get_layer("group1_1_conv").get_weights()
    model.get_layer("group1_1_conv").set_weights([9 * kernel, 9 * bias])
    second = model.get_layer("group2_1_conv")
    kernel, bias = second.get_weights()
    second.set_weights([kernel / 9, bias])
    assert_close(model(images())["label"], expected, rtol=1e-4, atol=1e-4)


def trained(model, steps=1):
    """Paths of the weights that training moves."""
    model.compile(
        keras.optimizers.SGD(0.1),
        {
            name: keras.losses.SparseCategoricalCrossentropy(True)
            for name in model.output
        },
    )
    before = {
        w.path: ops.convert_to_numpy(w).copy() for w in model.trainable_weights
    }
    labels = np.arange(5) % CLASSES
    inputs = images(5, model.input["image"].shape[1:])
    for _ in range(steps):
        model.train_on_batch(inputs, dict.fromkeys(model.output, labels))
    return {
        w.path
        for w in model.trainable_weights
        if not np.array_equal(w, before[w.path])
    }


def keep_alive(model):
    """Lets every branch win a third of the channels, and no unit be dead."""
    for weight in model.weights:
        layer, _, name = weight.path.partition("/")
        if name == "bias" and layer.endswith("_lift_conv"):
            branch = ("main", "pool1", "pool2").index(layer.split("_")[0])
            wins = np.arange(weight.shape[0]) % 3 == branch
            weight.assign(np.where(wins, 3.0, -0.2))
        elif name == "bias" and layer.startswith("group"):
            weight.assign(np.full(weight.shape, 1.0))


@every_head
@pytest.mark.parametrize("network", ["plain", "lenet"])
def test_every_weight_learns_and_files_keep_the_numbers(
    head, network, tmp_path
):
    if network == "plain":
        model = small(head, dropout=0.0)
    else:
        model = lenet(CLASSES, (8, 8, 1), head=head, padding=("same", "same"))
    keep_alive(model)
    assert trained(model) == {w.path for w in model.trainable_weights}
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    inputs = images(5, model.input["image"].shape[1:])
    expected = model(inputs, training=False)
    for name, logits in loaded(inputs, training=False).items():
        np.testing.assert_array_equal(logits, expected[name])


def test_every_branch_changes_the_logits():
    heads = CLASSIFICATION_HEADS.values()
    for head in [head.name for head in heads if head.fuses]:
        model = small(head, dropout=0.0)
        before = ops.convert_to_numpy(model(images())["label"])
        for side in ("pool1", "pool2"):
            name = (
                f"{side}_classifier" if head == "dag" else f"{side}_lift_conv"
            )
            layer = model.get_layer(name)
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel + 0.5, bias + 0.5])
            after = ops.convert_to_numpy(model(images())["label"])
            assert np.abs(after - before).max() > 1e-3, (head, side)
            layer.set_weights([kernel, bias])


def test_lenet_has_the_weights_of_lenet_5():
    expected = (
        (25 + 1) * 6
        + (25 * 6 + 1) * 16
        + (25 * 16 + 1) * 120
        + (120 + 1) * 84
        + (84 + 1) * 10
    )
    assert parameters(lenet()) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "magic"}, "one of last, sum, mean"),
        ({"sides": (3,)}, "poolings 1, 2"),
        ({"sides": (1, 1)}, "different ones of the poolings"),
        ({"sides": ()}, "`sides` must be one or more of the poolings"),
        ({"pools": ("max",)}, "`pools` must name a pooling between"),
        ({"pools": ("max", "least")}, '"max" or "average"'),
        ({"fused_normalization": "layer"}, '"vector" or "channel"'),
    ],
)
def test_wrong_arguments_explain_themselves(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)


def test_a_plain_network_needs_no_side_branches():
    assert parameters(small("last", sides=())) == parameters(small("last"))


SYNTHETIC_CHANNELS, SYNTHETIC_BRANCHES = 48, 3


def synthetic(seed):
    """Section 5.2: each channel has one branch that tells of the class."""
    rng = np.random.default_rng(seed)
    channels = np.arange(SYNTHETIC_CHANNELS)
    informative = rng.integers(SYNTHETIC_BRANCHES, size=SYNTHETIC_CHANNELS)
    prototypes = 0.35 * rng.normal(size=(CLASSES, SYNTHETIC_CHANNELS))
    parts = []
    for count in (2000, 4000):
        labels = rng.integers(CLASSES, size=count)
        branches = rng.normal(
            size=(count, SYNTHETIC_BRANCHES, SYNTHETIC_CHANNELS)
        )
        branches[:, informative, channels] += prototypes[labels]
        parts.append((branches.astype("float32"), labels))
    return informative, *parts


def network_of(fusion):
    inputs = [
        keras.Input((SYNTHETIC_CHANNELS,)) for _ in range(SYNTHETIC_BRANCHES)
    ]
    logits = keras.layers.Dense(CLASSES)(fusion(inputs))
    model = keras.Model(inputs, logits)
    model.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=100,
    )
    return model


def fit_and_score(model, start, train, test):
    """Accuracy after 300 steps on all of the training examples."""
    model.set_weights(start)
    for variable in model.optimizer.variables:
        if variable is not model.optimizer._learning_rate:
            variable.assign(ops.zeros_like(variable))
    branches, labels = train
    batch = (tuple(np.moveaxis(branches, 1, 0)), labels)
    dataset = tf.data.Dataset.from_tensors(batch).repeat(300)
    model.fit(dataset, shuffle=False, verbose=0)
    branches, labels = test
    logits = model.predict(list(np.moveaxis(branches, 1, 0)), 4000, verbose=0)
    return (logits.argmax(axis=1) == labels).mean()


def test_private_weights_win_where_channels_differ_in_their_best_branch():
    """Section 5.2, mean of five seeds."""
    fusion = LocallyConnectedFusion(activation=None, use_bias=False)
    local, total = network_of(fusion), network_of(keras.layers.Add())
    mean = fusion.branch_weights
    scores, recovered = [], []
    for seed in range(5):
        informative, train, test = synthetic(seed)
        draw = keras.initializers.GlorotUniform(seed=seed)
        kernel = ops.convert_to_numpy(draw((SYNTHETIC_CHANNELS, CLASSES)))
        start = [kernel, np.zeros(CLASSES)]
        scores.append(
            (
                fit_and_score(local, [mean, *start], train, test),
                fit_and_score(total, start, train, test),
            )
        )
        best = np.abs(fusion.branch_weights).argmax(axis=1)
        recovered.append((best == informative).mean())
    ours, sums = np.mean(scores, axis=0)
    assert ours >= 0.80
    assert ours - sums >= 0.12
    assert np.mean(recovered) >= 0.85
