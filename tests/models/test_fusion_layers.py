import keras
import numpy as np
import pytest

from keras_fusion.layers import Refiner
from keras_fusion.models import FUSION_LAYERS
from tests.docstrings import run_example

every_fusion = pytest.mark.parametrize("name", FUSION_LAYERS)


def vectors(rng, widths, batch=3):
    return [rng.normal(size=(batch, w)).astype("float32") for w in widths]


@every_fusion
@pytest.mark.parametrize("widths", [[6, 4], [5, 3, 4], [3, 4, 5, 6, 7]])
def test_every_modality_changes_the_fused_vector(rng, name, widths):
    fusion = FUSION_LAYERS[name].make(widths, 8)
    x = vectors(rng, widths)
    fused = np.asarray(fusion(x))
    assert fused.shape == (3, 8)
    for place, other in enumerate(vectors(rng, widths)):
        changed = [other if i == place else v for i, v in enumerate(x)]
        assert np.abs(np.asarray(fusion(changed)) - fused).max() > 1e-4


@every_fusion
def test_a_refiner_around_a_fusion_is_saved_with_it(rng, name, tmp_path):
    inputs = [keras.Input((6,)), keras.Input((4,))]
    refiner = Refiner(FUSION_LAYERS[name].make([6, 4], 8))
    model = keras.Model(inputs, refiner(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = vectors(rng, [6, 4])
    np.testing.assert_allclose(loaded(x), model(x), rtol=1e-6, atol=1e-6)
    assert len(refiner.trainable_weights) >= 4


def test_a_record_describes_itself():
    record = FUSION_LAYERS["gated"]
    assert record.name == "gated" and record.description
    assert run_example(type(record), "FusionLayer")
