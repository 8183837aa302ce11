"""Encoders that do not learn: what they make of the data is computed once.

The model holds them, so that it takes pictures wherever it is used. A batch
may have, beside a modality or in its place, its features under a name of
their own; the model then leaves the encoder out.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from applications.multimodal_classification import image_encoders
from applications.multimodal_classification.config import Config

CLASSIFIER = "classifier"
# Behind the name of a modality.
FEATURES = ":features"
BATCH = 64
# Of the largest feature; half precision stays within it.
TOLERANCE = 0.02


@keras.saving.register_keras_serializable(package="multimodal_classification")
class EncodedModel(keras.Model):
    """Frozen encoders, and behind them a model with the name CLASSIFIER.

    It is functional. A batch that has features goes to the classifier alone.
    """

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(inputs, dict) and any(map(_is_features, inputs)):
            part, given = classifier(self), behind(inputs)
            given = {name: given[name] for name in part.input}
            return part(given, *args, **kwargs)
        return super().__call__(inputs, *args, **kwargs)


def with_encoder(
    classifier: keras.Model, encoder: keras.Model, config: Config
) -> keras.Model:
    """The model from pictures on, for one from features on."""
    inputs, encoded = {}, {}
    for name, tensor in classifier.input.items():
        if name in modalities(config):
            shape = encoder.input.shape[1:]
            inputs[name] = keras.Input(shape, name=name)
            encoded[name] = encoder(inputs[name])
        else:
            inputs[name] = encoded[name] = keras.Input(
                tensor.shape[1:], dtype=tensor.dtype, name=name
            )
    return EncodedModel(inputs, classifier(encoded), name="encoded_model")


def classifier(model: keras.Model) -> keras.Model:
    """The part of a model behind frozen encoders; all of it without them."""
    if isinstance(model, EncodedModel):
        return model.get_layer(CLASSIFIER)
    return model


def behind(inputs: dict[str, Any]) -> dict[str, Any]:
    """Inputs of which features stand in for what they were made of."""
    return inputs | {
        modality_of(n): x for n, x in inputs.items() if _is_features(n)
    }


def modalities(config: Config) -> tuple[str, ...]:
    """Those whose encoder is frozen."""
    return config.images if config.frozen_images else ()


def features(
    inputs: dict[str, np.ndarray], config: Config, required: bool
) -> dict[str, np.ndarray]:
    """What frozen encoders make of a split, under the features' names.

    Empty if the file of their weights is no longer there and need not be:
    the model has them too.
    """
    names, file = modalities(config), config.image_weights
    if not names or not (required or file is None or Path(file).is_file()):
        return {}
    encoder = image_encoders.make(config)
    return {
        name + FEATURES: encoder.predict(
            inputs[name], batch_size=BATCH, verbose=0
        )
        for name in names
    }


def _is_features(name: str) -> bool:
    return name.endswith(FEATURES)


def modality_of(name: str) -> str:
    """Of an input or of its features."""
    return name.removesuffix(FEATURES)


def encoded(
    model: keras.Model, batches: Iterable[tuple], config: Config
) -> Iterable[tuple]:
    """Batches to go through more than once, features in place of inputs.

    Features that come with them are those of the model, or a ValueError is
    raised; it computes what does not come with them.
    """
    names = modalities(config)
    if not names:
        return batches
    kept = []
    for inputs, targets in batches:
        if names[0] + FEATURES not in inputs:
            inputs = inputs | _own(model, inputs, names)
        elif not kept:
            check(model, inputs, config)
        kept.append(({n: inputs[n] for n in inputs if n not in names}, targets))
    return kept


def _own(
    model: keras.Model, inputs: dict[str, Any], names: tuple[str, ...]
) -> dict[str, Any]:
    """What the encoder in the model makes of a batch."""
    encoder = model.get_layer(image_encoders.LAYER)
    return {n + FEATURES: encoder(inputs[n], training=False) for n in names}


def check(model: keras.Model, inputs: dict[str, Any], config: Config) -> None:
    """Raises ValueError if a batch's features are not the model's."""
    names = modalities(config)
    if not names:
        return
    for name, own in _own(model, inputs, names).items():
        if name in inputs:
            own = keras.ops.convert_to_numpy(keras.ops.cast(own, "float32"))
            gap = np.abs(own - np.asarray(inputs[name])).max(initial=0)
            if not gap <= TOLERANCE * np.abs(own).max(initial=1e-6):
                raise ValueError(
                    f"the weights of {config.image_encoder} in "
                    f"{config.image_weights or config.image_encoder!r} are "
                    "not those that the run started with; put them back, or "
                    "train a new run"
                )


class CheckFeatures(keras.callbacks.Callback):
    """Holds a training that goes on to the encoder it began with."""

    def __init__(self, batch: Any, config: Config) -> None:
        super().__init__()
        self.batch = batch
        self.config = config

    def on_train_begin(self, logs: Any = None) -> None:
        check(self.model, self.batch[0], self.config)
