"""Networks that may know a language already, as encoders of texts.

They come from the folder of a KerasHub preset. Its tokenizer makes a text one
row of numbers; the rest of what the network is fed, where there is padding
and that all is one segment, follows from these in the model.
"""

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from applications.inputs import text as texts
from applications.multimodal_classification import hub_presets
from applications.multimodal_classification.config import WORD_ENCODERS
from applications.multimodal_classification.config import Config

LAYER = "text_encoder"
TOKENS, MASK, SEGMENTS = "token_ids", "padding_mask", "segment_ids"
# Texts that are made numbers at a time.
BATCH = 1024


@keras.saving.register_keras_serializable(package="multimodal_classification")
class TextsEncoder(keras.Model):
    """A functional model around a preset's network, of which a part is used.

    What would make another output of the tokens has nothing to learn from.
    """

    def __init__(
        self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(inputs, outputs, name=name, **kwargs)
        for network in self.layers:
            if isinstance(network, keras.Model):
                used = keras.Model(network.input, _sequence(network.output))
                for layer in network.layers:
                    if layer not in used.layers:
                        hub_presets.freeze(layer)


def is_preset(config: Config) -> bool:
    return config.text_encoder not in WORD_ENCODERS


def check(config: Config) -> None:
    """Raises ValueError if the texts' encoder cannot be made."""
    name = config.text_encoder
    if not is_preset(config):
        return
    if not hub_presets.is_folder(name):
        raise ValueError(
            f"text_encoder must be {', '.join(WORD_ENCODERS)}, or the folder "
            f"of a KerasHub preset; received {name!r}"
        )
    if not config.texts:
        raise ValueError(f"text_encoder is {name}, and the data have no texts")
    hub_presets.check(name, "text_encoder")


def source(config: Config) -> str:
    """Where the weights come from."""
    return f"the preset {config.text_encoder!r}"


def notes(config: Config) -> tuple[str, ...]:
    """What a run says of its encoder."""
    if not is_preset(config):
        return ()
    how = "trained too" if config.fine_tune else "frozen"
    return (f"texts' encoder {source(config)}, {how}",)


def encode(said: Sequence[str], config: Config) -> np.ndarray:
    """The numbers of words or of a preset's tokens, int32 (texts, length)."""
    if not is_preset(config):
        return texts.encode(said, config.words, config.text_length)
    preprocessor = _preprocessor(config.text_encoder, config.text_length)
    found = [np.zeros((0, config.text_length), "int32")]
    for start in range(0, len(said), BATCH):
        tokens = preprocessor([*said[start : start + BATCH]])[TOKENS]
        found.append(ops.convert_to_numpy(tokens).astype("int32"))
    return np.concatenate(found)


def padding(config: Config) -> int:
    """The number that stands behind the last one of a text."""
    if not is_preset(config):
        return texts.PADDING
    return _tokenizer(config).pad_token_id


def vocabulary_size(config: Config) -> int:
    """How many tokens a preset has."""
    return _tokenizer(config).vocabulary_size()


def decode(numbers: np.ndarray, config: Config) -> str:
    """The words of a row of numbers."""
    if is_preset(config):
        tokenizer = _tokenizer(config)
        special = {padding(config), *tokenizer.special_token_ids}
        kept = [int(n) for n in numbers if n not in special]
        # In a batch of one, as only that is a list of texts.
        return str(tokenizer.detokenize([kept])[0]) if kept else ""
    return " ".join(
        config.words[n - texts.RESERVED] if n >= texts.RESERVED else "?"
        for n in numbers
        if n != texts.PADDING
    )


def make(config: Config) -> keras.Model:
    """From numbers (batch, length) to the mean of what tokens become."""
    folder, length = config.text_encoder, config.text_length
    backbone = hub_presets.read(folder, "a network of texts", _backbone)
    most = getattr(backbone, "max_sequence_length", None) or length
    if length > most:
        raise ValueError(
            f"{folder} cannot take texts of --text-length {length}; its "
            f"longest have {most} tokens"
        )
    tokens = keras.Input((length,), dtype="int32", name="tokens")
    mask = ops.cast(ops.not_equal(tokens, padding(config)), "int32")
    fed = {TOKENS: tokens, MASK: mask, SEGMENTS: ops.zeros_like(tokens)}
    outputs = backbone({name: fed[name] for name in backbone.input})
    outputs = _sequence(outputs)
    there = ops.cast(mask, outputs.dtype)[..., None]
    # A text that is hidden has no tokens at all.
    count = ops.maximum(ops.sum(there, axis=1), 1.0)
    vector = ops.sum(outputs * there, axis=1) / count
    return TextsEncoder(tokens, vector, name=LAYER)


def _sequence(outputs: Any) -> Any:
    """What the last layer makes of each token."""
    return outputs["sequence_output"] if isinstance(outputs, dict) else outputs


def _backbone(keras_hub: Any, path: str) -> keras.Model:
    backbone = keras_hub.models.Backbone.from_preset(path)
    inputs = backbone.input
    if not isinstance(inputs, dict) or TOKENS not in inputs:
        raise ValueError("it has no token_ids among its inputs")
    if unknown := {*inputs} - {TOKENS, MASK, SEGMENTS}:
        raise ValueError(f"it wants {', '.join(sorted(unknown))} too")
    return backbone


def _tokenizer(config: Config) -> Any:
    return _preprocessor(config.text_encoder, config.text_length).tokenizer


@functools.lru_cache(maxsize=2)
def _preprocessor(folder: str, length: int) -> Any:
    """What makes texts the numbers that a preset's network knows."""

    def load(keras_hub: Any, path: str) -> Any:
        kind = keras_hub.models.TextClassifierPreprocessor
        return kind.from_preset(path, sequence_length=length)

    found = hub_presets.read(folder, "a network of texts", load)
    nothing = ops.convert_to_numpy(found([""])[TOKENS])
    marks = int((nothing != found.tokenizer.pad_token_id).sum())
    if length <= marks:
        raise ValueError(
            f"{folder} cannot take texts of --text-length {length}; its marks "
            f"alone are {marks} tokens"
        )
    return found
