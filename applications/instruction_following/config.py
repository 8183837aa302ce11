"""The settings of the task, and presets of them."""

import dataclasses
from typing import Literal

from applications.instruction_following import sources
from applications.instruction_following.rules import BLOCKS
from applications.instruction_following.rules import MINI
from applications.instruction_following.rules import Rules
from applications.settings import Settings

RULES: dict[str, Rules] = {"mini": MINI, "blocks": BLOCKS}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Defaults train in minutes on two CPU cores."""

    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 2e-3

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
    fusion: Literal[
        "concat", "local_dense", "text_convolution", "text_gate", "bilinear"
    ] = "text_convolution"
    """How a policy's words meet its picture."""

    world: Literal["mini", "blocks"] | None = None
    """Rules of the world. None: as the data has them."""
    words: tuple[str, ...] = ()
    """Words that the agent knows. Empty: those of the training texts."""
    boards: int = 32000
    """Generated training boards of the mini world."""
    text_length: int = 80
    """Words of a text that are read; what is longer is cut off."""
    word_dropout: float = 0.0
    """Share of training words that are made unknown."""
    mirror: bool = False
    """Mirror training boards in both directions, and the words with them."""

    resolution: int = 20
    """Height and width of the pictures in pixels."""
    frames: int = 1
    """Pictures that a policy sees, the present one and those before it."""
    coordinates: bool = True
    """Tell a policy's fusion rows and columns of the map's cells."""
    filters: tuple[int, ...] = (32, 32)
    """Of the convolutions; a planner's all have the first number."""
    kernel_sizes: tuple[int, ...] = (4, 3)
    """Of a policy's convolutions."""
    strides: tuple[int, ...] = (4, 1)
    """Of a policy's convolutions."""
    image_units: int = 128
    """Width of the image vector."""
    word_units: int = 32
    """Width of the words' vectors."""
    text_units: int = 64
    """Units of the LSTM, of a planner's for each direction of reading."""
    joint_units: int = 128
    """Width of the joint vector."""
    fusion_units: int = 32
    """Width of the fused map, or rank."""
    fusion_depth: int = 1
    """Levels of the pyramid of "text_convolution"."""
    fusion_glimpses: int = 2
    """Attention maps of "bilinear"."""
    fusion_activate_product: bool = True
    """Activate the product of the projections of "bilinear", or each
    projection before it."""
    dropout: float = 0.0
    """Share dropped from text and joint vectors."""
    published_start: bool = False
    """Start with weights as small as published."""
    goal_weight: float = 0.0
    """Weight of the loss of a policy's goal head, which 0 leaves out."""
    peaks: int = 6
    """Of the mixture that is a planner's goal."""
    position_weight: float = 1.0
    """Weight of the losses of the positions that a planner sees."""

    warm_start: int = 2
    """Epochs of demonstrations before learning from rewards."""
    reset_direction: bool = True
    """Start the direction head anew after them, as published."""
    shaping: tuple[Literal["distance", "demonstration"], ...] = (
        "distance",
        "demonstration",
    )
    """What rewards are shaped by."""
    entropy: float = 0.1
    """Weight of the policy's entropy."""
    published_gradient: bool = False
    """Sum the heads' entropies and count the block of a stop, as published,
    instead of the policy's own entropy and likelihood."""
    memory: int = 2000
    """Transitions that "dqn" remembers."""

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


def prepare(config: Config) -> Config:
    """Checks the settings, and takes world and words from the data."""
    _check(config)
    world = "blocks" if config.data_dir else "mini"
    if config.world not in (None, world):
        hint = (
            "give its --data-dir"
            if config.world == "blocks"
            else "leave the data_dir out, or train a run on it"
        )
        raise ValueError(
            f"world is {config.world!r} by the settings and {world!r} by "
            f"data_dir={config.data_dir!r}; {hint}"
        )
    words = config.words or sources.vocabulary(config)
    return dataclasses.replace(config, world=world, words=words)


def _check(config: Config) -> None:
    bounds = {
        "boards": config.boards >= 1,
        "text_length": config.text_length >= 1,
        "word_dropout": 0 <= config.word_dropout < 1,
        "resolution": config.resolution >= 8,
        "frames": config.frames >= 1,
        "dropout": 0 <= config.dropout < 1,
        "goal_weight": config.goal_weight >= 0,
        "peaks": config.peaks >= 1,
        "fusion_glimpses": config.fusion_glimpses >= 1,
        "warm_start": config.warm_start >= 0,
        "entropy": config.entropy >= 0,
        "memory": config.memory >= 1,
    }
    wrong = [name for name, right in bounds.items() if not right]
    if wrong:
        received = ", ".join(f"{n}={getattr(config, n)}" for n in wrong)
        raise ValueError(
            f"these settings are out of their range: {received}; sizes are at "
            "least 1, a resolution 8; shares are under 1, weights not negative"
        )
    planner = config.agent == "planner"
    seen = {("picture", "text"), ("text", "picture")}
    if planner:
        seen |= {("state", "text"), ("text", "state")}
    if config.modalities not in seen:
        raise ValueError(
            "modalities must be picture and text, for a planner alternatively "
            f"state and text; received {' '.join(config.modalities)}"
        )
    if planner and config.learning != "supervised":
        raise ValueError(
            "a planner learns supervised; received "
            f"--learning {config.learning}: give it --agent policy"
        )
    if config.learning != "supervised" and config.strategy != "one":
        raise ValueError(
            f"--learning {config.learning} plays its episodes in one process; "
            f"received --strategy {config.strategy}: give --strategy one"
        )
    if config.learning != "supervised" and config.mirror:
        raise ValueError(
            "mirrored boards are for supervised learning; received --learning "
            f"{config.learning}: drop --mirror"
        )
    if planner and config.resolution % 4:
        raise ValueError(
            "a planner's resolution must be a multiple of 4, received "
            f"{config.resolution}"
        )
