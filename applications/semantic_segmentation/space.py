"""Where and how strongly modalities meet in a segmentation network."""

from keras_fusion.models import BRANCH_FUSIONS

OBJECTIVE = "max mean_iou.ensemble"
START = {"epochs": 4}
JOINING = [fusion.name for fusion in BRANCH_FUSIONS.values() if fusion.joins]


def space(hp):
    rate = hp.Float("learning_rate", 3e-4, 3e-3, sampling="log", default=1e-3)
    fusion = hp.Choice("fusion", list(BRANCH_FUSIONS), default="exchange")
    apart = [f for f in with_argument("fusion_stages") if f not in JOINING]
    with hp.conditional_scope("fusion", apart):
        stages = [hp.Boolean(f"stage_{n}", default=True) for n in range(1, 5)]
    with hp.conditional_scope("fusion", JOINING):
        # Early, middle or late: only the last of the stages counts.
        last = hp.Int("joined_behind", 1, 4, default=4)
    with hp.conditional_scope("fusion", with_argument("threshold")):
        threshold = hp.Float(
            "threshold", 1e-3, 0.2, sampling="log", default=0.02
        )
        # What a scale loses in a step: it decides how many channels die.
        shrinkage = hp.Float(
            "l1_times_rate", 4e-8, 4e-6, sampling="log", default=4e-7
        )
    with hp.conditional_scope("fusion", with_argument("gate_ratio")):
        ratio = hp.Choice("gate_ratio", [2, 4, 8, 16], default=16)
    with hp.conditional_scope("fusion", with_argument("alignment")):
        alignment = hp.Float("alignment", 1e-3, 10, sampling="log", default=0.1)
    chosen = tuple(n for n, used in enumerate(stages, start=1) if used)
    if stages[0] is None:
        chosen = None if last is None else tuple(range(1, last + 1))
    return {
        "learning_rate": rate,
        "fusion": fusion,
        "fusion_stages": chosen,
        "threshold": threshold,
        "gate_ratio": ratio,
        "alignment": alignment,
        "l1": None if shrinkage is None else shrinkage / rate,
    }


def with_argument(name):
    """The fusions in which an argument of the model has a meaning."""
    return [f.name for f in BRANCH_FUSIONS.values() if name in f.arguments]
