"""Write captions of images, find images for a text and texts for an image.

    python -m applications captioning train
    python -m applications captioning train --model lstm --data-dir DIR
    python -m applications captioning generate --run default --image FILE
    python -m applications captioning retrieve --run default --text "a red box"

`DIR` holds `train/captions.txt`, rows of image and caption, and the images.
Without `--data-dir` the data are rendered rooms and what is in them.
"""

from applications.captioning.config import PRESETS
from applications.captioning.config import Config
from applications.captioning.data import load_data
from applications.captioning.model import build_model
from applications.captioning.model import callbacks
from applications.captioning.pictures import draw
from applications.captioning.predictions import predict
from applications.captioning.scores import measure
from applications.captioning.scores import table
from applications.captioning.verbs import VERBS

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
