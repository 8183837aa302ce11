"""From the maps of a network's branches to scores of classes.

All heads stand over the same maps, a dict from a branch's name to its map,
`"main"` among them, and differ in where and how the branches are fused.
"""

import dataclasses
import functools
from collections.abc import Callable
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_fusion.layers import LocallyConnectedFusion
from keras_fusion.models import vector_fusion
from keras_fusion.models.argument_checks import check_choice
from keras_fusion.models.vector_fusion import FUSION
from keras_fusion.models.vector_fusion import HeadSettings
from keras_fusion.types import Tensor

MAIN = "main"
LABEL = "label"
COMPANION = "companion_"

Maps = dict[str, Tensor]
FuseVectors = Callable[[list[Tensor], HeadSettings], Tensor]


@dataclasses.dataclass(frozen=True)
class ClassificationHead:
    """One of the ways in which a network of branches ends in classes.

    `keras_fusion.models.CLASSIFICATION_HEADS` holds them all by name.

    Attributes:
        name: What `convolutional_fusion_network` and `lenet` take as `head`.
        description: What happens, in one line.
        added_weights: Formula of the weights that it has more than `"last"`,
            with S branches of width K and C classes. Those of the 1x1 or
            larger convolutions that lift side branches come on top, except
            for `"dag"` and `"dsn"`, which read unlifted maps.
        classify: Function from the maps of the branches, a dict, and
            `HeadSettings` to the logits of `"label"`.
        fuses: Boolean, whether side branches count in these logits.
        fuses_scores: Boolean, whether each branch is classified, and what is
            fused are scores in place of vectors.
        weighs: Boolean, whether what is fused is a sum of the branches, with
            a weight for each channel of each.
        supervises: Boolean, whether side branches have companion classifiers
            in training.
        branch_weights: For a head that weighs, function from its layer
            `"fusion"` and `(channels, branches)` to the array of weights of
            that shape; `None` if the weights differ from example to example
            and are the layer's output, `(batch, branches, channels)`.

    Example:

    >>> heads = keras_fusion.models.CLASSIFICATION_HEADS
    >>> for head in heads.values():
    ...     print(f"{head.name}: {head.description}")
    last: the main branch alone is classified
    sum: vectors are added
    mean: vectors are averaged
    max: the largest value of each channel is taken
    shared: vectors are added with a weight for each branch
    locally_connected: vectors are added with a weight for each channel of each
    gated: vectors are added with weights from what all branches hold
    concat: vectors are concatenated for a wider classifier
    dag: scores of unlifted maps of unit norm are added
    eplf: scores are added with a weight for each class and branch
    dsn: as last; in training, companions classify the side branches
    >>> for head in heads.values():
    ...     print(f"{head.name}: {head.added_weights}")
    last: 0
    sum: 0
    mean: 0
    max: 0
    shared: S + 1
    locally_connected: K (S + 1)
    gated: (S K + 1) K / 4 + (K / 4 + 1) S K
    concat: (S - 1) K C
    dag: (channels + 1) C a side
    eplf: (S - 1) (K + 1) C + C (S + 1)
    dsn: (pixels channels + 1) C a side
    """

    name: str
    description: str
    added_weights: str
    classify: Callable[[Maps, HeadSettings], Tensor]
    fuses: bool = True
    fuses_scores: bool = False
    weighs: bool = False
    supervises: bool = False
    branch_weights: (
        Callable[[keras.layers.Layer, tuple[int, int]], np.ndarray] | None
    ) = None

    @property
    def needs_sides(self) -> bool:
        """Whether it needs one or more side branches."""
        return self.fuses or self.supervises


