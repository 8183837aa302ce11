"""Rewrites of a trained model for the device that is to run it."""

from keras_fusion.inference.fold import Folded
from keras_fusion.inference.fold import fold
from keras_fusion.inference.fold_report import FoldReport
from keras_fusion.inference.missing import missing

__all__ = ["FoldReport", "Folded", "fold", "missing"]
