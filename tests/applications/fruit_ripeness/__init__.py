"""The template of a task: ripe fruit, from a picture and two measurements.

    python -m applications fruit_ripeness train

Copy this folder to `applications/<task>`, and give it a line in
`applications.TASKS`.
"""

from tests.applications.fruit_ripeness.data import PRESETS
from tests.applications.fruit_ripeness.data import Config
from tests.applications.fruit_ripeness.data import load_data
from tests.applications.fruit_ripeness.model import build_model
from tests.applications.fruit_ripeness.model import callbacks
from tests.applications.fruit_ripeness.model import draw
from tests.applications.fruit_ripeness.model import measure
from tests.applications.fruit_ripeness.model import predict
from tests.applications.fruit_ripeness.model import table

__all__ = [
    "PRESETS",
    "Config",
    "build_model",
    "callbacks",
    "draw",
    "load_data",
    "measure",
    "predict",
    "table",
]
