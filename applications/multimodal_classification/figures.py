"""Both graphs and the confusion of classes, drawn."""

from collections.abc import Sequence

import numpy as np
import sklearn.manifold
import threadpoolctl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from applications.multimodal_classification.graphs import NEIGHBORS
from applications.multimodal_classification.graphs import homophily
from applications.multimodal_classification.graphs import neighbors
from applications.multimodal_classification.sources import UNLABELLED

# Of each row, so many of its nearest are joined to it.
EDGES = 3
# More points hide each other.
MOST_POINTS = 500
# Rows and columns of a table of numbers that can be read.
MOST_NUMBERS = 12
LONGEST_NAME = 24
SAME, OTHER, UNKNOWN = "#bbbbbb", "#cc3311", "#777777"


def modality_graph(
    graph: Sequence[Sequence[float]], names: Sequence[str]
) -> np.ndarray:
    """A heat map: a row for each rebuilt modality, a column for each source.

    Returns:
        uint8 array (height, width, 3), as of the other functions here.
    """
    return _heat_map(
        np.asarray(graph), names, "depends on", "rebuilt", "{:.2f}"
    )


def confusion(
    counts: Sequence[Sequence[int]], names: Sequence[str]
) -> np.ndarray:
    """The rows of each class, by what was said of them."""
    return _heat_map(np.asarray(counts), names, "predicted", "true", "{:.0f}")


def _heat_map(
    values: np.ndarray,
    names: Sequence[str],
    across: str,
    down: str,
    form: str,
) -> np.ndarray:
    size = 2.5 + 0.5 * min(len(names), 40)
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(values, cmap="Blues", vmin=0)
    figure.colorbar(shown, shrink=0.8)
    short = [name[:LONGEST_NAME] for name in names]
    axes.set_xticks(range(len(names)), short, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), short)
    axes.set_xlabel(across)
    axes.set_ylabel(down)
    if len(names) <= MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(values):
            dark = value > values.max() / 2
            axes.text(
                column,
                row,
                form.format(value),
                ha="center",
                va="center",
                color="white" if dark else "black",
                fontsize="small",
            )
    return _pixels(figure)


def sample_graph(
    fused: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> np.ndarray:
    """Up to 500 rows as points, each joined to its nearest three.

    The edges are those of the fused space; where the points lie is t-SNE's
    choice. Edges between classes are red. Rows with several classes are gray.
    """
    fused = fused[:MOST_POINTS]
    single = labels.ndim == 1
    labels = labels[:MOST_POINTS] if single else np.full(len(fused), UNLABELLED)
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    if len(fused) <= NEIGHBORS:
        axes.set_title(f"{len(fused)} rows are too few for a graph")
        return _pixels(figure)
    places = _layout(fused)
    edges = [
        (row, near)
        for row, nearest in enumerate(neighbors(fused)[:, :EDGES])
        for near in nearest
    ]
    colors = [OTHER if labels[a] != labels[b] else SAME for a, b in edges]
    axes.add_collection(
        LineCollection(
            [places[[a, b]] for a, b in edges],
            colors=colors,
            linewidths=[1.5 if color == OTHER else 0.6 for color in colors],
            zorder=1,
        )
    )
    _points(figure, axes, places, labels, classes)
    share = homophily(fused, labels)
    title = f"{len(fused)} rows, each with its nearest {EDGES}"
    if share is not None:
        title += f"; of {NEIGHBORS}, {100 * share:.0f} % share its class"
    axes.set_title(title)
    return _pixels(figure)


def _layout(fused: np.ndarray) -> np.ndarray:
    """Points (rows, 2), the same ones at every call."""
    # Principal components, small, as t-SNE likes to start.
    places, sizes, _ = np.linalg.svd(
        fused - fused.mean(axis=0), full_matrices=False
    )
    start = np.zeros((len(fused), 2))
    axes = min(2, len(sizes))
    start[:, :axes] = places[:, :axes] * sizes[:axes]
    start *= 1e-4 / max(float(start[:, 0].std()), 1e-12)
    search = sklearn.manifold.TSNE(
        perplexity=min(30, (len(fused) - 1) / 3),
        init=start.astype("float32"),
        metric="cosine",
        random_state=0,
    )
    # Its threads wait for each other longer than so few rows take.
    with threadpoolctl.threadpool_limits(1):
        return search.fit_transform(fused)


def _points(figure, axes, places, labels, classes) -> None:
    present = [n for n in range(len(classes)) if np.any(labels == n)]
    unknown = labels == UNLABELLED
    axes.scatter(*places[unknown].T, s=14, color=UNKNOWN, zorder=2)
    axes.autoscale_view()
    many = len(present) > MOST_NUMBERS
    for rank, label in enumerate(present):
        axes.scatter(
            *places[labels == label].T,
            s=14,
            color=f"C{rank % 10}",
            marker="o^sDv"[rank // 10 % 5],
            label=classes[label][:LONGEST_NAME],
            zorder=2,
        )
    if present and not many:
        figure.legend(loc="outside right upper", fontsize="small")


def _pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
