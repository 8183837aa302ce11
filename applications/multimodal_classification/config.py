"""The settings of the task, and presets of them."""

from typing import Annotated
from typing import Literal
from typing import NamedTuple

import pydantic
from pydantic import Field

from applications import settings
from applications.inputs import table as tables
from keras_fusion.models import FUSION_LAYERS

TABLE = "table"
# The pictures' encoder that is trained from nothing.
CONVOLUTIONS = "convolutions"
# The texts' encoders that are: of words in their order, and of their mean.
WORD_ENCODERS = ("convolution", "bag")
KINDS = ("images", "sounds", "texts")
LATE = "late"


class _Late(NamedTuple):
    name: str
    description: str


FUSIONS = FUSION_LAYERS | {
    LATE: _Late(
        LATE,
        "each modality has a classifier of its own, what they say is averaged "
        "and there is no refiner",
    )
}


@settings.settings
class Config(settings.Settings):
    """Defaults train in minutes on two CPU cores."""

    epochs: settings.Count = 40
    batch_size: settings.Count = 32
    learning_rate: settings.Positive = 2e-3

    images: settings.Names = ()
    """Columns of pictures' files. With sounds, texts and table empty too:
    found by the columns' contents."""
    sounds: settings.Names = ()
    """Columns of WAV files."""
    texts: settings.Names = ()
    """Columns of texts."""
    table: settings.Names = ()
    """Columns of numbers and categories; together they are one modality."""
    label: settings.Place | None = None
    """Column of the class. None: label, class, target or y."""
    labels: settings.Place | None = None
    """Column of a list of classes, for several classes a row."""
    held_out: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of the training rows for validation if the data has none."""
    labelled_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the labels of each class that is learned from; the other rows
    count for the refiner alone."""

    classes: settings.Names = ()
    """Names of the classes. Empty: as the data has them."""
    words: settings.Names = ()
    """Words that are known. Empty: those of the training texts."""
    numbers: settings.Names = ()
    """Columns of the table that are numbers. Empty: as the data has them."""
    means: tuple[float, ...] = ()
    """Means of the numbers. Empty: those of the training part."""
    deviations: tuple[settings.Positive, ...] = ()
    """Their deviations."""
    categories: settings.Names = ()
    """Values of its other columns, as COLUMN=VALUE."""

    image_side: Annotated[int, Field(ge=8, le=1024)] = 32
    """Height and width to which pictures are brought, in pixels."""
    image_encoder: settings.Place = CONVOLUTIONS
    """Small convolutions of its own; or SqueezeNet, a name of
    keras.applications such as MobileNetV2, or the folder of a KerasHub
    preset."""
    image_weights: settings.Place | None = None
    """Keras file (.h5) with the weights of that network without its top."""
    fine_tune: bool = False
    """Train such encoders of pictures and texts too. Otherwise they stay as
    they are, and what they make of the data is computed once."""
    filters: settings.Sizes = (16, 32)
    """Of the convolutions over pictures and over spectrograms."""
    sound_rate: Annotated[int, Field(ge=1000, le=96000)] = 8000
    """Samples a second to which sounds are brought."""
    sound_seconds: Annotated[float, Field(ge=0.1, le=60)] = 1.0
    """Length of sounds; what is longer is cut."""
    vocabulary: settings.Count = 5000
    """Words that are known at most."""
    text_length: settings.Size = 64
    """Words of a text that are read, or tokens of a preset; what is longer is
    cut off."""
    text_encoder: settings.Place = "convolution"
    """Words in their order (convolution), or their mean (bag); or the folder
    of a KerasHub preset such as BERT."""
    units: settings.Size = 64
    """Width of each modality's vector, and of the fused one."""
    dropout: settings.Share = 0.1
    """Share dropped before the classifier."""

    fusion: settings.one_of(FUSIONS, "How the modalities are fused.") = "concat"
    modality_dropout: settings.Share = 0.2
    """Share of training rows in which a modality is hidden."""
    missing: Literal["token", "zeros"] = "token"
    """What stands for a missing modality: a learned vector, or zeros."""
    refiner_weight: Annotated[
        tuple[settings.NonNegative, ...], Field(min_length=1)
    ] = (0.1,)
    """Weight of the refiner's loss, one for all modalities or one for each
    (pictures, sounds, texts, table); 0 is without it."""
    refiner_targets: Literal["embedding", "raw", "external"] = "embedding"
    """What the refiner rebuilds of a modality: its learned vector, its input
    (pixels, spectrogram, counts of words, table), or external: what a frozen
    encoder says of pictures or texts, and the other inputs."""
    refiner_loss: Literal["cosine", "mse", "contrastive", "similarity"] = (
        "cosine"
    )
    """How what is rebuilt is compared."""
    refiner_decoder: Literal["dense", "block", "shared"] = "dense"
    """What rebuilds: dense layers for each modality; one with normalization
    and dropout, as the authors released; dense layers for all together."""
    refiner_units: tuple[settings.Size, ...] = ()
    """Hidden units of its decoders."""
    stop_gradient: bool = True
    """Keep the refiner from making its targets simpler."""
    similarity_weight: settings.NonNegative = 0.0
    """Weight of the multi-similarity loss of the fused vectors."""
    pretrain_epochs: settings.NonNegativeInt = 0
    """Of the epochs, the first so many are without labels."""
    pretrain_modality_dropout: settings.Share = 0.9
    """Share of rows in which a modality is hidden in these epochs, so that
    the others have to tell of it."""
    weight_decay: settings.NonNegative = 1e-4
    """AdamW's decay."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Config":
        if self.label is not None and self.labels is not None:
            raise ValueError(
                "label and labels are two kinds of problems; give one of them"
            )
        named = [*self.images, *self.sounds, *self.texts, *self.table]
        named += [name for name in (self.label, self.labels) if name]
        if len(set(named)) < len(named):
            raise ValueError(
                "a column can be one kind of input, or the label; received "
                f"{', '.join(named)}"
            )
        if not len(self.numbers) == len(self.means) == len(self.deviations):
            raise ValueError(
                "numbers, means and deviations are of the same columns, so "
                f"they must be equally many; received {len(self.numbers)}, "
                f"{len(self.means)} and {len(self.deviations)}"
            )
        if self.pretrain_epochs >= self.epochs:
            raise ValueError(
                f"pretrain_epochs must be fewer than the {self.epochs} epochs, "
                f"received {self.pretrain_epochs}"
            )
        if self.pretrain_epochs and not self.refined:
            raise ValueError(
                "pretrain_epochs learn from the refiner alone; give "
                "refiner_weight a number above 0, and a fusion other than "
                f"{LATE}"
            )
        if self.refiner_targets == "external" and not self.frozen_kinds:
            raise ValueError(
                "refiner_targets external are what a frozen encoder says; give "
                "image_encoder and image_weights, or text_encoder a preset, "
                "without fine_tune"
            )
        if self.fusion == LATE and self.similarity_weight:
            raise ValueError(
                f"the fusion {LATE} has no fused vector for similarity_weight; "
                "choose another fusion, or 0"
            )
        if self.refiner_decoder == "block" and self.refiner_units:
            raise ValueError(
                "the refiner_decoder block has no hidden units; leave out "
                "refiner_units, or choose another decoder"
            )
        weights, count = len(self.refiner_weight), len(self.modalities)
        if weights > 1 and count and weights != count:
            raise ValueError(
                "refiner_weight must hold one number, or one for each of "
                f"{', '.join(self.modalities)}; received {weights}"
            )
        return self

    @property
    def refined(self) -> bool:
        """Whether there is a fused vector, and a refiner around it."""
        weighted = any(self.refiner_weight) and self.fusion != LATE
        return weighted and len(self.modalities) != 1

    @property
    def modalities(self) -> tuple[str, ...]:
        """The inputs of the model, in order."""
        table = (TABLE,) if self.table else ()
        return (*self.images, *self.sounds, *self.texts, *table)

    @property
    def columns(self) -> tables.Columns:
        """What the table's columns are."""
        return tables.Columns(
            self.numbers, self.means, self.deviations, self.categories
        )

    @property
    def frozen_kinds(self) -> tuple[str, ...]:
        """Those of "images" and "texts" whose encoder does not learn."""
        return () if self.fine_tune else self.network_kinds

    @property
    def network_kinds(self) -> tuple[str, ...]:
        """Those of them whose encoder is a network that is named."""
        named = {
            "images": self.image_encoder != CONVOLUTIONS,
            "texts": self.text_encoder not in WORD_ENCODERS,
        }
        return tuple(kind for kind, is_named in named.items() if is_named)

    @property
    def multilabel(self) -> bool:
        return self.labels is not None

    def kind(self, modality: str) -> str:
        """Which of "images", "sounds", "texts", "table" a modality is."""
        for name in KINDS:
            if modality in getattr(self, name):
                return name
        return TABLE


PRESETS = {
    "default": Config(),
    # First without labels, then with few of them.
    "few_labels": Config(
        epochs=60,
        pretrain_epochs=30,
        labelled_fraction=0.05,
        refiner_targets="raw",
        refiner_loss="contrastive",
    ),
    # The method's authors' release, its defects repaired, with its settings
    # for MM-IMDB: https://github.com/facebookresearch/mmf. It fine-tunes a
    # large network with this learning rate; small encoders need a larger one.
    "released": Config(
        epochs=20,
        learning_rate=5e-5,
        weight_decay=0.01,
        units=768,
        text_length=256,
        fusion="transformer",
        refiner_decoder="block",
        similarity_weight=0.1,
    ),
    # MultiBench's, with its settings for MM-IMDB:
    # https://github.com/pliang279/MultiBench.
    "multibench": Config(
        epochs=20,
        batch_size=128,
        learning_rate=1e-2,
        weight_decay=0.01,
        units=512,
        dropout=0.0,
        modality_dropout=0.0,
        refiner_targets="raw",
        refiner_decoder="shared",
        refiner_units=(3072,),
    ),
}
