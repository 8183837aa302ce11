import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import pytest


def pytest_configure():
    if keras.backend.backend() == "torch":
        import torch

        # NumPy compares numbers, whether or not they have a gradient.
        to_numpy = torch.Tensor.__array__
        torch.Tensor.__array__ = lambda x, *args, **kwargs: to_numpy(
            x.detach(), *args, **kwargs
        )
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Two logical devices let one process test a mirrored strategy; they
        # have to exist before TensorFlow uses the first.
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def two_replicas():
    from keras_fusion import distribution

    # The one that applications get too: a second one in the same process
    # would answer to the first one's collective operations.
    return distribution.get_strategy("mirrored", devices=2)


@pytest.fixture(scope="session")
def channels_first():
    """Skips where convolutions have no such format.

    TensorFlow has it on CPUs with oneDNN alone, which it uses by itself on
    some processors.
    """
    layer = keras.layers.Conv2D(1, 1, data_format="channels_first")
    try:
        layer(np.zeros((1, 1, 2, 2), "float32"))
    except Exception as error:
        if type(error).__name__ != "UnimplementedError":
            raise
        pytest.skip("convolutions are channels last here")