def attach_head(
    head: str, maps: Maps, settings: HeadSettings
) -> dict[str, Tensor]:
    """Returns the outputs of a model: a dict of logits, `"label"` first.

    Args:
        head: Name of the head.
        maps: Dict from the name of a branch to its map, in the order in which
            branches are stacked.
        settings: `HeadSettings`.
    """
    record = CLASSIFICATION_HEADS[head]
    logits = {LABEL: record.classify(maps, settings)}
    if record.supervises:
        logits |= companions(maps, settings)
    # Losses and softmax are computed in float32, whatever the precision.
    return {
        name: keras.layers.Activation("linear", dtype="float32", name=name)(x)
        for name, x in logits.items()
    }


def check_head(
    head: str, sides: Sequence[int], available: Sequence[int]
) -> None:
    """Raises ValueError for an unknown head, or sides that do not fit it."""
    check_choice("head", head, CLASSIFICATION_HEADS)
    poolings = ", ".join(map(str, available))
    if len(set(sides)) < len(sides) or not set(sides) <= set(available):
        raise ValueError(
            f"`sides` must be different ones of the poolings {poolings}. "
            f"Received: sides={sides}"
        )
    if CLASSIFICATION_HEADS[head].needs_sides and not sides:
        raise ValueError(
            f"`sides` must be one or more of the poolings {poolings}, as "
            f'`head="{head}"` needs side branches. Received: sides={sides}'
        )


def classify_main(maps: Maps, settings: HeadSettings) -> Tensor:
    return classify_vector(settings.lift(maps[MAIN], MAIN), settings)


def classify_fused(
    fuse: FuseVectors, maps: Maps, settings: HeadSettings
) -> Tensor:
    vectors = [lifted(x, name, settings) for name, x in maps.items()]
    fused = vector_fusion.normalize(fuse(vectors, settings), settings)
    return classify_vector(fused, settings)


def lifted(maps: Tensor, name: str, settings: HeadSettings) -> Tensor:
    """A lifted branch, with a layer whose name tells which one it is."""
    identity = keras.layers.Activation("linear", name=f"{name}_branch")
    return identity(settings.lift(maps, name))


def classify_vector(vector: Tensor, settings: HeadSettings) -> Tensor:
    return classify(drop(vector, "fused", settings), LABEL, settings)


def unit_norm_scores(maps: Maps, settings: HeadSettings) -> Tensor:
    """DAG-CNN: the sum of the scores of unit vectors, of unlifted maps."""
    vectors = {name: pool(x, name) for name, x in maps.items() if name != MAIN}
    vectors[MAIN] = settings.lift(maps[MAIN], MAIN)
    scores = []
    for name, vector in vectors.items():
        norm = keras.layers.UnitNormalization(name=f"{name}_unit_norm")
        dropped = drop(norm(vector), name, settings)
        scores.append(classify(dropped, name, settings))
    return keras.layers.Add(name=FUSION)(scores) if scores[1:] else scores[0]


def late_fusion(maps: Maps, settings: HeadSettings) -> Tensor:
    """Early prediction, late fusion: a weight for each class and branch."""
    scores = []
    for name, x in maps.items():
        vector = drop(settings.lift(x, name), name, settings)
        scores.append(classify(vector, name, settings))
    fusion = LocallyConnectedFusion(
        activation=None,
        use_bias=settings.use_bias,
        kernel_initializer=settings.fusion_initializer(len(scores)),
        name=FUSION,
    )
    return fusion(scores)


def companions(maps: Maps, settings: HeadSettings) -> dict[str, Tensor]:
    """A classifier on each flattened map of a side branch."""
    return {
        f"{COMPANION}{name}": companion(x, name, settings)
        for name, x in maps.items()
        if name != MAIN
    }


def companion(maps: Tensor, name: str, settings: HeadSettings) -> Tensor:
    if None in maps.shape[1:]:
        raise ValueError(
            "`image_shape` must have a known height and width, as companion "
            "classifiers read whole maps; or take another `head`. Received "
            f"maps of shape {tuple(maps.shape[1:])} for {name}"
        )
    flat = keras.layers.Flatten(name=f"{name}_flat")(maps)
    return classify(flat, f"{COMPANION}{name}", settings)


