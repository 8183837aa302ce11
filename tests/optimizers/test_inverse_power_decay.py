import keras
import numpy as np
import pytest

from keras_fusion.optimizers import InversePowerDecay
from keras_fusion.optimizers import MultiRateSGD
from tests.docstrings import run_example


def test_half_the_rate_is_where_logarithms_say():
    rate = InversePowerDecay(0.4, decay=0.01, power=2.0)
    half = 100 * (np.exp(np.log(2) / 2) - 1)
    np.testing.assert_allclose(rate(half), 0.2, rtol=1e-5)
    np.testing.assert_allclose(rate(0), 0.4, rtol=1e-6)
    assert float(InversePowerDecay(0.4, decay=0.0)(1000)) == np.float32(0.4)


def test_a_saved_optimizer_goes_on_with_it():
    optimizer = MultiRateSGD(0.1, multipliers={"a": InversePowerDecay(0.3)})
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(copy.multipliers["a"]) is InversePowerDecay
    assert copy.get_config() == optimizer.get_config()


def test_a_rate_that_would_grow_is_refused():
    for arguments in ({"decay": -1e-4}, {"power": -1.0}):
        with pytest.raises(ValueError, match="or the rate grows"):
            InversePowerDecay(0.1, **arguments)


def test_docstring_example_runs():
    assert run_example(InversePowerDecay, "InversePowerDecay")
