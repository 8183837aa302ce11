"""A trained exchange network at other thresholds than its own.

Which channels are exchanged is decided when the network runs, by its scales
and the threshold: neither depends on the other once the training is over.
"""

import reprlib
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure

from applications import files
from applications.runs import Run
from keras_fusion.callbacks import exchanged_shares
from keras_fusion.callbacks import find_exchanges
from keras_fusion.callbacks import find_layers
from keras_fusion.layers import ChannelExchange

# The one whose scores are known here.
TASK = "semantic_segmentation"
# More would tell nothing new: a network has fewer channels at stake.
MOST_THRESHOLDS = 1000


def sweep(
    run: Run,
    thresholds: str,
    split: str | None = None,
    data_dir: str | None = None,
) -> list[dict]:
    """Scores a run at every threshold; a table and a picture in the run."""
    values = values_of(thresholds)
    model = run.model()
    if not find_exchanges(model):
        raise ValueError(
            f"the model of {run.folder} exchanges no channels: it has no "
            "ChannelExchange layer with a threshold above 0; give a run of "
            "semantic_segmentation with --fusion exchange"
        )
    if run.task_name != TASK:
        raise ValueError(
            f"a sweep scores classes of pixels; expected a run of {TASK}, "
            f"received one of {run.task_name}; evaluate it instead"
        )
    layers = find_layers(model, ChannelExchange)
    data = run.data(data_dir)
    splits = (split,) if split else ("validation", "test")
    split, dataset = data.split(*splits)
    # Decoded once for all thresholds.
    batches = list(dataset)
    rows, scores = [], {}
    for threshold in values:
        for layer in layers:
            layer.threshold = threshold
        # The same channels give the same scores.
        channels = b"".join(layer.exchanged.tobytes() for layer in layers)
        if channels not in scores:
            scores[channels] = score(model, batches, data.config)
        rows.append({"threshold": threshold} | scores[channels])
    folder = run.folder / "sweep"
    files.write_csv(folder / f"threshold-{split}.csv", rows)
    draw(rows, data.config.threshold, folder / f"threshold-{split}.png")
    print(f"{table(rows)}\n\nwritten: {folder / f'threshold-{split}.csv'}")
    print(f"picture: {folder / f'threshold-{split}.png'}")
    return rows


def values_of(thresholds: str) -> list[float]:
    """A number, or LEAST:MOST:COUNT evenly spaced as logarithms."""
    parts = thresholds.split(":")
    try:
        ends = [float(part) for part in parts[:2]]
        count = int(parts[2]) if len(parts) == 3 else 1
    except ValueError:
        ends, count = [], 0
    right = len(parts) in (1, 3) and ends and 0 < ends[0] <= ends[-1] < np.inf
    if not right or not 1 <= count <= MOST_THRESHOLDS:
        raise ValueError(
            "threshold must be a positive number or LEAST:MOST:COUNT, such as "
            f"1e-4:1e-1:25, with COUNT from 1 to {MOST_THRESHOLDS}, received "
            f"{reprlib.repr(thresholds)}"
        )
    return np.geomspace(ends[0], ends[-1], count).tolist()


def score(model: keras.Model, batches: list, config) -> dict[str, float]:
    """The scores of all outputs and the shares exchanged, as one row."""
    # Not at the top: loads a task.
    from applications.semantic_segmentation.scores import score_outputs

    row = {
        f"mean_iou.{name}": value
        for name, value in score_outputs(model, batches, config)[
            "mean_iou"
        ].items()
    }
    shares = zip(config.modalities, exchanged_shares(model), strict=True)
    row |= {f"exchanged_share.{name}": float(share) for name, share in shares}
    return row


def table(rows: list[dict]) -> str:
    """A line a threshold; the best one is marked."""
    names = list(rows[0])[1:]
    best = max(row["mean_iou.ensemble"] for row in rows)
    width = max(map(len, names)) + 2
    lines = [f"{'threshold':>10}" + "".join(f"{n:>{width}}" for n in names)]
    for row in rows:
        mark = "  *" if row["mean_iou.ensemble"] == best else ""
        values = "".join(f"{row[name]:>{width}.4f}" for name in names)
        lines.append(f"{row['threshold']:>10.3g}{values}{mark}")
    return "\n".join(lines)


def draw(rows: list[dict], trained: float, file: Path) -> None:
    """Scores and exchanged shares over the threshold."""
    figure = Figure(figsize=(7, 6), layout="constrained")
    panels = figure.subplots(2, 1, sharex=True)
    x = [row["threshold"] for row in rows]
    for axes, kind, label in zip(
        panels,
        ("mean_iou.", "exchanged_share."),
        ("mean IoU", "exchanged share"),
        strict=True,
    ):
        for name in rows[0]:
            if name.startswith(kind):
                y = [row[name] for row in rows]
                axes.plot(x, y, marker=".", label=name.removeprefix(kind))
        axes.axvline(trained, color="gray", linestyle=":", label="as trained")
        axes.set_ylabel(label)
        axes.legend(fontsize="small")
    panels[0].set_xscale("log")
    panels[1].set_xlabel("threshold")
    with files.replacing(file) as temporary:
        figure.savefig(temporary, dpi=100)
