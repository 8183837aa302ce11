"""An encoder that starts from weights for ImageNet."""

import keras

from applications.inputs.image import IMAGENET_DEVIATION
from applications.semantic_segmentation.config import Config
from keras_fusion import models

RESNETS = {
    (3, 4, 6, 3): "ResNet50",
    (3, 4, 23, 3): "ResNet101",
    (3, 8, 36, 3): "ResNet152",
}


def start(model: keras.Model, config: Config) -> None:
    """Loads the encoder that has the model's layout."""
    if config.blocks not in RESNETS:
        raise ValueError(
            "ImageNet weights exist for --blocks "
            f"{', or '.join(' '.join(map(str, b)) for b in RESNETS)}; "
            f"received {' '.join(map(str, config.blocks))}"
        )
    if config.stride_on == "1x1":
        start_from_keras(keras_resnet(config), model)
    else:
        # They want images as this task standardizes them.
        try:
            models.load_imagenet_encoder(model, encoder_file(config))
        except ImportError as error:
            raise ValueError(str(error)) from error


def encoder_file(config: Config) -> str:
    """The file of torchvision's arrays."""
    if config.encoder_weights is None:
        raise ValueError(
            "ImageNet weights for --stride-on 3x3 are torchvision's: give a "
            "file of them with --encoder-weights (docs/tasks.md says which "
            "kinds there are), or take those of keras.applications with "
            "--stride-on 1x1 --epsilon 1.001e-5"
        )
    return config.encoder_weights


def start_from_keras(source: keras.Model, model: keras.Model) -> None:
    """Loads an encoder whose images come as this task standardizes them.

    The source wants blue, green, red, from 0 to 255 less their means; here
    come red, green, blue, less their means and over their deviations.
    """
    models.load_imagenet_encoder(model, source)
    stem = model.get_layer("stem_conv")
    deviation = 255 * IMAGENET_DEVIATION.reshape(3, 1)
    stem.kernel.assign(stem.kernel[:, :, ::-1] * deviation)


def keras_resnet(config: Config) -> keras.Model:
    """The ResNet of `keras.applications` with as many blocks, downloaded."""
    builder = getattr(keras.applications, RESNETS[config.blocks])
    try:
        return builder(include_top=False, weights="imagenet")
    except Exception as error:
        raise ValueError(
            f"the ImageNet weights cannot be downloaded ({error}); put them "
            "into the folder that keras.applications uses, or train with "
            "--pretrained nothing"
        ) from error
