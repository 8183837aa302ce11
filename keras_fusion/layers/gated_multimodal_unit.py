from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_built
from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.argument_validation import check_vectors
from keras_fusion.layers.built_dense import built_dense
from keras_fusion.layers.modality_layer import ModalityLayer
from keras_fusion.types import Activation
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class GatedMultimodalUnit(ModalityLayer):
    """Mixes the modalities, unit by unit, by gates that look at all of them.

    Every modality proposes a value for each unit, and gates that see the
    concatenation of all modalities decide how far each proposal counts:

        h[m] = act(W[m]' x[m])
        a[m] = V[m]' concatenate(x[0], ..., x[N-1])
        output = sum over m of gate[m] * h[m]

    With tied gates, `gate` is the softmax of `a` over the modalities, and the
    last `a` is 0: the gates of a unit sum to 1. For two modalities this is
    the bimodal unit, `z * h[0] + (1 - z) * h[1]` with `z = sigmoid(a[0])`.
    With `tied_gates=False`, the general unit, every modality has a gate of its
    own, `sigmoid(a[m])`.

    There are no biases, as published: a modality of zeros, which stands for
    an absent one, proposes 0. Choose it when the reliability of modalities
    varies from sample to sample; `gates` shows what it decided.

    With S features in all N modalities together, the layer has
    `S * units + (N - 1) * S * units` weights; untied, `S * units` more.

    Args:
        units: Integer, width of the output.
        activation: Activation function of the proposals. Defaults to
            `"tanh"`.
        tied_gates: Boolean. Whether the gates of a unit sum to 1. Defaults to
            `True`.

    Call arguments:
        inputs: List of N >= 2 tensors.

    Input shape:
        N times `(batch, features)`; the number of features may differ.

    Output shape:
        `(batch, units)`.

    Raises:
        ValueError: If the inputs are not a list of two or more vectors, if
            their widths are unknown, or if `units` is under 1.

    Example:

    >>> layer = keras_fusion.layers.GatedMultimodalUnit(3)
    >>> image, text = keras.ops.ones((2, 5)), keras.ops.ones((2, 4))
    >>> tuple(layer([image, text]).shape), layer.count_params()
    ((2, 3), 54)
    >>> gates = keras.ops.convert_to_numpy(layer.gates([image, text]))
    >>> gates.shape, bool(np.allclose(gates.sum(axis=1), 1))
    ((2, 2, 3), True)

    Reference:

    - [Arevalo et al., 2017](https://arxiv.org/abs/1702.01992), the gated
      multimodal unit; tied gates of more than two modalities are our
      generalization of its bimodal form.
    """

    of_vectors = True

    def __init__(
        self,
        units: int,
        activation: Activation = "tanh",
        tied_gates: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_sizes(units=units)
        self.units = int(units)
        self.activation = keras.activations.get(activation)
        self.tied_gates = tied_gates

    def build(self, input_shape: list[Shape]) -> None:
        widths = check_vectors(self, input_shape)
        self.proposals = [
            built_dense(
                self, f"proposal_{m}", self.units, width, use_bias=False
            )
            for m, width in enumerate(widths)
        ]
        gates = len(widths) - 1 if self.tied_gates else len(widths)
        self.gate = built_dense(
            self, "gate", gates * self.units, sum(widths), use_bias=False
        )
        self.remember_modalities(input_shape)

    def call(self, inputs: list[Tensor]) -> Tensor:
        proposed = [
            self.activation(proposal(x))
            for proposal, x in zip(self.proposals, inputs, strict=True)
        ]
        # (batch, modalities, units)
        gated = self.gates(inputs) * ops.stack(proposed, axis=1)
        # Keras multiplies matrices of float64 in float32 on PyTorch.
        return ops.cast(ops.sum(gated, axis=1), self.compute_dtype)

    def gates(self, inputs: list[Tensor]) -> Tensor:
        """Returns the gates, `(batch, modalities, units)`, of `inputs`."""
        check_built(self, "gates")
        logits = self.gate(ops.concatenate(inputs, axis=-1))
        gates = logits.shape[-1] // self.units
        logits = ops.reshape(logits, (-1, gates, self.units))
        if not self.tied_gates:
            return ops.sigmoid(logits)
        last = ops.zeros_like(logits[:, :1])
        return ops.softmax(ops.concatenate([logits, last], axis=1), axis=1)

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        return (input_shape[0][0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "tied_gates": self.tied_gates,
        }
