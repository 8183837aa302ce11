"""What every public layer promises, over the table of cases.py."""

import contextlib
import dataclasses
import inspect
import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion import layers
from tests.docstrings import run_example
from tests.layers.cases import CASES
from tests.layers.precision import DOUBLE

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_case_with_weights = pytest.mark.parametrize(
    "case",
    [case for case in CASES if not case.weightless],
    ids=lambda case: case.name,
)
every_case_of_a_list = pytest.mark.parametrize(
    "case",
    [case for case in CASES if isinstance(case.shapes[0], list)],
    ids=lambda case: case.name,
)
# Layers that, as documented, have no weights for channels.
ANY_CHANNELS = (layers.LearnedEnsemble, layers.ModalityDropout)
tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs TensorFlow"
)


def map_shapes(function, shapes):
    return [
        [function(shape) for shape in argument]
        if isinstance(argument, list)
        else function(argument)
        for argument in shapes
    ]


def draw_arguments(case, draw):
    """Calls `draw(shape, indices)` for every tensor, in order."""
    numbers = itertools.count()
    return map_shapes(
        lambda shape: draw(shape, case.indices.get(next(numbers))), case.shapes
    )


def random_arguments(case, batch=None, seed=1):
    rng = np.random.default_rng(seed)

    def draw(shape, indices):
        size = shape if batch is None else (batch, *shape[1:])
        if indices:
            return rng.integers(indices, size=size).astype("int32")
        return rng.normal(size=size).astype("float32")

    return draw_arguments(case, draw)


def symbols(case, make, batch):
    """Symbolic arguments made by `keras.Input` or `keras.KerasTensor`."""
    return draw_arguments(
        case,
        lambda shape, indices: make(
            (batch, *shape[1:]), dtype="int32" if indices else "float32"
        ),
    )


