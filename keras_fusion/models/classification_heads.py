"""From the maps of a network's branches to scores of classes, by name.

Three kinds of heads stand over the same maps, a dict from a branch's name to
its map, `"main"` among them:

- An entry of `VECTOR_FUSIONS` fuses vectors: every map is lifted to one width
  and pooled, the vectors become one, and one classifier reads it.
- An entry of `SCORE_FUSIONS` gives every branch a classifier and fuses what
  they say.
- `"last"` and `"dsn"` classify the main branch alone; the latter has a
  companion classifier on every other map, in training.
"""

import keras
from keras import ops

from keras_fusion.layers import LocallyConnectedFusion

MAIN = "main"
LABEL = "label"
COMPANION = "companion_"
# Channels for each hidden unit of the gates.
GATE_RATIO = 4


class Head:
    """How a network ends: the settings that the functions below share."""

    def __init__(
        self,
        kind,
        num_classes,
        lift,
        dropout=0.0,
        start=None,
        use_bias=True,
        activation="relu",
        normalization=None,
        classifier_initializer="glorot_uniform",
    ):
        self.kind = kind
        self.num_classes = num_classes
        self.lift = lift
        self.dropout = dropout
        self.start = start
        self.use_bias = use_bias
        self.activation = activation
        self.normalization = normalization
        self.classifier_initializer = classifier_initializer

    def initializer(self, branches):
        start = 1 / branches if self.start is None else self.start
        return keras.initializers.Constant(start)

    def classify(self, features, name):
        dense = keras.layers.Dense(
            self.num_classes,
            # A copy: one without a seed would draw all classifiers alike.
            kernel_initializer=keras.initializers.serialize(
                keras.initializers.get(self.classifier_initializer)
            ),
            name=f"{name}_classifier",
        )
        return dense(features)

    def drop(self, features, name):
        if not self.dropout:
            return features
        return keras.layers.Dropout(
            self.dropout, name=f"{name}_vector_dropout"
        )(features)


def attach_head(maps, head):
    """Returns the outputs of a model: a dict of logits, `"label"` first.

    Args:
        maps: Dict from the name of a branch to its map, in the order in which
            branches are stacked.
        head: `Head`; its `lift` is a function from a map and its branch's
            name to a vector, of the same width for every branch.
    """
    kind = head.kind
    if kind in VECTOR_FUSIONS:
        vectors = [branch(x, name, head) for name, x in maps.items()]
        fused = normalize(VECTOR_FUSIONS[kind](vectors, head), head)
        logits = {LABEL: classify_vector(fused, head)}
    elif kind in SCORE_FUSIONS:
        logits = {LABEL: SCORE_FUSIONS[kind](maps, head)}
    else:
        vector = head.lift(maps[MAIN], MAIN)
        logits = {LABEL: classify_vector(vector, head)}
    if kind == "dsn":
        logits |= companions(maps, head)
    # Losses and softmax are computed in float32, whatever the precision.
    return {
        name: keras.layers.Activation("linear", dtype="float32", name=name)(x)
        for name, x in logits.items()
    }


def branch(maps, name, head):
    """A lifted branch under a name by which its vector can be found."""
    identity = keras.layers.Activation("linear", name=f"{name}_branch")
    return identity(head.lift(maps, name))


def classify_vector(vector, head):
    return head.classify(head.drop(vector, "fused"), LABEL)


def total(vectors, head):
    return keras.layers.Add(name="fusion")(vectors)


def mean(vectors, head):
    return keras.layers.Average(name="fusion")(vectors)


def maximum(vectors, head):
    return keras.layers.Maximum(name="fusion")(vectors)


def concatenation(vectors, head):
    return keras.layers.Concatenate(name="fusion")(vectors)


def locally_connected(vectors, head):
    fusion = LocallyConnectedFusion(
        activation=None if head.normalization else head.activation,
        use_bias=head.use_bias,
        kernel_initializer=head.initializer(len(vectors)),
        name="fusion",
    )
    return fusion(vectors)


def shared(vectors, head):
    """A 1x1 convolution over branches: one weight a branch."""
    convolution = keras.layers.Conv1D(
        1,
        1,
        activation=None if head.normalization else head.activation,
        use_bias=head.use_bias,
        kernel_initializer=head.initializer(len(vectors)),
        data_format="channels_last",
        name="fusion",
    )
    fused = convolution(ops.stack(vectors, axis=-1))
    return keras.layers.Flatten(name="fusion_flat")(fused)


