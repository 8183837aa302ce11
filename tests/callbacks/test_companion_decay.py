import keras
import numpy as np
import pytest

from keras_fusion.callbacks import CompanionDecay
from keras_fusion.models import lenet


def compiled(head):
    model = lenet(4, (8, 8, 1), head=head, padding=("same", "same"))
    model.compile(
        "sgd",
        {
            name: keras.losses.SparseCategoricalCrossentropy(True)
            for name in model.output
        },
    )
    return model


def fit(model, **kwargs):
    inputs = {"image": np.ones((4, 8, 8, 1), "float32")}
    targets = dict.fromkeys(model.output, np.arange(4))
    return model.fit(inputs, targets, verbose=0, **kwargs).history


def test_the_factor_falls_on_a_line_and_stays_at_zero():
    history = fit(compiled("dsn"), epochs=5, callbacks=[CompanionDecay(4)])
    assert history["companion_factor"] == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_all_at_once_it_stays_whole_and_then_goes():
    model, decay = compiled("dsn"), CompanionDecay(2, at_once=True)
    history = fit(model, epochs=4, callbacks=[decay])
    assert history["companion_factor"] == [1.0, 1.0, 0.0, 0.0]


def test_a_resumed_training_goes_on_from_its_epoch():
    model = compiled("dsn")
    history = fit(
        model, initial_epoch=3, epochs=4, callbacks=[CompanionDecay(4)]
    )
    assert history["companion_factor"] == [0.25]


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs TensorFlow"
)
def test_all_replicas_get_the_factor(two_replicas):
    with two_replicas.scope():
        model = compiled("dsn")
    fit(model, epochs=2, callbacks=[CompanionDecay(2)])
    values = two_replicas.experimental_local_results(
        model.companion_factor.value
    )
    assert [float(value) for value in values] == [0.5, 0.5]


def test_a_model_without_companions_is_refused():
    with pytest.raises(ValueError, match="must be a DeeplySupervised"):
        fit(compiled("last"), callbacks=[CompanionDecay(2)])
