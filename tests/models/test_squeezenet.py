import h5py
import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.models import squeezenet

SQUEEZE = (16, 16, 32, 32, 48, 48, 64, 64)


def published_shapes():
    """Names and kernels as the paper's table and the published file have."""
    shapes, channels = {"conv1": (3, 3, 3, 64)}, 64
    for number, squeeze in enumerate(SQUEEZE, start=2):
        expand = 4 * squeeze
        shapes |= {
            f"fire{number}/squeeze1x1": (1, 1, channels, squeeze),
            f"fire{number}/expand1x1": (1, 1, squeeze, expand),
            f"fire{number}/expand3x3": (3, 3, squeeze, expand),
        }
        channels = 2 * expand
    return shapes


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(3)
    return {
        name: (
            rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[:3])),
            rng.uniform(-0.1, 0.1, shape[-1]),
        )
        for name, shape in published_shapes().items()
    }


def write(path, arrays):
    """A file as Keras 2 wrote it, layers without weights among the others."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"2.0.0"
        file.attrs["backend"] = b"tensorflow"
        names = ["input_4"]
        for name in arrays:
            names += [name, f"{name}/relu"]
        file.attrs["layer_names"] = [name.encode() for name in names]
        for name in names:
            file.create_group(name).attrs["weight_names"] = np.array([])
        for name, pair in arrays.items():
            weights = [f"{name}_3/{kind}:0" for kind in ("kernel", "bias")]
            group = file[name]
            group.attrs["weight_names"] = [w.encode() for w in weights]
            for weight, value in zip(weights, pair, strict=True):
                group[weight] = value.astype("float32")
    return path


def test_a_published_file_is_loaded_by_the_names_of_its_layers(
    arrays, tmp_path
):
    model = squeezenet((64, 64, 3))
    assert model.count_params() == 722_496
    model.load_weights(write(tmp_path / "notop.h5", arrays))
    assert sum(bool(layer.weights) for layer in model.layers) == len(arrays)
    for name, pair in arrays.items():
        layer = model.get_layer(name.replace("/", "_"))
        for weight, value in zip(layer.weights, pair, strict=True):
            np.testing.assert_allclose(weight, value, rtol=1e-6)


def test_the_features_are_those_of_the_network_written_as_one_chain(
    arrays, tmp_path, rng
):
    model = squeezenet()
    model.load_weights(write(tmp_path / "notop.h5", arrays))
    image = rng.uniform(-120, 150, (2, 47, 60, 3)).astype("float32")

    def relu(x, name, padding="valid", strides=1):
        kernel, bias = (value.astype("float32") for value in arrays[name])
        x = ops.conv(x, kernel, strides, padding, "channels_last")
        return np.maximum(ops.convert_to_numpy(x) + bias, 0)

    def pooled(x):
        # Windows of 3 by 3 at every second place, as far as they fit.
        height, width = ((size - 3) // 2 * 2 + 1 for size in x.shape[1:3])
        parts = [
            x[:, i : i + height : 2, j : j + width : 2]
            for i in range(3)
            for j in range(3)
        ]
        return np.max(parts, axis=0)

    x = pooled(relu(image, "conv1", strides=2))
    for number in range(2, 10):
        squeezed = relu(x, f"fire{number}/squeeze1x1")
        parts = [
            relu(squeezed, f"fire{number}/expand1x1"),
            relu(squeezed, f"fire{number}/expand3x3", "same"),
        ]
        x = np.concatenate(parts, axis=-1)
        if number in (3, 5):
            x = pooled(x)
    found = model({"image": image})["features"]
    np.testing.assert_allclose(found, x, atol=1e-4 * np.abs(x).max())


def test_own_weights_are_read_again(tmp_path):
    first, second = squeezenet((31, 31, 3)), squeezenet((31, 31, 3))
    first.save_weights(tmp_path / "own.weights.h5")
    second.load_weights(tmp_path / "own.weights.h5")
    for old, new in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("lacks", ["fire9/expand3x3", "conv1"])
def test_a_file_without_a_convolution_is_refused(arrays, tmp_path, lacks):
    part = {name: pair for name, pair in arrays.items() if name != lacks}
    with pytest.raises(ValueError, match="25 layers, found 24"):
        squeezenet().load_weights(write(tmp_path / "part.h5", part))


def test_small_images_are_refused():
    assert squeezenet((31, 31, 3)).output["features"].shape[1:3] == (1, 1)
    with pytest.raises(ValueError, match="31 pixels a side or more"):
        squeezenet((30, 64, 3))


def test_it_is_saved_and_loaded(tmp_path, rng):
    model = squeezenet((40, 40, 3))
    model.save(tmp_path / "model.keras")
    image = {"image": rng.normal(size=(1, 40, 40, 3)).astype("float32")}
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded(image)["features"], model(image)["features"], rtol=1e-5
    )
