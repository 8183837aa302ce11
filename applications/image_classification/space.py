"""Which branches of a classifier meet, and how; where channels are gated."""

from keras_fusion.models import CLASSIFICATION_HEADS

OBJECTIVE = "max accuracy"
START = {"epochs": 10}


def space(hp):
    settings = {
        "learning_rate": hp.Float(
            "learning_rate", 5e-4, 1e-2, sampling="log", default=2e-3
        ),
        "dropout": hp.Float("dropout", 0.0, 0.4, step=0.1, default=0.1),
        "architecture": hp.Choice(
            "architecture", ["plain", "squeeze_excite_resnet"], default="plain"
        ),
    }
    with hp.conditional_scope("architecture", ["plain"]):
        settings["head"] = hp.Choice(
            "head",
            [h.name for h in CLASSIFICATION_HEADS.values() if h.needs_sides],
            default="locally_connected",
        )
        sides = hp.Choice("sides", ["1", "2", "1 2"], default="1 2")
    with hp.conditional_scope("architecture", ["squeeze_excite_resnet"]):
        settings["ratio"] = hp.Choice("ratio", [2, 4, 8, 16], default=16)
        gated = [hp.Boolean(f"gated_{n}", default=True) for n in range(1, 4)]
    if sides is not None:
        settings["sides"] = tuple(map(int, sides.split()))
    if gated[0] is not None:
        settings["gated_stages"] = tuple(
            n for n, used in enumerate(gated, start=1) if used
        )
        # Without side branches nothing else fits.
        settings["head"] = "last"
        if not settings["gated_stages"]:
            settings["ratio"] = 0
    return settings
