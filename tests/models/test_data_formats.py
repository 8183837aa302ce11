"""Every builder, with channels first and with channels last."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion import models

# No two sizes are equal, so that an axis taken for another shows.
HEIGHT, WIDTH = 40, 56
FORMATS = ("channels_last", "channels_first")


def resized(shape):
    """Sizes of an image with channels last, in the format of Keras."""
    first = keras.config.image_data_format() == "channels_first"
    return (shape[-1], *shape[:-1]) if first else shape


def refinenet(fusion, decoder="refinenet"):
    return models.refinenet(
        num_classes=7,
        image_shape=resized((None, None, 3)),
        fusion=fusion,
        threshold=0.5,
        blocks=(1, 1),
        fusion_stages=(1, 2),
        width=4,
        decoder=decoder,
        decoder_width=6,
        units_in=1,
        units_out=1,
        pools=1,
    )


def convolutional_fusion_network(head):
    return models.convolutional_fusion_network(
        num_classes=7,
        image_shape=resized((HEIGHT, WIDTH, 3)),
        head=head,
        filters=((4,), (5,), (6,)),
        width=8,
        normalize=True,
    )


def lenet(head):
    return models.lenet(
        num_classes=7, image_shape=resized((HEIGHT, WIDTH, 3)), head=head
    )


def network_in_network():
    return models.network_in_network(
        num_classes=7,
        image_shape=resized((HEIGHT, WIDTH, 3)),
        filters=((4, 5), (6, 5), (4, 6)),
        deeply_supervised=True,
    )


def squeeze_excite_resnet():
    return models.squeeze_excite_resnet(
        num_classes=7,
        image_shape=resized((HEIGHT, WIDTH, 3)),
        blocks=(1, 1),
        width=4,
        stem="small",
    )


def squeeze_excite_inception():
    return models.squeeze_excite_inception(
        num_classes=7,
        image_shape=resized((HEIGHT, WIDTH, 3)),
        scale=1 / 32,
        stem="small",
    )


def unet_generator(fusion):
    return models.unet_generator(
        image_shape=resized((HEIGHT, WIDTH, 3)),
        target_channels=2,
        fusion=fusion,
        threshold=0.5,
        width=4,
        depth=3,
    )


def patch_discriminator():
    return models.patch_discriminator(
        image_shape=resized((HEIGHT, WIDTH, 3)),
        target_channels=3,
        width=4,
        unused_norms=True,
    )


MAKE = {
    "patch_discriminator": patch_discriminator,
    "network_in_network": network_in_network,
    "squeeze_excite_resnet": squeeze_excite_resnet,
    "squeeze_excite_inception": squeeze_excite_inception,
    **{
        f"refinenet {fusion}": lambda fusion=fusion: refinenet(fusion)
        for fusion in models.BRANCH_FUSIONS
    },
    **{
        f"unet_generator {fusion}": lambda fusion=fusion: unet_generator(fusion)
        for fusion in models.BRANCH_FUSIONS
    },
    **{
        f"convolutional_fusion_network {head}": lambda head=head: (
            convolutional_fusion_network(head)
        )
        for head in models.CLASSIFICATION_HEADS
    },
    "lenet": lambda: lenet("locally_connected"),
    "lenet dag": lambda: lenet("dag"),
}
every_model = pytest.mark.parametrize("name", MAKE)


def made(make, data_format):
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(data_format)
    try:
        return make()
    finally:
        keras.config.set_image_data_format(before)


def both(name, rng):
    """The model in both formats, with the same weights, which all matter."""
    last, first = (made(MAKE[name], data_format) for data_format in FORMATS)
    for weight in last.weights:
        values = ops.convert_to_numpy(weight)
        if weight.dtype == "float32" and values.ndim:
            scale = rng.uniform(0.5, 1.5, size=values.shape)
            weight.assign(values * scale + 0.01)
    for one, other in zip(last.weights, first.weights, strict=True):
        assert (one.path, one.shape) == (other.path, other.shape)
    first.set_weights(last.get_weights())
    return last, first


def channels_last(x):
    return np.moveaxis(x, 1, -1) if x.ndim == 4 else x


@every_model
def test_formats_agree(name, rng, request):
    last, first = both(name, rng)
    request.getfixturevalue("channels_first")
    images = {
        key: rng.normal(size=(2, HEIGHT, WIDTH, 3)).astype("float32")
        for key in last.input
    }
    expected = last(images)
    received = first({k: np.moveaxis(x, -1, 1) for k, x in images.items()})
    for output, values in expected.items():
        values = ops.convert_to_numpy(values)
        assert np.ptp(values) > 1e-3
        np.testing.assert_allclose(
            channels_last(ops.convert_to_numpy(received[output])),
            values,
            rtol=1e-3,
            atol=1e-4 * np.abs(values).max(),
            err_msg=output,
        )


def test_decoder_with_weights_for_the_last_axis_explains_itself():
    with pytest.raises(ValueError, match='must be "channels_last"'):
        made(lambda: refinenet("none", "branches"), "channels_first")


@pytest.mark.parametrize("fusion", models.TEXT_FUSIONS)
def test_agent_has_one_format_whatever_that_of_keras(fusion, rng):
    def make():
        return models.instruction_agent(
            picture_shape=(24, 32, 3),
            filters=(4, 5),
            kernel_sizes=(4, 4),
            strides=(2, 2),
            fusion=fusion,
            coordinates=True,
            goal=True,
        )

    last, first = (made(make, data_format) for data_format in FORMATS)
    first.set_weights(last.get_weights())
    inputs = {
        "picture": rng.normal(size=(2, 24, 32, 3)).astype("float32"),
        "text": np.array([[1, 2, 3, 0], [4, 5, 0, 0]]),
        "previous_direction": np.array([5, 1]),
        "previous_block": np.array([20, 3]),
    }
    expected, received = last(inputs), first(inputs)
    for output, values in expected.items():
        np.testing.assert_allclose(received[output], values, rtol=1e-5)
