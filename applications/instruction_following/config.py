"""The settings of the task, and presets of them."""

from typing import Annotated
from typing import Literal

import pydantic
from pydantic import Field

from applications import settings
from applications.instruction_following.rules import BLOCKS
from applications.instruction_following.rules import MINI
from applications.instruction_following.rules import Rules
from keras_fusion.models import TEXT_FUSIONS

RULES: dict[str, Rules] = {"mini": MINI, "blocks": BLOCKS}


@settings.settings
class Config(settings.Settings):
    """Defaults train in minutes on two CPU cores."""

    epochs: settings.Count = 6
    batch_size: settings.Count = 64
    learning_rate: settings.Positive = 2e-3

    agent: Literal["policy", "planner"] = "policy"
    """An action at each step, or a goal found once and a way planned to it."""
    modalities: tuple[Literal["picture", "state", "text"], ...] = (
        "picture",
        "text",
    )
    """What the agent is given; "state", for a planner, is the positions of
    the blocks in place of their picture."""
    learning: Literal["supervised", "bandit", "reinforce", "dqn"] = "supervised"
    """From demonstrations; or, for a policy, from what its actions pay."""
    fusion: settings.one_of(
        TEXT_FUSIONS, "How a policy fuses its words with its picture."
    ) = "text_convolution"

    world: Literal["mini", "blocks"] | None = None
    """Rules of the world. None: as the data has them."""
    words: settings.Names = ()
    """Words that the agent knows. Empty: those of the training texts."""
    boards: settings.Count = 32000
    """Generated training boards of the mini world."""
    text_length: settings.Size = 80
    """Words of a text that are read; what is longer is cut off."""
    word_dropout: settings.Share = 0.0
    """Share of training words that are made unknown."""
    mirror: bool = False
    """Mirror training boards in both directions, and the words with them."""

    resolution: Annotated[int, Field(ge=8, le=1024)] = 20
    """Height and width of the pictures in pixels."""
    frames: settings.Depth = 1
    """Pictures that a policy sees, the present one and those before it."""
    coordinates: bool = True
    """Tell a policy's fusion rows and columns of the map's cells."""
    filters: settings.Sizes = (32, 32)
    """Of the convolutions; a planner's all have the first number."""
    kernel_sizes: settings.Sizes = (4, 3)
    """Of a policy's convolutions."""
    strides: settings.Sizes = (4, 1)
    """Of a policy's convolutions."""
    image_units: settings.Size = 128
    """Width of the image vector."""
    word_units: settings.Size = 32
    """Width of the words' vectors."""
    text_units: settings.Size = 64
    """Units of the LSTM, of a planner's for each direction of reading."""
    joint_units: settings.Size = 128
    """Width of the joint vector."""
    fusion_units: settings.Size = 32
    """Width of the fused map, or rank."""
    fusion_depth: settings.Depth = 1
    """Levels of the pyramid of "text_convolution", 5 as published."""
    fusion_kernel_size: settings.Size = 3
    """Of its convolutions, 5 as published."""
    fusion_released: bool = False
    """Leave out the normalizations that its released code leaves out."""
    fusion_glimpses: settings.Size = 2
    """Attention maps of "bilinear"."""
    fusion_activate_product: bool = True
    """Activate the product of the projections of "bilinear", or each
    projection before it."""
    dropout: settings.Share = 0.0
    """Share dropped from text and joint vectors."""
    published_start: bool = False
    """Start with weights as small as published."""
    goal_weight: settings.NonNegative = 0.0
    """Weight of the loss of a policy's goal head, which 0 leaves out."""
    peaks: settings.Size = 6
    """Of the mixture that is a planner's goal."""
    position_weight: settings.NonNegative = 1.0
    """Weight of the losses of the positions that a planner sees."""

    warm_start: settings.NonNegativeInt = 2
    """Epochs of demonstrations before learning from rewards."""
    warm_start_rate: settings.Positive | None = None
    """Learning rate of these epochs; None: that of all."""
    warm_start_replay: settings.NonNegativeInt = 0
    """Demonstrated states that a step of theirs learns from, drawn from those
    that `memory` holds; 0: the states of the step's own episodes."""
    reset_direction: bool = True
    """Start the direction head anew after them, as published."""
    shaping: tuple[Literal["distance", "demonstration"], ...] = (
        "distance",
        "demonstration",
    )
    """What rewards are shaped by."""
    entropy: settings.NonNegative = 0.1
    """Weight of the policy's entropy."""
    published_gradient: bool = False
    """Sum the heads' entropies and count the block of a stop, as published,
    instead of the policy's own entropy and likelihood."""
    memory: settings.Count = 2000
    """Transitions that "dqn" and a warm start with replay remember."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Config":
        planner = self.agent == "planner"
        seen = {("picture", "text"), ("text", "picture")}
        if planner:
            seen |= {("state", "text"), ("text", "state")}
        if self.modalities not in seen:
            raise ValueError(
                "modalities must be picture and text, or for a planner state "
                f"and text; received {' '.join(self.modalities)}"
            )
        if planner and self.learning != "supervised":
            raise ValueError(
                "a planner learns supervised; received "
                f"--learning {self.learning}: give it --agent policy"
            )
        if self.learning != "supervised" and self.strategy != "one":
            raise ValueError(
                f"--learning {self.learning} plays its episodes in one "
                f"process; received --strategy {self.strategy}: give "
                "--strategy one"
            )
        if self.learning != "supervised" and self.mirror:
            raise ValueError(
                "mirrored boards are for supervised learning; received "
                f"--learning {self.learning}: drop --mirror"
            )
        if planner and self.resolution % 4:
            raise ValueError(
                "a planner's resolution must be a multiple of 4, received "
                f"{self.resolution}"
            )
        return self

    @property
    def rules(self) -> Rules:
        return RULES[self.world or ("blocks" if self.data_dir else "mini")]


PRESETS = {
    "default": Config(),
    # Misra et al. 2017 as released.
    "published": Config(
        epochs=32,
        batch_size=1,
        learning_rate=2.5e-4,
        learning="bandit",
        fusion="concat",
        world="blocks",
        text_length=83,
        resolution=120,
        frames=5,
        coordinates=False,
        filters=(32, 32, 32),
        kernel_sizes=(8, 8, 4),
        strides=(4, 4, 2),
        image_units=200,
        word_units=150,
        text_units=250,
        joint_units=120,
        published_start=True,
        published_gradient=True,
        warm_start_rate=1e-3,
        warm_start_replay=32,
    ),
    # The sizes of LINGUNET in Misra et al. 2018 as released, for a map of 32
    # by 32 cells; in the agent of 2017, where theirs has a goal predicted by
    # one network and actions by another.
    "lingunet": Config(
        learning_rate=1e-3,
        world="blocks",
        resolution=128,
        filters=(128, 64),
        kernel_sizes=(8, 3),
        text_units=256,
        fusion_depth=5,
        fusion_kernel_size=5,
        fusion_released=True,
        goal_weight=1.0,
    ),
    "planner": Config(
        epochs=40,
        agent="planner",
        world="blocks",
        word_dropout=0.03,
        mirror=True,
        resolution=120,
        filters=(32,),
        word_units=64,
        text_units=96,
        dropout=0.3,
        position_weight=2.0,
    ),
}
