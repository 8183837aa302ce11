import keras
import numpy as np
import pytest

from keras_fusion.callbacks import FusionMonitor
from keras_fusion.callbacks import exchanged_shares
from keras_fusion.layers import ChannelExchange
from keras_fusion.layers import LearnedEnsemble

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="writes with TensorFlow"
)

# Of 4 channels the first 2 are penalized for rgb, the last 2 for depth.
SHALLOW = [[0.01, 0.5, 0.0, 0.0], [0.0, 0.0, 0.02, -0.03]]
DEEP = [[-0.019, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, -0.5]]
X = np.zeros((2, 4), "float32")


def network(l1=0.0, threshold=0.02):
    inputs = [keras.Input((4,)) for _ in range(2)]
    x = inputs
    for name, gamma, penalty in (
        ("shallow", SHALLOW, 0.0),
        ("deep", DEEP, l1),
    ):
        layer = ChannelExchange(threshold, l1=penalty, name=name)
        x = layer(x)
        layer.gamma.assign(gamma)
    ensemble = LearnedEnsemble(stop_gradient=False, name="ensemble")
    model = keras.Model(inputs, ensemble(x))
    ensemble.alpha.assign([np.log(3.0), 0.0])
    # Weights stay where they are set.
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


def history_of(model, **kwargs):
    monitor = FusionMonitor(["rgb", "depth"], **kwargs)
    history = model.fit(
        [X, X], X, epochs=2, callbacks=[monitor], verbose=0
    ).history
    return {name: values for name, values in history.items() if name != "loss"}


def test_logs_hold_the_shares_of_all_layers_and_the_weights():
    history = history_of(network())
    assert history == {
        "exchanged_share_rgb": [3 / 4] * 2,
        "exchanged_share_depth": [1 / 4] * 2,
        "ensemble_weight_rgb": pytest.approx([0.75] * 2),
        "ensemble_weight_depth": pytest.approx([0.25] * 2),
    }


def test_layers_with_a_penalty_are_counted_alone():
    history = history_of(network(l1=0.1))
    assert history["exchanged_share_rgb"] == [1, 1]
    assert history["exchanged_share_depth"] == [0.5, 0.5]


def test_without_exchange_there_is_no_share():
    names = set(history_of(network(threshold=0)))
    assert names == {"ensemble_weight_rgb", "ensemble_weight_depth"}


def test_layers_of_nested_models_are_seen():
    inputs = [keras.Input((4,)) for _ in range(2)]
    model = keras.Model(inputs, network()(inputs))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    assert history_of(model)["exchanged_share_rgb"] == [3 / 4] * 2


@pytest.mark.parametrize("names", [[], ["rgb"], ["rgb", "depth", "sound"]])
@pytest.mark.parametrize("threshold", [0, 0.02])
def test_wrong_number_of_names_is_refused_before_training(names, threshold):
    model = network(threshold=threshold)
    steps = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda *_: pytest.fail("has trained")
    )
    with pytest.raises(ValueError, match="must name what every .* fuses 2"):
        callbacks = [FusionMonitor(names), steps]
        model.fit([X, X], X, callbacks=callbacks, verbose=0)


def of_two_and_three():
    inputs = [keras.Input((4,)) for _ in range(3)]
    first, second = ChannelExchange(name="pair")(inputs[:2])
    third = ChannelExchange(name="trio")([first, second, inputs[2]])
    model = keras.Model(inputs, keras.layers.Add()(third))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_exchanges_of_different_modalities_explain_themselves(names):
    model = of_two_and_three()
    with pytest.raises(ValueError, match="must name what every layer fuses"):
        model.fit([X] * 3, X, callbacks=[FusionMonitor(names)], verbose=0)
    with pytest.raises(ValueError, match="'pair': 2, 'trio': 3"):
        exchanged_shares(model)


def test_layers_that_are_built_by_the_first_batch_are_seen():
    class Late(keras.Model):
        def __init__(self):
            super().__init__()
            self.exchange = ChannelExchange()

        def call(self, inputs):
            return sum(self.exchange(inputs))

    model = Late()
    model.compile(keras.optimizers.SGD(0.0), "mse")
    assert history_of(model)["exchanged_share_rgb"] == [0, 0]


@tensorflow_only
def test_event_file_holds_each_layer_and_modality(tmp_path, read_events):
    history_of(network(), log_dir=tmp_path)
    scalars, histograms = read_events(tmp_path)
    assert scalars["fusion/exchanged_share_rgb"] == [3 / 4] * 2
    assert scalars["fusion/ensemble_weight_depth"] == pytest.approx([0.25] * 2)
    assert scalars["exchange/shallow/rgb"] == [0.5] * 2
    assert scalars["exchange/shallow/depth"] == [0] * 2
    assert scalars["exchange/deep/rgb"] == [1] * 2
    assert scalars["exchange/deep/depth"] == [0.5] * 2
    assert scalars["threshold/deep"] == pytest.approx([0.02] * 2)
    assert set(histograms) == {
        f"gamma/{layer}/{modality}"
        for layer in ("shallow", "deep")
        for modality in ("rgb", "depth")
    }
    # Rows of (left, right, count) over |gamma|.
    buckets = np.array(histograms["gamma/deep/rgb"][-1])
    assert buckets[:, 2].sum() == 4
    assert buckets[0, 0] == 0 and buckets[-1, 1] == 1


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    history_of(network())
    assert not list(tmp_path.iterdir())