def classify(features: Tensor, name: str, settings: HeadSettings) -> Tensor:
    dense = keras.layers.Dense(
        settings.num_classes,
        # A copy: one without a seed would draw all classifiers alike.
        kernel_initializer=keras.initializers.serialize(
            keras.initializers.get(settings.classifier_initializer)
        ),
        name=f"{name}_classifier",
    )
    return dense(features)


def drop(features: Tensor, name: str, settings: HeadSettings) -> Tensor:
    if not settings.dropout:
        return features
    layer = keras.layers.Dropout(
        settings.dropout, name=f"{name}_vector_dropout"
    )
    return layer(features)


def pool(maps: Tensor, name: str) -> Tensor:
    return keras.layers.GlobalAveragePooling2D(name=f"{name}_pooled")(maps)


def weights_of_sum(
    layer: keras.layers.Layer, shape: tuple[int, int]
) -> np.ndarray:
    return np.ones(shape)


def weights_of_mean(
    layer: keras.layers.Layer, shape: tuple[int, int]
) -> np.ndarray:
    return np.full(shape, 1 / shape[1])


def weights_of_kernel(
    layer: keras.layers.Layer, shape: tuple[int, int]
) -> np.ndarray:
    """A kernel `(channels, branches)`, or one row shared by all channels."""
    kernel = ops.convert_to_numpy(layer.kernel)
    return np.broadcast_to(kernel.reshape(-1, shape[1]), shape)


def vectors_by(fuse: FuseVectors) -> Callable[[Maps, HeadSettings], Tensor]:
    return functools.partial(classify_fused, fuse)


CLASSIFICATION_HEADS: dict[str, ClassificationHead] = {
    head.name: head
    for head in (
        ClassificationHead(
            "last",
            "the main branch alone is classified",
            "0",
            classify_main,
            fuses=False,
        ),
        ClassificationHead(
            "sum",
            "vectors are added",
            "0",
            vectors_by(vector_fusion.total),
            weighs=True,
            branch_weights=weights_of_sum,
        ),
        ClassificationHead(
            "mean",
            "vectors are averaged",
            "0",
            vectors_by(vector_fusion.mean),
            weighs=True,
            branch_weights=weights_of_mean,
        ),
        ClassificationHead(
            "max",
            "the largest value of each channel is taken",
            "0",
            vectors_by(vector_fusion.maximum),
        ),
        ClassificationHead(
            "shared",
            "vectors are added with a weight for each branch",
            "S + 1",
            vectors_by(vector_fusion.shared),
            weighs=True,
            branch_weights=weights_of_kernel,
        ),
        ClassificationHead(
            "locally_connected",
            "vectors are added with a weight for each channel of each",
            "K (S + 1)",
            vectors_by(vector_fusion.locally_connected),
            weighs=True,
            branch_weights=weights_of_kernel,
        ),
        ClassificationHead(
            "gated",
            "vectors are added with weights from what all branches hold",
            "(S K + 1) K / 4 + (K / 4 + 1) S K",
            vectors_by(vector_fusion.gated),
            weighs=True,
        ),
        ClassificationHead(
            "concat",
            "vectors are concatenated for a wider classifier",
            "(S - 1) K C",
            vectors_by(vector_fusion.concatenation),
        ),
        ClassificationHead(
            "dag",
            "scores of unlifted maps of unit norm are added",
            "(channels + 1) C a side",
            unit_norm_scores,
            fuses_scores=True,
        ),
        ClassificationHead(
            "eplf",
            "scores are added with a weight for each class and branch",
            "(S - 1) (K + 1) C + C (S + 1)",
            late_fusion,
            fuses_scores=True,
            weighs=True,
            branch_weights=weights_of_kernel,
        ),
        ClassificationHead(
            "dsn",
            "as last; in training, companions classify the side branches",
            "(pixels channels + 1) C a side",
            classify_main,
            fuses=False,
            supervises=True,
        ),
    )
}
