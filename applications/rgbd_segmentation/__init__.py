"""Label every pixel from aligned modalities, by channel exchange or rivals.

    python -m applications rgbd_segmentation train
    python -m applications rgbd_segmentation train \\
        --data-dir DIR --modalities rgb thermal depth --name mine

Without `--data-dir` the data are rendered rooms. With it, a folder
`DIR/<split>/<modality>/<id>.<png|jpg|npy>` with masks in `label/` and an
optional `classes.txt`, the folder of NYU Depth v2's official files, or a
prepared TFDS set.
"""

from applications.rgbd_segmentation.config import PRESETS
from applications.rgbd_segmentation.config import Config
from applications.rgbd_segmentation.config import prepare
from applications.rgbd_segmentation.data import load_data
from applications.rgbd_segmentation.model import build_model
from applications.rgbd_segmentation.model import callbacks
from applications.rgbd_segmentation.pictures import draw
from applications.rgbd_segmentation.pictures import predict
from applications.rgbd_segmentation.scores import measure
from applications.rgbd_segmentation.scores import table

__all__ = [
    "PRESETS",
    "Config",
    "build_model",
    "callbacks",
    "draw",
    "load_data",
    "measure",
    "predict",
    "prepare",
    "table",
]
