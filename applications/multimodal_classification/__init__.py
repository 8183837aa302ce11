"""Classify rows of pictures, sounds, texts and tables, any of them missing.

    python -m applications multimodal_classification train
    python -m applications multimodal_classification train \\
        --data-dir DIR --images front --texts title review --table age city
    python -m applications multimodal_classification graph --run default

`DIR` holds `train.csv` or `train.jsonl`, a row an example; without flags the
columns are taken by their names and contents, and the run says how. Without
`--data-dir` the data are scikit-learn's handwritten digits: the upper half is
a picture, of the lower half there is the ink of each row and column.
"""

from applications.multimodal_classification.config import PRESETS
from applications.multimodal_classification.config import Config
from applications.multimodal_classification.data import load_data
from applications.multimodal_classification.model import build_model
from applications.multimodal_classification.pictures import draw
from applications.multimodal_classification.predictions import predict
from applications.multimodal_classification.projector import callbacks
from applications.multimodal_classification.scores import measure
from applications.multimodal_classification.scores import table
from applications.multimodal_classification.verbs import VERBS

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
