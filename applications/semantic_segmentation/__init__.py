"""Label every pixel from aligned modalities, by channel exchange or rivals.

    python -m applications semantic_segmentation train
    python -m applications semantic_segmentation train \\
        --data-dir DIR --modalities rgb thermal depth --name mine

Without `--data-dir` the data are rendered rooms. With it, a folder
`DIR/<split>/<modality>/<id>.<png|jpg|npy>` with masks in `label/` and an
optional `classes.txt`, the folder of NYU Depth v2's official files, or a
prepared TFDS set.
"""

from applications.semantic_segmentation.config import PRESETS
from applications.semantic_segmentation.config import Config
from applications.semantic_segmentation.data import load_data
from applications.semantic_segmentation.model import build_model
from applications.semantic_segmentation.model import callbacks
from applications.semantic_segmentation.pictures import draw
from applications.semantic_segmentation.pictures import predict
from applications.semantic_segmentation.scores import measure
from applications.semantic_segmentation.scores import table

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
