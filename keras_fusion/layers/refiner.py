import copy
import math
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import Self

import keras
import numpy as np
from keras import ops

from keras_fusion.layers.argument_validation import check_built
from keras_fusion.layers.argument_validation import check_modalities
from keras_fusion.layers.argument_validation import check_presence
from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.built_dense import built_dense
from keras_fusion.layers.modality_layer import ModalityLayer
from keras_fusion.losses import RefinerCosineLoss
from keras_fusion.replicas import mean_over_replicas
from keras_fusion.types import Activation
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class Refiner(ModalityLayer):
    """Makes a fusion answer for every modality that went into it.

    Around any fusion layer `f`, one small decoder for each modality, its
    defuser `D[m]`, rebuilds that modality from the fused vector alone:

        z = f(inputs)
        loss = sum over m of w[m] * mean over samples of
               loss(targets[m], D[m](z))

    The output is `z`, exactly as the fusion made it; the loss is added to the
    model's. So the fused vector cannot forget a modality, and as no label is
    needed, unlabeled data can train it alone.

    By default the targets are the inputs themselves, without gradient: with
    `stop_gradient=False` trainable encoders can lower the loss by making their
    outputs poorer. Raw data as `targets` rule that out. Of a modality that a
    sample lacks, `presence` drops the loss, and the mean is over the samples
    that have it. The fusion still gets what stands in `inputs`.

    A defuser is a stack of dense layers: `hidden_units` with `activation`,
    then a linear layer as wide as its target. With one linear layer each, k
    fused features and d[m] features of target m the defusers have
    `(k + 1) * sum of d[m]` trainable weights, besides those of the fusion.

    Other defusers are `decoders`: a layer or model for each modality, or one
    for all. So the two that are published, d[m] features wide and with h
    hidden units, are

        [keras.Sequential([Dense(d[m], "relu"), LayerNormalization(),
                           Dropout(0.1)]) for each m]
        keras.Sequential([Dense(h, "relu"), Dense(sum of d[m])])

    with `(k + 3) * sum of d[m]` and `(k + 1) * h + (h + 1) * sum of d[m]`
    weights; the latter's targets are raw data.

    Args:
        fusion: A layer, or model, from a list of N tensors to one vector a
            sample. It keeps its own dtype policy.
        hidden_units: Sequence of integers, widths of the defusers' hidden
            layers. Defaults to `()`.
        activation: Activation of the hidden layers. Defaults to `"relu"`.
        loss: A `keras.losses.Loss`, a function or a name; it has to give one
            value for each sample. None is `RefinerCosineLoss`. Defaults to
            `None`.
        loss_weights: Float, `w` of every modality, or a sequence of N floats.
            Defaults to `0.1`.
        stop_gradient: Boolean. Whether to keep the gradient of the loss from
            reaching the targets. Defaults to `True`.
        decoders: Sequence of N layers from the fused vector to a vector as
            wide as the target, or one layer to all targets side by side. They
            keep their own dtype policies. There are no `hidden_units` then.
            Defaults to `None`.

    Call arguments:
        inputs: List of N >= 2 tensors.
        presence: Optional mask of shape `(batch, N)`, 1 where a sample has
            the modality.
        targets: Optional list of N tensors to rebuild instead of the inputs,
            such as raw data. Axes behind the batch are flattened.

    Input shape:
        For each modality `(batch, ...)`, as the fusion takes it.

    Output shape:
        `(batch, k)`, as the fusion gives it.

    Raises:
        ValueError: If the inputs are not a list of two or more tensors, if the
            fusion does not give one vector for each sample, if presence,
            targets, `decoders` or `loss_weights` do not have one item for each
            modality, if a decoder is not as wide as what it rebuilds or is
            beside `hidden_units`, or if the loss gives anything but one value
            for each sample.

    Example:

    >>> inputs = [keras.Input((6,)), keras.Input((4,))]
    >>> fused = keras.layers.Dense(5)(keras.layers.Concatenate()(inputs))
    >>> layer = keras_fusion.layers.Refiner(keras.Model(inputs, fused))
    >>> x = [keras.ops.ones((2, 6)), keras.ops.ones((2, 4))]
    >>> tuple(layer(x).shape), len(layer.losses)
    ((2, 5), 1)
    >>> [tuple(u.shape) for u in layer.defuse(layer(x))]
    [(2, 6), (2, 4)]

    Reference:

    - [Sankaran et al., 2021](https://arxiv.org/abs/2104.03435). Loss weights
      and the kinds of loss are those of the first author's released code. The
      paper proves a graph that refining induces; `modality_graph` is our own
      reading of it.
    - [Liang et al., 2021](https://arxiv.org/abs/2107.07502), in whose code one
      decoder rebuilds all modalities.
    """

    def __init__(
        self,
        fusion: keras.layers.Layer,
        hidden_units: Sequence[int] = (),
        activation: Activation = "relu",
        loss: str | Callable[..., Tensor] | None = None,
        loss_weights: float | Sequence[float] = 0.1,
        stop_gradient: bool = True,
        decoders: keras.layers.Layer
        | Sequence[keras.layers.Layer]
        | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fusion = fusion
        for n, units in enumerate(hidden_units):
            check_sizes(**{f"hidden_units[{n}]": units})
        self.hidden_units = tuple(map(int, hidden_units))
        self.activation = keras.activations.get(activation)
        self.loss = (
            RefinerCosineLoss() if loss is None else keras.losses.get(loss)
        )
        self.loss_weights = (
            loss_weights
            if isinstance(loss_weights, int | float)
            else tuple(loss_weights)
        )
        self.stop_gradient = stop_gradient
        if decoders is not None and self.hidden_units:
            raise ValueError(
                "`hidden_units` must be empty with `decoders`, which bring "
                "their own layers. "
                f"Received: hidden_units={self.hidden_units}"
            )
        self.decoders: Any = decoders
        if isinstance(decoders, list | tuple):
            self.decoders = list(decoders)

    def build(
        self,
        inputs_shape: list[Shape],
        presence_shape: Shape | None = None,
        targets_shape: list[Shape] | None = None,
    ) -> None:
        check_modalities(self, inputs_shape)
        if presence_shape is not None:
            check_presence(self, presence_shape, len(inputs_shape))
        if not self.fusion.built:
            self.fusion.build(inputs_shape)
        fused_shape = self.compute_output_shape(inputs_shape)
        if len(fused_shape) != 2:
            raise ValueError(
                f"`fusion` of {self.name} must give one vector for each "
                f"sample, of shape (batch, units). Received: {fused_shape}. "
                "Pool positions away before or in the fusion."
            )
        targets_shape = targets_shape or inputs_shape
        self._check_count("targets", targets_shape, inputs_shape)
        if isinstance(self.loss_weights, tuple):
            self._check_count("loss_weights", self.loss_weights, inputs_shape)
        self._features = [self._width_of(shape) for shape in targets_shape]
        self.defusers: list[keras.layers.Dense] = []
        if self.decoders is None:
            for m, features in enumerate(self._features):
                self._add_defuser(m, fused_shape[-1], features)
        else:
            self._build_decoders((None, fused_shape[-1]))
        self.remember_modalities(inputs_shape)

    def _width_of(self, target_shape: Shape) -> int:
        if None in target_shape[1:]:
            raise ValueError(
                f"`targets` of {self.name} must have known sizes, as all of "
                f"their features are rebuilt. Received: {tuple(target_shape)}. "
                "Set them in `keras.Input`, or pass `targets` that have them, "
                "such as means over positions."
            )
        return math.prod(target_shape[1:])

    def _check_count(
        self, name: str, values: Sequence[Any], modalities: Sequence[Any]
    ) -> None:
        if len(values) != len(modalities):
            raise ValueError(
                f"`{name}` of {self.name} must hold one item for each of "
                f"{len(modalities)} modalities. Received: {name}={values}"
            )

    def _add_defuser(self, modality: int, width: int, features: int) -> None:
        for depth, units in enumerate((*self.hidden_units, features)):
            last = depth == len(self.hidden_units)
            dense = built_dense(
                self,
                f"defuser_{modality}_{depth}",
                units,
                width,
                activation=None if last else self.activation,
            )
            width = units
            self.defusers.append(dense)

    def _build_decoders(self, fused_shape: Shape) -> None:
        decoders, features = [self.decoders], [sum(self._features)]
        if isinstance(self.decoders, list):
            self._check_count("decoders", self.decoders, self._features)
            decoders, features = self.decoders, self._features
        for decoder, width in zip(decoders, features, strict=True):
            if not decoder.built:
                decoder.build(fused_shape)
            shape = tuple(decoder.compute_output_shape(fused_shape))
            if shape != (None, width):
                raise ValueError(
                    f"`decoders` of {self.name} must give the {width} "
                    "features of what they rebuild. Received: decoder "
                    f"{decoder.name} with outputs of shape {shape}"
                )

    def call(
        self,
        inputs: list[Tensor],
        presence: Tensor | None = None,
        targets: list[Tensor] | None = None,
    ) -> Tensor:
        fused = ops.cast(self.fusion(inputs), self.compute_dtype)
        targets = inputs if targets is None else targets
        self.add_loss(self._total_loss(fused, targets, presence))
        return fused

    def defuse(self, fused: Tensor) -> list[Tensor]:
        """List of N reconstructions `(batch, features)` from fused vectors."""
        check_built(self, "defuse")
        if isinstance(self.decoders, list):
            return [decoder(fused) for decoder in self.decoders]
        if self.decoders is not None:
            ends = np.cumsum(self._features)[:-1].tolist()
            return ops.split(self.decoders(fused), ends, axis=-1)
        depth = len(self.hidden_units) + 1
        reconstructions = []
        for first in range(0, len(self.defusers), depth):
            x = fused
            for dense in self.defusers[first : first + depth]:
                x = dense(x)
            reconstructions.append(x)
        return reconstructions

    def _total_loss(
        self, fused: Tensor, targets: list[Tensor], presence: Tensor | None
    ) -> Tensor:
        weights = self.loss_weights
        if not isinstance(weights, tuple):
            weights = (weights,) * len(targets)
        presence = None if presence is None else ops.cast(presence, "bool")
        terms = [
            weights[m]
            * self._mean_loss(
                targets[m],
                reconstruction,
                None if presence is None else presence[:, m],
            )
            for m, reconstruction in enumerate(self.defuse(fused))
        ]
        return sum(terms[1:], start=terms[0])

    def _mean_loss(
        self, target: Tensor, reconstruction: Tensor, present: Tensor | None
    ) -> Tensor:
        if self.stop_gradient:
            target = ops.stop_gradient(target)
        features = math.prod(target.shape[1:])
        if features != reconstruction.shape[-1]:
            raise ValueError(
                f"`targets` of {self.name} must have the "
                f"{reconstruction.shape[-1]} features that the layer was built "
                f"to rebuild. Received: target_shape={tuple(target.shape)}. "
                "Call it with the same kind of `targets` every time."
            )
        target = ops.cast(target, "float32")
        target = ops.reshape(target, (-1, features))
        reconstruction = ops.cast(reconstruction, "float32")
        if present is None:
            return mean(self._values(target, reconstruction))
        target = ops.where(present[:, None], target, 0.0)
        values = self._values(target, reconstruction)
        share = mean_over_replicas(ops.cast(present, "float32"), [0])[0]
        return ops.divide_no_nan(mean(ops.where(present, values, 0.0)), share)

    def _values(self, target: Tensor, reconstruction: Tensor) -> Tensor:
        is_object = isinstance(self.loss, keras.losses.Loss)
        loss = self.loss.call if is_object else self.loss
        values = loss(target, reconstruction)
        if values.ndim != 1:
            raise ValueError(
                f"`loss` of {self.name} must give one value for each sample. "
                f"Received: loss={self.loss} with values of shape "
                f"{tuple(values.shape)}. Do not reduce over the batch."
            )
        return values

    def modality_graph(
        self, inputs: list[np.ndarray], step: float = 1e-2
    ) -> np.ndarray:
        """How much of each rebuilt modality depends on each modality.

        For linear fusion and defusers, fusing and defusing is one step of
        message passing between modalities, `D[m](f(u)) = sum over n of
        A[m][n] u[n]`; in general `A[m][n]` is the Jacobian at a sample.

            graph[m][n] = sqrt(mean over samples of |A[m][n]|^2 / d[m])

        in the Frobenius norm, with `d[m]` the features of target m. Where each
        modality answers for itself alone, the graph is diagonal.

        Args:
            inputs: List of N arrays, some samples.
            step: Float, half the width of the central differences that
                measure the Jacobian. Defaults to `1e-2`.

        Returns:
            Array `(N, N)`, a row for each rebuilt modality.

        Raises:
            ValueError: If the layer computes in half precision.
        """
        if self.compute_dtype in ("float16", "bfloat16"):
            raise ValueError(
                f"`dtype` of {self.name} must be at least float32, as half "
                "precision rounds away the small differences that measure the "
                f"graph. Received: dtype={self.compute_dtype}. "
                "Make the layer again in float32, with the same weights."
            )
        inputs = [
            np.array(ops.convert_to_numpy(x), "float32", order="C")
            for x in inputs
        ]
        graph = np.zeros((len(inputs), len(inputs)))
        for n, x in enumerate(inputs):
            features = x.reshape(len(x), -1)
            for feature in range(features.shape[1]):
                original = features[:, feature].copy()
                ends = []
                for shift in (step, -step):
                    features[:, feature] = original + shift
                    ends.append(self.defuse(self.fusion(inputs)))
                features[:, feature] = original
                for m, (high, low) in enumerate(zip(*ends, strict=True)):
                    slope = ops.convert_to_numpy(high - low) / (2 * step)
                    graph[m, n] += np.mean(slope**2)
        return np.sqrt(graph)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def compute_output_shape(
        self,
        inputs_shape: list[Shape],
        presence_shape: Shape | None = None,
        targets_shape: list[Shape] | None = None,
    ) -> Shape:
        return tuple(self.fusion.compute_output_shape(inputs_shape))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "fusion": keras.saving.serialize_keras_object(self.fusion),
            "hidden_units": self.hidden_units,
            "activation": keras.activations.serialize(self.activation),
            "loss": keras.losses.serialize(self.loss),
            "loss_weights": self.loss_weights,
            "stop_gradient": self.stop_gradient,
            "decoders": keras.saving.serialize_keras_object(self.decoders),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        # A copy, because reviving a functional model empties its config.
        layers = {
            name: keras.saving.deserialize_keras_object(
                copy.deepcopy(config.get(name))
            )
            for name in ("fusion", "decoders")
        }
        return cls(**{**config, **layers})


def mean(values: Tensor) -> Tensor:
    """Mean that is 0 where there are no samples, as on an idle replica."""
    return ops.divide_no_nan(ops.sum(values), ops.sum(ops.ones_like(values)))
