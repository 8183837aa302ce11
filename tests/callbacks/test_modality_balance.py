import keras
import numpy as np
import pytest

from keras_fusion.callbacks import ModalityBalance

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs TensorFlow"
)

RGB = np.float32([[1, 2], [3, -4]])
DEPTH = np.float32([[5, 0], [0, 1]])
TARGET = np.float32([[1], [-2]])


def network(rgb_weights, depth_weights):
    """A sum of two products; the dropout may act in training alone."""
    inputs = {name: keras.Input((2,), name=name) for name in ("rgb", "depth")}
    parts = [
        keras.layers.Dense(1, use_bias=False, name=f"{name}_part")
        for name in inputs
    ]
    total = keras.layers.Add()(
        [part(x) for part, x in zip(parts, inputs.values(), strict=True)]
    )
    output = keras.layers.Dropout(0.9, seed=0)(total)
    model = keras.Model(inputs, output)
    model.set_weights(
        [np.reshape(rgb_weights, (2, 1)), np.reshape(depth_weights, (2, 1))]
    )
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


def history_of(model, **kwargs):
    batch = {"rgb": RGB, "depth": DEPTH}, TARGET
    balance = ModalityBalance(batch, **kwargs)
    return model.fit(*batch, epochs=2, callbacks=[balance], verbose=0).history


def test_numbers_are_those_of_calculus(tmp_path, read_events):
    w, v = np.float32([0.5, -1]), np.float32([2, 3])
    history = history_of(network(w, v), log_dir=tmp_path)
    error = RGB @ w + DEPTH @ v - TARGET[:, 0]
    # d/dx of the mean over two samples of (w x + v z - t)^2.
    by_rgb, by_depth = np.outer(error, w), np.outer(error, v)
    expected = {
        "loss_with_all": np.mean(error**2),
        "loss_without_rgb": np.mean((error - RGB @ w) ** 2),
        "loss_without_depth": np.mean((error - DEPTH @ v) ** 2),
        "gradient_norm_rgb": np.linalg.norm(by_rgb),
        "gradient_norm_depth": np.linalg.norm(by_depth),
    }
    assert set(history) == {"loss", *expected}
    scalars, _ = read_events(tmp_path)
    for name, value in expected.items():
        assert history[name] == pytest.approx([value] * 2, rel=1e-5), name
        summary = scalars[f"balance/{name}"]
        assert summary == pytest.approx([value] * 2, rel=1e-5), name


def test_an_ignored_modality_shows():
    history = history_of(network([1, 2], [0, 0]))
    assert history["gradient_norm_depth"] == [0, 0]
    assert history["loss_without_depth"] == history["loss_with_all"]
    assert history["gradient_norm_rgb"][0] > 1
    assert history["loss_without_rgb"] != history["loss_with_all"]


def test_measuring_changes_nothing_in_training():
    runs = []
    for callbacks in (
        [],
        [ModalityBalance(({"rgb": RGB, "depth": DEPTH}, TARGET))],
    ):
        model = network([1, 2], [3, 4])
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
        model.fit(
            {"rgb": RGB, "depth": DEPTH},
            TARGET,
            epochs=3,
            shuffle=False,
            callbacks=callbacks,
            verbose=0,
        )
        runs.append(np.concatenate(model.get_weights()))
    np.testing.assert_array_equal(*runs)


def test_an_input_that_the_model_does_not_touch_has_norm_zero():
    rgb, depth = keras.Input((2,), name="rgb"), keras.Input((2,), name="depth")
    model = keras.Model(
        {"rgb": rgb, "depth": depth}, keras.layers.Dense(1)(rgb)
    )
    model.compile(keras.optimizers.SGD(0.0), "mse")
    assert history_of(model)["gradient_norm_depth"] == [0, 0]


def test_integers_have_a_loss_without_them_and_no_norm():
    words = keras.Input((3,), dtype="int32", name="words")
    rgb = keras.Input((2,), name="rgb")
    vectors = keras.layers.Embedding(5, 2)(words)
    total = keras.layers.Add()([keras.layers.Flatten()(vectors)[:, :2], rgb])
    model = keras.Model({"words": words, "rgb": rgb}, total)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    table = np.arange(10.0).reshape(5, 2)
    model.set_weights([table])
    batch = {"words": np.array([[1, 2, 3], [4, 0, 0]]), "rgb": RGB}, RGB
    balance = ModalityBalance(batch)
    history = model.fit(*batch, callbacks=[balance], verbose=0).history
    assert "gradient_norm_words" not in history
    assert history["gradient_norm_rgb"][0] > 0
    assert history["loss_with_all"] == [np.mean(table[[1, 4]] ** 2)]
    assert history["loss_without_words"] == [np.mean(table[0] ** 2)]


def test_a_batch_without_names_is_an_error():
    with pytest.raises(ValueError, match="a dict of inputs keyed by modality"):
        ModalityBalance(((RGB, DEPTH), TARGET))
