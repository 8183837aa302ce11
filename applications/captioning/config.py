"""The settings of the task, and presets of them."""

from typing import Annotated
from typing import Literal

import pydantic
from pydantic import Field

from applications import settings
from applications.captioning.backbones import BACKBONES
from keras_fusion.models import CAPTION_DECODERS

ROOMS = "rooms"


@settings.settings
class Config(settings.Settings):
    """Defaults train in minutes on two CPU cores."""

    epochs: settings.Count = 10
    batch_size: settings.Count = 64
    learning_rate: settings.Positive = 4e-3

    dataset: settings.Place = ROOMS
    """Where there is no data_dir: rooms, or the name of a prepared TFDS set
    of images and captions."""
    held_out: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of the training images for validation if the data has none."""
    vocabulary: settings.Count = 10000
    """Words that are known at most."""
    min_count: settings.Count = 1
    """How often a word must be there to be known."""
    length: Annotated[int, Field(ge=1, le=1000)] = 64
    """Words of a caption; what is longer is cut."""
    words: settings.Names = ()
    """Words that are known. Empty: those of the training captions."""

    model: settings.one_of(CAPTION_DECODERS, "How the next word is told.") = (
        "mlbl_b"
    )
    backbone: settings.one_of(BACKBONES, "How images are read.") = "convolution"
    encoder_weights: settings.Place | None = None
    """File of the backbone, where it has one."""
    image_side: Annotated[int, Field(ge=32, le=1024)] = 48
    """Height and width to which images are brought, in pixels."""
    feature_shape: Annotated[
        tuple[settings.Size, ...], Field(max_length=3)
    ] = ()
    """Of what the backbone makes of an image. Empty: as it does."""
    image_units: settings.Size = 256
    """Width of the image's code."""
    context: Annotated[int, Field(ge=1, le=100)] = 5
    """Words before the next one that a log-bilinear model sees."""
    embedding_size: settings.Size = 50
    """Width of the words' embeddings."""
    word_vectors: settings.Place | None = None
    """File of word vectors to start from, of as many numbers a word."""
    factors: settings.Size = 50
    """Factors of mlbl_f."""
    units: settings.Size = 128
    """Width of LSTM and Transformer."""
    num_heads: Annotated[int, Field(ge=1, le=64)] = 4
    """Heads of the Transformer, which divide its width."""
    num_blocks: settings.Depth = 2
    """Its blocks."""
    dropout: settings.Share = 0.2
    """Share dropped of the image's code, and in blocks."""

    optimizer: Literal["adam", "published"] = "adam"
    """AdamW with a cosine, or descent with the paper's momentum and decay."""
    weight_decay: settings.NonNegative = 1e-4
    """AdamW's; the published decay is of each tensor's kind."""

    measured: settings.NonNegativeInt = 100
    """Images, the first ones, of which captions are generated and that are
    searched for when a model is measured; 0: none."""
    beam_width: Annotated[int, Field(ge=1, le=100)] = 3
    """Captions that are followed side by side."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Config":
        needed = BACKBONES[self.backbone].file
        if needed and self.encoder_weights is None:
            raise ValueError(
                f"backbone {self.backbone} needs encoder_weights: {needed}"
            )
        if self.encoder_weights is not None and not needed:
            raise ValueError(
                f"backbone {self.backbone} has no file, received "
                f"encoder_weights {self.encoder_weights!r}"
            )
        if self.units % self.num_heads:
            raise ValueError(
                f"units must be a multiple of num_heads, received "
                f"{self.units} and {self.num_heads}"
            )
        return self


# The paper's recipe; its models that gate take a tenth of the learning rate.
PUBLISHED = Config(
    epochs=100,
    batch_size=20,
    learning_rate=0.2,
    optimizer="published",
    dropout=0.0,
    min_count=2,
)

PRESETS = {
    "default": Config(),
    "published": PUBLISHED,
    "lstm": Config(model="lstm", learning_rate=2e-3),
    "transformer": Config(model="transformer", learning_rate=1e-3),
}
