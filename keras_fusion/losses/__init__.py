"""Losses that Keras does not have, one a file."""

from keras_fusion.losses.asymmetric_loss import AsymmetricLoss
from keras_fusion.losses.known_label_loss import KnownLabelLoss
from keras_fusion.losses.maximum_mean_discrepancy import MaximumMeanDiscrepancy
from keras_fusion.losses.multi_similarity_loss import MultiSimilarityLoss
from keras_fusion.losses.refiner_contrastive_loss import RefinerContrastiveLoss
from keras_fusion.losses.refiner_cosine_loss import RefinerCosineLoss
from keras_fusion.losses.refiner_multi_similarity_loss import (
    RefinerMultiSimilarityLoss,
)
from keras_fusion.losses.sparse_crossentropy_and_dice import (
    SparseCrossentropyAndDice,
)
from keras_fusion.losses.sparse_squared_hinge import SparseSquaredHinge

__all__ = [
    "AsymmetricLoss",
    "KnownLabelLoss",
    "MaximumMeanDiscrepancy",
    "MultiSimilarityLoss",
    "RefinerContrastiveLoss",
    "RefinerCosineLoss",
    "RefinerMultiSimilarityLoss",
    "SparseCrossentropyAndDice",
    "SparseSquaredHinge",
]
