"""The settings of the task, and presets of them."""

from typing import Annotated
from typing import Literal

import pydantic
from pydantic import Field

from applications import settings
from applications.multilabel_recognition.backbones import ARCHITECTURES
from applications.multilabel_recognition.backbones import SMALL
from keras_fusion.models import CATEGORY_POOLINGS

ROOMS = "rooms"
IMAGE = "image"
Chance = Annotated[float, Field(ge=0, le=1)]
Few = Annotated[int, Field(ge=0, le=10)]


@settings.settings
class Config(settings.Settings):
    """Defaults train in minutes on two CPU cores."""

    epochs: settings.Count = 20
    batch_size: settings.Count = 32
    learning_rate: settings.Positive = 2e-3

    dataset: str = ROOMS
    """Without a data_dir: rooms, or a TFDS set like voc/2007 or coco/2017."""
    rooms: settings.Count = 400
    """Rooms that are rendered for training."""
    modalities: Annotated[settings.FolderNames, Field(min_length=1)] = ("rgb",)
    """Folders, or features of the rooms, that hold the aligned images; other
    data have one image, of any name."""
    mask: settings.FolderName = "label"
    """Folder of the masks beside those of the images."""
    least_area: settings.Share = 0.002
    """Share of a mask from which on a class is present; what is smaller is
    unknown."""
    classes: settings.Names = ()
    """Names of the categories. Empty: as the data has them."""
    cooccurrence: tuple[Chance, ...] = ()
    """How probable each category is where another one is, row by row. Empty:
    that of the training part."""

    side: Annotated[int, Field(ge=32, le=1024)] = 96
    """Height and width to which images are brought, in pixels."""
    architecture: Literal[ARCHITECTURES] = SMALL
    """Backbone: a small ResNet, or one of keras.applications."""
    backbone_weights: settings.Place | None = None
    """File of Keras's weights without top for it; "imagenet" downloads."""
    backbone_rate: settings.NonNegative = 1.0
    """Its learning rate as a multiple of `learning_rate`; 0 freezes it."""
    blocks: settings.Depths = (1, 1)
    """Bottlenecks in each stage of the small backbone."""
    width: Annotated[int, Field(ge=1, le=512)] = 16
    """Filters of its first stage; each stage has twice as many."""
    map_pooling: Annotated[int, Field(ge=1, le=8)] = 1
    """Side of the windows in which the map is averaged first."""
    fusion: Literal["map", "channels"] = "map"
    """Several modalities have a backbone each and meet at the map, or are the
    channels of one image."""

    pooling: settings.one_of(
        CATEGORY_POOLINGS, "How the map becomes features of categories."
    ) = "semantic_attention"
    word_vectors: settings.Place | None = None
    """File of word vectors, GloVe's or word2vec's text, for the queries; a
    category that it lacks learns its own. None: all are learned."""
    query_units: settings.Size = 32
    """Width of learned queries."""
    rank: settings.Size = 64
    """Width of the attention's projections."""
    glimpses: settings.Depth = 1
    """Attention maps of each category."""
    hidden_units: Annotated[int, Field(ge=0, le=4096)] = 0
    """Units of tanh behind the attention's product; 0: none, as published."""
    graph_steps: Few = 3
    """Steps in which categories speak to each other along their
    co-occurrence, where each has its own features; 0: none."""
    units: settings.Size = 128
    """Width of the features before the classifiers."""
    dropout: settings.Share = 0.1
    """Share of them that is dropped in training."""

    loss: Literal["binary", "focal", "asymmetric"] = "binary"
    """Cross-entropy of each label, or losses that spare what is easy."""
    negative_gamma: Annotated[float, Field(ge=0, le=10)] = 4.0
    """How strongly the asymmetric loss spares labels that are absent; of the
    focal loss it spares all."""
    positive_gamma: Annotated[float, Field(ge=0, le=10)] = 1.0
    """How strongly the asymmetric loss spares labels that are present."""
    clip: settings.Share = 0.05
    """Probability under which an absent label costs it nothing."""
    weight_decay: settings.NonNegative = 1e-4
    """AdamW's decay."""

    mirror: bool = True
    """Mirror half of the training images."""
    crop: settings.Share = 0.2
    """Share of each side that a random crop may leave out."""
    jitter: settings.Share = 0.2
    """Random contrast and brightness of training images."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Config":
        if self.mask in self.modalities:
            raise ValueError(
                f"modalities must not hold {self.mask!r}, the folder of masks"
            )
        if self.backbone_weights is not None and self.architecture == SMALL:
            raise ValueError(
                "backbone_weights are for an --architecture of "
                f"keras.applications; received --architecture {SMALL}"
            )
        known = len(self.classes) ** 2
        if self.cooccurrence and len(self.cooccurrence) != known:
            raise ValueError(
                f"cooccurrence must hold {known} numbers, a row for each of "
                f"{len(self.classes)} classes; received "
                f"{len(self.cooccurrence)}"
            )
        return self

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs of the model, in order."""
        if self.fusion == "channels" and len(self.modalities) > 1:
            return (IMAGE,)
        return self.modalities

    @property
    def has_maps(self) -> bool:
        """Whether the model tells where it looked."""
        return CATEGORY_POOLINGS[self.pooling].has_maps


PRESETS = {
    "default": Config(),
    # Chen et al. 2019 as released, but for the graph's two biases a gate and
    # the random crops; ImageNet's weights come from Keras.
    "published": Config(
        epochs=20,
        batch_size=4,
        learning_rate=1e-5,
        dataset="coco/2017",
        side=576,
        architecture="ResNet101",
        backbone_weights="imagenet",
        map_pooling=2,
        query_units=300,
        rank=1024,
        units=2048,
        dropout=0.0,
        weight_decay=0.0,
        jitter=0.0,
    ),
}
