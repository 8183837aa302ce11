"""Say which of many categories an image shows, and where they are seen.

    python -m applications multilabel_recognition train
    python -m applications multilabel_recognition train \\
        --data-dir DIR --word-vectors glove.6B.300d.txt --name mine

Without `--data-dir` the data are rendered rooms, or the TFDS set that
`--dataset` names. With it, a folder with `labels.csv` or `labels.jsonl`, the
folder of Pascal VOC, aligned images with masks (the classes of a mask are
present), or a prepared TFDS set.
"""

from applications.multilabel_recognition.config import PRESETS
from applications.multilabel_recognition.config import Config
from applications.multilabel_recognition.data import load_data
from applications.multilabel_recognition.model import build_model
from applications.multilabel_recognition.model import callbacks
from applications.multilabel_recognition.pictures import draw
from applications.multilabel_recognition.predictions import predict
from applications.multilabel_recognition.scores import measure
from applications.multilabel_recognition.scores import table

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