def gated(vectors, head):
    """Weights that sum to 1 over branches, from what the branches hold.

    h = relu(W concatenate(g[1] .. g[S]) + b)
    fused[k] = sum over s of softmax over s of (V h + c)[s, k] * g[s][k]
    """
    branches, width = len(vectors), vectors[0].shape[-1]
    hidden = keras.layers.Dense(
        max(1, width // GATE_RATIO), activation="relu", name="fusion_squeeze"
    )(keras.layers.Concatenate(name="fusion_inputs")(vectors))
    scores = keras.layers.Dense(branches * width, name="fusion_scores")(hidden)
    scores = keras.layers.Reshape((branches, width))(scores)
    gates = keras.layers.Softmax(axis=1, name="fusion")(scores)
    return ops.sum(gates * ops.stack(vectors, axis=1), axis=1)


def normalize(fused, head):
    """Normalizes the fused vector over the batch, then rectifies it.

    `"vector"` is what the shipped network computes: one mean, variance, scale
    and shift for all features. `"channel"` has them for each feature.
    """
    if head.normalization is None:
        return fused
    norm = keras.layers.BatchNormalization(
        momentum=0.999, epsilon=1e-5, name="fusion_norm"
    )
    if head.normalization == "channel":
        return keras.layers.ReLU(name="fusion_relu")(norm(fused))
    width = fused.shape[-1]
    fused = norm(keras.layers.Reshape((width, 1))(fused))
    fused = keras.layers.Flatten(name="fused_flat")(fused)
    return keras.layers.ReLU(name="fusion_relu")(fused)


def unit_norm_scores(maps, head):
    """DAG-CNN: the sum of the scores of unit vectors, of unlifted maps."""
    vectors = {name: pool(x, name) for name, x in maps.items() if name != MAIN}
    vectors[MAIN] = head.lift(maps[MAIN], MAIN)
    scores = []
    for name, vector in vectors.items():
        norm = keras.layers.UnitNormalization(name=f"{name}_unit_norm")
        scores.append(head.classify(head.drop(norm(vector), name), name))
    return keras.layers.Add(name="fusion")(scores) if scores[1:] else scores[0]


def late_fusion(maps, head):
    """Early prediction, late fusion: a weight for each class and branch."""
    scores = []
    for name, x in maps.items():
        vector = head.drop(head.lift(x, name), name)
        scores.append(head.classify(vector, name))
    fusion = LocallyConnectedFusion(
        activation=None,
        use_bias=head.use_bias,
        kernel_initializer=head.initializer(len(scores)),
        name="fusion",
    )
    return fusion(scores)


def companions(maps, head):
    """A classifier on each flattened map of a side branch."""
    return {
        f"{COMPANION}{name}": companion(x, head, name)
        for name, x in maps.items()
        if name != MAIN
    }


def companion(maps, head, name):
    if None in maps.shape[1:]:
        raise ValueError(
            "A companion classifier reads a whole map and needs to know its "
            f"size. Received: {tuple(maps.shape[1:])} for {name}. Set "
            "`image_shape`, or take another head."
        )
    flat = keras.layers.Flatten(name=f"{name}_flat")(maps)
    return head.classify(flat, f"{COMPANION}{name}")


def pool(maps, name):
    return keras.layers.GlobalAveragePooling2D(name=f"{name}_pooled")(maps)


VECTOR_FUSIONS = {
    "sum": total,
    "mean": mean,
    "max": maximum,
    "shared": shared,
    "locally_connected": locally_connected,
    "gated": gated,
    "concat": concatenation,
}
SCORE_FUSIONS = {"dag": unit_norm_scores, "eplf": late_fusion}
HEADS = ("last", *VECTOR_FUSIONS, *SCORE_FUSIONS, "dsn")


def check_head(head, sides, available):
    """Raises ValueError for a head, or side branches, that cannot be."""
    if head not in HEADS:
        raise ValueError(
            f"`head` must be one of {', '.join(HEADS)}. Received: head={head}"
        )
    if len(set(sides)) < len(sides) or not set(sides) <= set(available):
        raise ValueError(
            "`sides` must be different ones of the poolings "
            f"{', '.join(map(str, available))}. Received: sides={sides}"
        )
    if head != "last" and not sides:
        raise ValueError(
            f'`head="{head}"` fuses branches and needs one or more `sides`, '
            f"of the poolings {', '.join(map(str, available))}. Received: "
            f"sides={sides}"
        )
