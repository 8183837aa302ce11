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

from applications.multimodal_classification import hub_presets
from applications.multimodal_classification import image_encoders
from applications.multimodal_classification import text_encoders
from applications.multimodal_classification.config import Config

# Where the encoder of a kind of input is made.
MODULES = {"images": image_encoders, "texts": text_encoders}
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
    That the encoders are frozen is said here, as a preset forgets it when the
    model is loaded.
    """

    def __init__(
        self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(inputs, outputs, name=name, **kwargs)
        for layer in self.layers:
            if layer.name != CLASSIFIER:
                hub_presets.freeze(layer)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(inputs, dict) and any(map(_is_features, inputs)):
            part, given = classifier(self), behind(inputs)
            given = {name: given[name] for name in part.input}
            return part(given, *args, **kwargs)
        return super().__call__(inputs, *args, **kwargs)


def with_encoders(
    classifier: keras.Model, encoders: dict[str, keras.Model], config: Config
) -> keras.Model:
    """The model from pictures and texts on, for one from features on.

    The encoders are under their kinds of inputs.
    """
    inputs, encoded = {}, {}
    for name, tensor in classifier.input.items():
        if name in modalities(config):
            encoder = encoders[config.kind(name)]
            start = encoder.input
            inputs[name] = keras.Input(
                start.shape[1:], dtype=start.dtype, name=name
            )
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
    return tuple(
        n for kind in config.frozen_kinds for n in getattr(config, kind)
    )


def features(
    inputs: dict[str, np.ndarray], config: Config, required: bool
) -> dict[str, np.ndarray]:
    """What frozen encoders make of a split, under the features' names.

    None of pictures if the file of their encoder's weights is no longer there
    and need not be: the model has them too.
    """
    found = {}
    for kind in config.frozen_kinds:
        file = config.image_weights if kind == "images" else None
        if required or file is None or Path(file).is_file():
            encoder = MODULES[kind].make(config)
            for name in getattr(config, kind):
                found[name + FEATURES] = encoder.predict(
                    inputs[name], batch_size=BATCH, verbose=0
                )
    return found


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
        if not kept:
            check(model, inputs, config)
        wanted = [n for n in names if n + FEATURES not in inputs]
        inputs = inputs | _own(model, inputs, wanted, config)
        kept.append(({n: inputs[n] for n in inputs if n not in names}, targets))
    return kept


def _own(
    model: keras.Model,
    inputs: dict[str, Any],
    names: Iterable[str],
    config: Config,
) -> dict[str, Any]:
    """What the encoders in the model make of some inputs of a batch."""
    found = {}
    for name in names:
        encoder = model.get_layer(MODULES[config.kind(name)].LAYER)
        found[name + FEATURES] = encoder(inputs[name], training=False)
    return found


def check(model: keras.Model, inputs: dict[str, Any], config: Config) -> None:
    """Raises ValueError if a batch's features are not the model's."""
    names = [n for n in modalities(config) if n + FEATURES in inputs]
    for name, own in _own(model, inputs, names, config).items():
        own = keras.ops.convert_to_numpy(keras.ops.cast(own, "float32"))
        gap = np.abs(own - np.asarray(inputs[name])).max(initial=0)
        if not gap <= TOLERANCE * np.abs(own).max(initial=1e-6):
            encoder = MODULES[config.kind(modality_of(name))]
            raise ValueError(
                f"the weights of {encoder.source(config)} are not those that "
                "the run started with; put them back, or train a new run"
            )


class CheckFeatures(keras.callbacks.Callback):
    """Holds a training that goes on to the encoder it began with."""

    def __init__(self, batch: Any, config: Config) -> None:
        super().__init__()
        self.batch = batch
        self.config = config

    def on_train_begin(self, logs: Any = None) -> None:
        check(self.model, self.batch[0], self.config)
