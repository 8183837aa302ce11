"""Which model tells the next word, and its sizes."""

from keras_fusion.models import CAPTION_DECODERS

OBJECTIVE = "min perplexity"
# Texts and searches take longer than the rest.
START = {"epochs": 10, "measured": 0}


def space(hp):
    model = hp.Choice("model", list(CAPTION_DECODERS), default="mlbl_b")
    settings = {
        "model": model,
        "learning_rate": hp.Float(
            "learning_rate", 5e-4, 2e-2, sampling="log", default=4e-3
        ),
        "dropout": hp.Float("dropout", 0.0, 0.5, step=0.1, default=0.2),
        "image_units": hp.Choice("image_units", [64, 128, 256], default=256),
        "embedding_size": hp.Choice(
            "embedding_size", [25, 50, 100], default=50
        ),
    }
    with hp.conditional_scope("model", ["lbl", "mlbl_b", "mlbl_f"]):
        context = hp.Int("context", 2, 8, default=5)
    with hp.conditional_scope("model", ["mlbl_f"]):
        factors = hp.Choice("factors", [25, 50, 100], default=50)
    with hp.conditional_scope("model", ["lstm", "transformer"]):
        units = hp.Choice("units", [64, 128, 256], default=128)
    chosen = {"context": context, "factors": factors, "units": units}
    return settings | {n: v for n, v in chosen.items() if v is not None}
