"""Functional builders of published architectures, and their first weights."""

from keras_fusion.models.imagenet import load_imagenet_encoder
from keras_fusion.models.refinenet import refinenet

__all__ = [
    "load_imagenet_encoder",
    "refinenet",
]
