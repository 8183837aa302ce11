"""What a search changes."""

OBJECTIVE = "max balanced_accuracy"
START = {"epochs": 2}


def space(hp):
    return {
        "units": hp.Choice("units", [4, 16]),
        "dropout": hp.Float("dropout", 0.0, 0.5, step=0.25),
    }
