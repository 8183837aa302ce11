"""Where modalities meet in a generator, and what it is to please."""

from keras_fusion.models import BRANCH_FUSIONS

OBJECTIVE = "min l1.ensemble"
START = {"epochs": 5}
JOINING = [fusion.name for fusion in BRANCH_FUSIONS.values() if fusion.joins]
# Blocks of the default encoder.
DEPTH = 5


def space(hp):
    rate = hp.Float("learning_rate", 1e-4, 2e-3, sampling="log", default=5e-4)
    adversarial = hp.Choice("adversarial", [0.0, 0.1, 1.0], default=1.0)
    fusion = hp.Choice("fusion", list(BRANCH_FUSIONS), default="exchange")
    with hp.conditional_scope("fusion", JOINING):
        # Early, middle or late: only the last of the blocks counts.
        last = hp.Int("joined_behind", 1, DEPTH, default=DEPTH)
    with hp.conditional_scope("fusion", with_argument("threshold")):
        threshold = hp.Float(
            "threshold", 1e-3, 0.2, sampling="log", default=0.01
        )
        # What a scale loses in a step: it decides how many channels die.
        shrinkage = hp.Float(
            "l1_times_rate", 5e-7, 1e-4, sampling="log", default=2.5e-5
        )
    with hp.conditional_scope("fusion", with_argument("gate_ratio")):
        ratio = hp.Choice("gate_ratio", [2, 4, 8, 16], default=16)
    with hp.conditional_scope("fusion", with_argument("alignment")):
        alignment = hp.Float("alignment", 1e-3, 10, sampling="log", default=0.1)
    return {
        "learning_rate": rate,
        "adversarial": adversarial,
        "fusion": fusion,
        "threshold": threshold,
        "gate_ratio": ratio,
        "alignment": alignment,
        "fusion_stages": None if last is None else tuple(range(1, last + 1)),
        "l1": None if shrinkage is None else shrinkage / rate,
    }


def with_argument(name):
    """The fusions in which an argument of the model has a meaning."""
    return [f.name for f in BRANCH_FUSIONS.values() if name in f.arguments]
