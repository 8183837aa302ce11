"""Make one image of several aligned others, by a channel exchanging GAN.

    python -m applications image_translation train
    python -m applications image_translation train \\
        --modalities rgb edges --target depth --name depth
    python -m applications image_translation train \\
        --data-dir DIR --modalities thermal depth --target rgb --name mine

Without `--data-dir` the data are rendered rooms. With it, a folder
`DIR/<split>/<modality>/<id>.<png|jpg|npy>`, Taskonomy's folders of domains,
the folder of NYU Depth v2's official files, or a prepared TFDS set.
"""

from applications.image_translation.config import PRESETS
from applications.image_translation.config import Config
from applications.image_translation.data import load_data
from applications.image_translation.model import build_model
from applications.image_translation.model import callbacks
from applications.image_translation.pictures import draw
from applications.image_translation.pictures import predict
from applications.image_translation.scores import measure
from applications.image_translation.scores import table

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
