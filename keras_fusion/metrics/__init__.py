"""Metrics that Keras does not have, one a file."""

from keras_fusion.metrics.mean_class_accuracy import MeanClassAccuracy
from keras_fusion.metrics.median_rank import MedianRank
from keras_fusion.metrics.perplexity import Perplexity
from keras_fusion.metrics.pixel_accuracy import PixelAccuracy
from keras_fusion.metrics.recall_at_k import RecallAtK
from keras_fusion.metrics.retrieval_f_score import RetrievalFScore

__all__ = [
    "MeanClassAccuracy",
    "MedianRank",
    "Perplexity",
    "PixelAccuracy",
    "RecallAtK",
    "RetrievalFScore",
]
