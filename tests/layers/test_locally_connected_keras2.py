"""Parity with the layers of Keras 2, acceptance cases 3 to 6."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import LocallyConnected1D
from keras_fusion.layers import LocallyConnected2D

tf_keras = pytest.importorskip("tf_keras")

LAYERS = {
    1: (LocallyConnected1D, tf_keras.layers.LocallyConnected1D, (9,)),
    2: (LocallyConnected2D, tf_keras.layers.LocallyConnected2D, (7, 6)),
}


def draw(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def old_layer(kind, shape, rng, **arguments):
    """A layer of Keras 2 with random weights, a random bias included."""
    layer = kind(**arguments)
    layer.build((None, *shape))
    layer.set_weights([draw(rng, *w.shape) for w in layer.get_weights()])
    return layer


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("implementation", [1, 2, 3])
@pytest.mark.parametrize("rank", [1, 2])
def test_weights_of_each_implementation_give_its_outputs(
    rng, rank, implementation, data_format
):
    """Cases 3 and 4."""
    ours, theirs, sizes = LAYERS[rank]
    shape = (*sizes, 2) if data_format == "channels_last" else (2, *sizes)
    arguments = {
        "filters": 3,
        "kernel_size": 3,
        "strides": 2,
        "data_format": data_format,
        "activation": "tanh",
        "implementation": implementation,
    }
    old = old_layer(theirs, shape, rng, **arguments)
    new = ours(**arguments)
    new.build((None, *shape))
    if implementation == 1:
        new.set_weights(old.get_weights())
    else:
        new.load_keras2_weights(old.get_weights())
    x = draw(rng, 4, *shape)
    np.testing.assert_allclose(new(x), old(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("implementation", [2, 3])
@pytest.mark.parametrize("sizes", [(8, 3, 2), (8, 4, 1), (9, 5, 3)])
def test_legacy_same_places_windows_as_keras_2(rng, sizes, implementation):
    """Case 5; the default stays with convolutions."""
    size, kernel_size, strides = sizes
    arguments = {
        "filters": 3,
        "kernel_size": kernel_size,
        "strides": strides,
        "padding": "same",
        "implementation": implementation,
    }
    old = old_layer(
        tf_keras.layers.LocallyConnected2D, (size, size, 2), rng, **arguments
    )
    x = draw(rng, 4, size, size, 2)
    expected = old(x).numpy()
    for legacy_same in (True, False):
        new = LocallyConnected2D(legacy_same=legacy_same, **arguments)
        if legacy_same:
            new.build(x.shape)
        else:
            with pytest.warns(UserWarning, match="`legacy_same=True`"):
                new.build(x.shape)
        new.load_keras2_weights(old.get_weights())
        close = np.allclose(ops.convert_to_numpy(new(x)), expected, atol=1e-5)
        assert close == legacy_same


# Keras's own loader passes that of the first layer on to it.
@pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`")
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_old_h5_model_loads_as_it_is(rng, tmp_path, data_format):
    """Case 6."""
    layer = tf_keras.layers.LocallyConnected2D(
        3,
        (2, 3),
        strides=(1, 2),
        data_format=data_format,
        activation="relu",
        bias_initializer="random_normal",
        kernel_regularizer=tf_keras.regularizers.L2(0.01),
        input_shape=(5, 6, 4),
    )
    old = tf_keras.Sequential(
        [layer, tf_keras.layers.Flatten(), tf_keras.layers.Dense(2)]
    )
    path = tmp_path / "old.h5"
    with pytest.warns(UserWarning, match="HDF5"):
        old.save(path)
    new = keras.models.load_model(
        path,
        custom_objects={"LocallyConnected2D": LocallyConnected2D},
        compile=False,
    )
    x = draw(rng, 4, 5, 6, 4)
    expected = old(x).numpy()
    np.testing.assert_allclose(new(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("implementation", [2, 3])
def test_an_old_config_of_other_weights_says_how_to_load_them(implementation):
    old = tf_keras.layers.LocallyConnected1D(
        3, 2, implementation=implementation
    )
    config = old.get_config()
    with pytest.warns(UserWarning, match="`load_keras2_weights`"):
        layer = LocallyConnected1D.from_config(config)
    # Its own config is no old one.
    again = LocallyConnected1D.from_config(layer.get_config())
    assert again.implementation == implementation


def test_arguments_stand_in_the_order_of_keras_2():
    """Positional calls of old code mean the same."""
    arguments = [
        4,
        3,
        2,
        "valid",
        "channels_last",
        "relu",
        False,
        "he_normal",
        "ones",
        None,
        None,
        None,
        None,
        None,
        2,
    ]
    for ours, theirs, _ in LAYERS.values():
        new = ours(*arguments).get_config()
        old = theirs(*arguments).get_config()
        simple = [
            name
            for name, value in old.items()
            if name in new and isinstance(value, int | str | tuple)
        ]
        simple = set(simple) - {"name", "dtype"}
        assert len(simple) >= 8
        assert {n: new[n] for n in simple} == {n: old[n] for n in simple}


def test_legacy_placement_is_the_old_one_for_all_small_sizes():
    """Case 5, without weights: where the windows of Keras 2 are."""
    for size, kernel_size, strides in itertools.product(
        range(1, 9), range(1, 6), range(1, 5)
    ):
        layer = LocallyConnected1D(
            1, kernel_size, strides, "same", "channels_last", legacy_same=True
        )
        layer.build((None, size, 1))
        layer.kernel.assign(np.ones(layer.kernel.shape))
        held = layer.to_dense()[0].T != 0
        for position, row in enumerate(held):
            start = position * strides - kernel_size // 2
            window = range(max(0, start), min(size, start + kernel_size))
            assert set(np.flatnonzero(row)) == set(window)
        assert len(held) == -(-size // strides)
