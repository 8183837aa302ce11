"""Follow instructions about blocks on a board, seen from above.

    python -m applications instruction_following train
    python -m applications instruction_following play --run default
    python -m applications instruction_following train \\
        --preset planner --data-dir DIR --name planner
    python -m applications instruction_following evaluate \\
        --run planner --split dev

Without `--data-dir` the world has five by five cells, three blocks and
generated instructions. With it, `DIR` holds `train.json`, `dev.json` and
`test.json` in the public Blocks format; any of them may be missing where it
is not needed.
"""

from applications.instruction_following.config import PRESETS
from applications.instruction_following.config import Config
from applications.instruction_following.data import load_data
from applications.instruction_following.model import build_model
from applications.instruction_following.model import callbacks
from applications.instruction_following.pictures import draw
from applications.instruction_following.predictions import predict
from applications.instruction_following.scores import measure
from applications.instruction_following.scores import table
from applications.instruction_following.verbs import VERBS

__all__ = [
    "PRESETS",
    "VERBS",
    "Config",
    "build_model",
    "callbacks",
    "draw",
    "load_data",
    "measure",
    "predict",
    "table",
]
