"""From the vectors of a network's branches to one, each way a function."""

import dataclasses
from collections.abc import Callable

import keras
from keras import ops

from keras_fusion.layers import LocallyConnectedFusion
from keras_fusion.types import Tensor

# Name of the layer that fuses.
FUSION = "fusion"
# Channels for each hidden unit of the gates.
GATE_RATIO = 4


@dataclasses.dataclass(frozen=True)
class HeadSettings:
    """What a network decides about its head, whichever it is.

    Attributes:
        num_classes: Number of classes.
        lift: Function from a branch's map and name to a vector, of the same
            width for every branch.
        dropout: Share dropped before a classifier.
        start: Float at which the fusion's weights start; `None` is one over
            the number of branches.
        use_bias: Whether the fusion has a bias.
        activation: Activation of the fusion.
        normalization: `None`, `"vector"` or `"channel"`, see `normalize`.
        classifier_initializer: Initializer of the classifiers.
    """

    num_classes: int
    lift: Callable[[Tensor, str], Tensor]
    dropout: float = 0.0
    start: float | None = None
    use_bias: bool = True
    activation: str | Callable[[Tensor], Tensor] | None = "relu"
    normalization: str | None = None
    classifier_initializer: str | keras.initializers.Initializer = (
        "glorot_uniform"
    )

    def fusion_initializer(
        self, num_branches: int
    ) -> keras.initializers.Initializer:
        start = 1 / num_branches if self.start is None else self.start
        return keras.initializers.Constant(start)

    @property
    def fusion_activation(
        self,
    ) -> str | Callable[[Tensor], Tensor] | None:
        """None where normalization comes between fusion and activation."""
        return None if self.normalization else self.activation


def total(vectors: list[Tensor], settings: HeadSettings) -> Tensor:
    return keras.layers.Add(name=FUSION)(vectors)


def mean(vectors: list[Tensor], settings: HeadSettings) -> Tensor:
    return keras.layers.Average(name=FUSION)(vectors)


def maximum(vectors: list[Tensor], settings: HeadSettings) -> Tensor:
    return keras.layers.Maximum(name=FUSION)(vectors)


def concatenation(vectors: list[Tensor], settings: HeadSettings) -> Tensor:
    return keras.layers.Concatenate(name=FUSION)(vectors)


def locally_connected(vectors: list[Tensor], settings: HeadSettings) -> Tensor:
    fusion = LocallyConnectedFusion(
        activation=settings.fusion_activation,
        use_bias=settings.use_bias,
        kernel_initializer=settings.fusion_initializer(len(vectors)),
        name=FUSION,
    )
    return fusion(vectors)


def shared(vectors: list[Tensor], settings: HeadSettings) -> Tensor:
    """A 1x1 convolution over branches: one weight a branch."""
    convolution = keras.layers.Conv1D(
        1,
        1,
        activation=settings.fusion_activation,
        use_bias=settings.use_bias,
        kernel_initializer=settings.fusion_initializer(len(vectors)),
        data_format="channels_last",
        name=FUSION,
    )
    fused = convolution(ops.stack(vectors, axis=-1))
    return keras.layers.Flatten(name="fusion_flat")(fused)


def gated(vectors: list[Tensor], settings: HeadSettings) -> Tensor:
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
    gates = keras.layers.Softmax(axis=1, name=FUSION)(scores)
    return ops.sum(gates * ops.stack(vectors, axis=1), axis=1)


def normalize(fused: Tensor, settings: HeadSettings) -> Tensor:
    """Normalizes the fused vector over the batch, then rectifies it.

    `"vector"` is what the shipped network computes: one mean, variance, scale
    and shift for all features. `"channel"` has them for each feature.
    """
    if settings.normalization is None:
        return fused
    norm = keras.layers.BatchNormalization(
        momentum=0.999, epsilon=1e-5, name="fusion_norm"
    )
    if settings.normalization == "channel":
        return keras.layers.ReLU(name="fusion_relu")(norm(fused))
    width = fused.shape[-1]
    fused = norm(keras.layers.Reshape((width, 1))(fused))
    fused = keras.layers.Flatten(name="fused_flat")(fused)
    return keras.layers.ReLU(name="fusion_relu")(fused)