def made(case, dtype):
    """A layer of that policy, and so the layers that it is made with."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        return case.make()
    finally:
        keras.config.set_dtype_policy(policy)


def built(case, dtype="float32"):
    layer = made(case, dtype)
    layer(*random_arguments(case))
    rng = np.random.default_rng(4)
    for weight in layer.weights:
        if "float" in weight.dtype:
            value = rng.uniform(0.3, 0.9, weight.shape)
            weight.assign(case.weights.get(weight.name, value))
    return layer


def weights_by_name(layer):
    return {
        weight.path.removeprefix(f"{layer.name}/"): ops.convert_to_numpy(weight)
        for weight in layer.weights
    }


def arrays(outputs):
    return [
        ops.convert_to_numpy(ops.cast(x, "float32"))
        for x in keras.tree.flatten(outputs)
    ]


def flat_shapes(shapes):
    if all(size is None or isinstance(size, int) for size in shapes):
        return [tuple(shapes)]
    return [shape for part in shapes for shape in flat_shapes(part)]


def assert_close(first, second, tolerance=1e-5):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def model_of(case, layer):
    inputs = symbols(
        case, lambda shape, dtype: keras.Input(shape[1:], dtype=dtype), None
    )
    outputs = layer(*inputs)
    return keras.Model(flat(inputs), outputs)


def flat(arguments):
    return [
        x
        for argument in arguments
        for x in (argument if isinstance(argument, list) else [argument])
    ]


def compiled_model(case, layer=None, **kwargs):
    layer = layer or built(case)
    model = model_of(case, layer)
    model.compile(
        optimizer=keras.optimizers.SGD(0.1),
        loss=["mse"] * len(model.outputs),
        **kwargs,
    )
    return model, layer


def targets_of(case, layer):
    outputs = arrays(layer(*random_arguments(case)))
    rng = np.random.default_rng(3)
    return [rng.normal(size=x.shape).astype("float32") for x in outputs]


def one_step(model, case, targets):
    x = flat(random_arguments(case))
    model.fit(x, targets, batch_size=len(x[0]), epochs=1, verbose=0)


def test_every_public_layer_is_in_the_table():
    public = {getattr(layers, name) for name in layers.__all__}
    assert {type(case.make()) for case in CASES} == public


@every_case
def test_agrees_with_numpy(case):
    layer = built(case)
    arguments = random_arguments(case)
    expected = case.reference(weights_by_name(layer), *arguments)
    expected = expected if isinstance(expected, list) else [expected]
    assert_close(arrays(layer(*arguments)), expected, 1e-4)


@every_case
@pytest.mark.parametrize("batch", [None, 1, 0])
def test_symbolic_eager_and_computed_shapes_agree(case, batch):
    layer = built(case)
    batched = [
        shape if batch is None else (batch, *shape[1:])
        for shape in flat(case.shapes)
    ]
    symbolic = keras.tree.flatten(
        layer(*symbols(case, keras.KerasTensor, batch))
    )
    computed = layer.compute_output_shape(
        *map_shapes(lambda shape: (batch, *shape[1:]), case.shapes)
    )
    computed = flat_shapes(computed)
    assert [tuple(x.shape) for x in symbolic] == computed
    eager = arrays(layer(*random_arguments(case, batch)))
    first = batched[0][0]
    assert [x.shape for x in eager] == [
        tuple(first if size is None else size for size in shape)
        if batch is None
        else shape
        for shape in computed
    ]


@every_case
def test_config_round_trips_and_holds_every_argument(case):
    layer = case.make()
    config = layer.get_config()
    parameters = inspect.signature(type(layer)).parameters
    own = set(config) - {"name", "trainable", "dtype"}
    assert own == set(parameters) - {"args", "kwargs"}
    assert type(layer).from_config(config).get_config() == config


@every_case
def test_integers_of_numpy_are_stored_as_those_of_python(case):
    config = case.make().get_config()
    ours = set(inspect.signature(type(case.make())).parameters) & set(config)

    def with_numpy(value):
        if isinstance(value, list | tuple):
            return type(value)(map(with_numpy, value))
        return np.int64(value) if type(value) is int else value

    def types(value):
        if isinstance(value, list | tuple):
            return [types(part) for part in value]
        return type(value)

    changed = {name: with_numpy(config[name]) for name in ours}
    again = type(case.make()).from_config({**config, **changed}).get_config()
    for name in ours:
        assert again[name] == config[name], name
        # Integers for floats may stay integers.
        expected = types(config[name])
        assert types(again[name]) in (expected, float), name


@every_case
def test_saved_model_gives_the_same_numbers(case, tmp_path):
    model = model_of(case, built(case))
    path = tmp_path / "model.keras"
    model.save(path)
    x = flat(random_arguments(case))
    loaded = keras.saving.load_model(path)
    assert_close(arrays(loaded(x)), arrays(model(x)), 1e-7)


@every_case
def test_only_documented_layers_have_no_trainable_weights(case):
    assert bool(built(case).trainable_weights) != case.weightless


@every_case_with_weights
def test_every_weight_moves_in_one_step(case):
    check_every_weight_moves(case, built(case))


def check_every_weight_moves(case, layer):
    model, _ = compiled_model(case, layer, jit_compile=False)
    before = weights_by_name(layer)
    one_step(model, case, targets_of(case, layer))
    after = weights_by_name(layer)
    trainable = [
        weight.path.removeprefix(f"{layer.name}/")
        for weight in layer.trainable_weights
    ]
    assert trainable
    for name in trainable:
        assert np.all(np.isfinite(after[name])), name
        assert np.any(after[name] != before[name]), f"{name} stands still"


@every_case
def test_every_modality_changes_the_output(case):
    check_every_modality_changes_the_output(case, built(case))


def check_every_modality_changes_the_output(case, layer):
    arguments = random_arguments(case)
    others = random_arguments(case, seed=2)
    original = np.concatenate([x.ravel() for x in arrays(layer(*arguments))])
    for changed in range(len(flat(arguments))):
        positions = iter(range(len(flat(arguments))))
        mixed = keras.tree.map_structure(
            lambda x, other: other if next(positions) == changed else x,  # noqa: B023
            arguments,
            others,
        )
        outputs = np.concatenate([x.ravel() for x in arrays(layer(*mixed))])
        differs = np.any(np.abs(outputs - original) > 1e-3)
        assert differs != (changed in case.shape_only), f"input {changed}"


class StoppedWeight(keras.layers.Layer):
    """A mutation: one weight of the wrapped layer gets no gradient."""

    def __init__(self, layer, weight, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer
        self.weight = weight

    def call(self, *inputs):
        values = [
            ops.stop_gradient(weight.value)
            if weight is self.weight
            else weight.value
            for weight in self.layer.variables
        ]
        mapping = zip(self.layer.variables, values, strict=True)
        with keras.StatelessScope(list(mapping)):
            return self.layer(*inputs)


class DeafLayer(keras.layers.Layer):
    """A mutation: one input of the wrapped layer is always `replacement`."""

    def __init__(self, layer, number, replacement, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer
        self.number = number
        self.replacement = replacement

    def call(self, *inputs):
        numbers = itertools.count()
        return self.layer(
            *keras.tree.map_structure(
                lambda x: (
                    self.replacement if next(numbers) == self.number else x
                ),
                inputs,
            )
        )


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@every_case_with_weights
def test_contract_catches_a_weight_without_gradient(case):
    layer = built(case)
    weight = layer.trainable_weights[-1]
    mutation = StoppedWeight(layer, weight)
    # Keras and PyTorch refuse to train a layer whose only weight it is.
    errors = (AssertionError, ValueError, RuntimeError)
    noticed = "stands still|No gradients provided|does not require grad"
    with pytest.raises(errors, match=noticed):
        check_every_weight_moves(case, mutation)


@every_case
def test_contract_catches_an_ignored_modality(case):
    for number, replacement in enumerate(flat(random_arguments(case, seed=5))):
        if number not in case.shape_only:
            mutation = DeafLayer(built(case), number, replacement)
            with pytest.raises(AssertionError, match=f"input {number}"):
                check_every_modality_changes_the_output(case, mutation)


@every_case
@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="torch compiles with a compiler"
)
def test_compiled_equals_eager(case):
    model, layer = compiled_model(case, jit_compile=True)
    x = flat(random_arguments(case))
    compiled = model.predict(x, batch_size=len(x[0]), verbose=0)
    compiled = keras.tree.flatten(compiled)
    assert_close(compiled, arrays(layer(*random_arguments(case))))
    if not case.weightless:
        one_step(model, case, targets_of(case, layer))


@every_case
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_stays_finite_with_float32_weights(case, policy):
    layer = built(case, dtype=policy)
    assert {weight.dtype for weight in layer.weights} <= {"float32", "int32"}
    arguments = keras.tree.map_structure(
        lambda x: x if x.dtype == "int32" else 100 * x, random_arguments(case)
    )
    outputs = layer(*arguments, **training(layer))
    for output in keras.tree.flatten(outputs):
        assert keras.backend.standardize_dtype(output.dtype) == policy[6:]
    for output in arrays(outputs):
        assert np.all(np.isfinite(output))


@every_case
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_pure_half_precision_stays_finite(case, dtype):
    layer = built(case, dtype=dtype)
    assert {weight.dtype for weight in layer.weights} <= {dtype, "int32"}
    outputs = layer(*random_arguments(case), **training(layer))
    for output in keras.tree.flatten(outputs):
        assert keras.backend.standardize_dtype(output.dtype) == dtype
    for output in arrays(outputs):
        assert np.all(np.isfinite(output))


@every_case
def test_double_precision_agrees_with_numpy(case, double_precision):
    layer = built(case, dtype="float64")
    assert {weight.dtype for weight in layer.weights} <= {"float64", "int32"}
    arguments = keras.tree.map_structure(
        lambda x: x if x.dtype == "int32" else x.astype("float64"),
        random_arguments(case),
    )
    expected = case.reference(weights_by_name(layer), *arguments)
    expected = expected if isinstance(expected, list) else [expected]
    outputs = keras.tree.flatten(layer(*arguments))
    for output in outputs:
        assert keras.backend.standardize_dtype(output.dtype) == "float64"
    outputs = [ops.convert_to_numpy(output) for output in outputs]
    # The root of power normalization is smoothed near zero; Keras computes
    # attention in float32 on JAX.
    jax = keras.backend.backend() == "jax"
    assert_close(outputs, expected, max(DOUBLE, 1e-5 if jax else 1e-6))
    layer(*arguments, **training(layer))


def training(layer):
    has_mode = "training" in inspect.signature(layer.call).parameters
    return {"training": True} if has_mode else {}


@tensorflow_only
@every_case_with_weights
def test_two_replicas_train_like_one(case, two_replicas):
    trained = []
    for scope in (contextlib.nullcontext, two_replicas.scope):
        with scope():
            model, layer = compiled_model(case)
        targets = targets_of(case, layer)
        for _ in range(2):
            one_step(model, case, targets)
        trained.append(list(weights_by_name(layer).values()))
    assert_close(trained[1], trained[0])


def other_lists(case, layer):
    """Shapes with one modality fewer, one more, and with more channels."""
    modalities = case.shapes[0]
    wider = [list(shape) for shape in modalities]
    for shape in wider:
        shape[getattr(layer, "axis", -1)] += 1
    wider = list(map(tuple, wider))
    yield [modalities[:-1], *case.shapes[1:]], "fewer"
    yield [[*modalities, modalities[-1]], *case.shapes[1:]], "more"
    if not isinstance(layer, ANY_CHANNELS):
        yield [wider, *case.shapes[1:]], "wider"


@every_case_of_a_list
@pytest.mark.parametrize("symbolic", [False, True])
def test_a_built_layer_takes_no_other_modalities(case, symbolic):
    layer = built(case)
    for shapes, what in other_lists(case, layer):
        other = dataclasses.replace(case, shapes=tuple(shapes), indices={})
        if symbolic:
            arguments = symbols(other, keras.KerasTensor, None)
        else:
            arguments = random_arguments(other)
        with pytest.raises(ValueError, match="that it was built for"):
            layer(*arguments)
            pytest.fail(f"{what} are taken")


@every_case_of_a_list
def test_a_built_layer_takes_no_dict_in_place_of_its_list(case):
    layer = built(case)
    inputs, *others = random_arguments(case)
    named = {str(m): x for m, x in enumerate(inputs)}
    with pytest.raises(ValueError, match="that it was built for"):
        layer(named, *others)


@pytest.mark.parametrize("name", layers.__all__)
def test_docstring_example_runs(name):
    assert run_example(getattr(layers, name), name)
