"""How an agent's words meet its picture."""

from keras_fusion.models import TEXT_FUSIONS

OBJECTIVE = "max success"
START = {"epochs": 2, "boards": 16000}


def space(hp):
    settings = {
        "learning_rate": hp.Float(
            "learning_rate", 5e-4, 5e-3, sampling="log", default=2e-3
        ),
        "fusion": hp.Choice(
            "fusion",
            list(TEXT_FUSIONS),
            default="text_convolution",
        ),
        "coordinates": hp.Boolean("coordinates", default=True),
    }
    with hp.conditional_scope("fusion", ["local_dense", "text_convolution"]):
        width = hp.Int("width", 8, 64, step=2, sampling="log", default=32)
    with hp.conditional_scope("fusion", ["bilinear"]):
        rank = hp.Int("rank", 16, 256, step=2, sampling="log", default=32)
        settings["fusion_glimpses"] = hp.Int("glimpses", 1, 4, default=2)
        # Whether the product is activated, or its factors are.
        settings["fusion_activate_product"] = hp.Boolean(
            "activate_product", default=True
        )
    settings["fusion_units"] = width if rank is None else rank
    return settings
