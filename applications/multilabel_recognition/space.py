"""How categories look at the map, and how their errors count."""

from keras_fusion.models import CATEGORY_POOLINGS

OBJECTIVE = "max mean_average_precision"
START = {"epochs": 10}


def space(hp):
    settings = {
        "learning_rate": hp.Float(
            "learning_rate", 5e-4, 8e-3, sampling="log", default=2e-3
        ),
        "pooling": hp.Choice(
            "pooling", list(CATEGORY_POOLINGS), default="semantic_attention"
        ),
        "rank": hp.Choice("rank", [16, 32, 64, 128], default=64),
        "dropout": hp.Float("dropout", 0.0, 0.5, step=0.1, default=0.1),
        "loss": hp.Choice(
            "loss", ["binary", "focal", "asymmetric"], default="binary"
        ),
    }
    own = [p.name for p in CATEGORY_POOLINGS.values() if p.per_category]
    with hp.conditional_scope("pooling", own):
        settings["graph_steps"] = hp.Choice("graph_steps", [0, 1, 3], default=3)
    with hp.conditional_scope("loss", ["asymmetric"]):
        settings["positive_gamma"] = hp.Choice(
            "positive_gamma", [0.0, 1.0], default=1.0
        )
        settings["clip"] = hp.Choice("clip", [0.0, 0.05], default=0.05)
    return settings
