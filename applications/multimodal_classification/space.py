"""How the modalities are fused, and what holds the fused vector to them."""

from applications.multimodal_classification.config import FUSIONS
from applications.multimodal_classification.config import LATE
from keras_fusion.models import FUSION_LAYERS

OBJECTIVE = "max accuracy"
START = {"epochs": 20}


def space(hp):
    settings = {
        "learning_rate": hp.Float(
            "learning_rate", 5e-4, 1e-2, sampling="log", default=2e-3
        ),
        "fusion": hp.Choice("fusion", list(FUSIONS), default="concat"),
        "units": hp.Choice("units", [32, 64, 128], default=64),
        "dropout": hp.Float("dropout", 0.0, 0.5, step=0.1, default=0.1),
        "modality_dropout": hp.Float(
            "modality_dropout", 0.0, 0.5, step=0.1, default=0.2
        ),
    }
    if settings["fusion"] == LATE:
        return settings
    # What needs a fused vector.
    with hp.conditional_scope("fusion", list(FUSION_LAYERS)):
        settings["similarity_weight"] = hp.Choice(
            "similarity_weight", [0.0, 0.1, 1.0], default=0.0
        )
        refined = hp.Boolean("refined", default=True)
        with hp.conditional_scope("refined", [True]):
            weight = hp.Float(
                "refiner_weight", 0.01, 1.0, sampling="log", default=0.1
            )
    settings["refiner_weight"] = (weight if refined else 0.0,)
    return settings
