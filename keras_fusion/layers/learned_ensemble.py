from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fusion.layers.argument_validation import check_built
from keras_fusion.layers.argument_validation import check_modalities
from keras_fusion.layers.argument_validation import check_same_shape
from keras_fusion.layers.joint_mask import joint_mask
from keras_fusion.layers.modality_layer import ModalityLayer
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class LearnedEnsemble(ModalityLayer):
    """Averages the outputs of several branches with learned weights.

        output = sum over m of softmax(alpha)[m] * inputs[m]

    With `stop_gradient`, as published, a loss on the output trains `alpha`
    and nothing else: the branches learn from their own losses, and the
    ensemble only finds out how far to trust each. All weights are equal at
    the start. The layer has N trainable weights.

    Args:
        stop_gradient: Boolean. Whether to keep gradients of the output from
            reaching the branches. Defaults to `True`.

    Call arguments:
        inputs: List of N >= 1 tensors of one shape.

    Input shape:
        N times the same shape, of any rank.

    Output shape:
        That shape.

    Raises:
        ValueError: If the inputs are not a list of tensors, or differ in shape.

    Example:

    >>> layer = keras_fusion.layers.LearnedEnsemble()
    >>> rgb, depth = keras.ops.ones((1, 3)), keras.ops.zeros((1, 3))
    >>> keras.ops.convert_to_numpy(layer([rgb, depth]))
    array([[0.5, 0.5, 0.5]], dtype=float32)
    >>> _ = layer.alpha.assign([100.0, 0.0])
    >>> layer.mixing_weights.round(4).tolist()
    [1.0, 0.0]

    Reference:

    - [Wang et al., 2020](https://arxiv.org/abs/2011.05005), the decision
      scores alpha of section 3.2; stop-gradient as in its released code.
    """

    of_one_shape = True

    def __init__(self, stop_gradient: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stop_gradient = stop_gradient
        self.supports_masking = True

    def build(self, input_shape: list[Shape]) -> None:
        check_modalities(self, input_shape, at_least=1)
        check_same_shape(self, input_shape)
        self.alpha = self.add_weight(
            shape=(len(input_shape),),
            initializer="ones",
            autocast=False,
            name="alpha",
        )
        self.remember_modalities(input_shape, axis=None)

    def call(self, inputs: list[Tensor]) -> Tensor:
        if self.stop_gradient:
            inputs = [ops.stop_gradient(x) for x in inputs]
        weights = ops.cast(self._softmax(), self.compute_dtype)
        return sum(weights[m] * x for m, x in enumerate(inputs))

    @property
    def mixing_weights(self) -> np.ndarray:
        """Array `(N,)` of the weights; they sum to 1."""
        check_built(self, "mixing_weights")
        return ops.convert_to_numpy(self._softmax())

    def _softmax(self) -> Tensor:
        # Keras's own warns of a single weight, which is always 1.
        return ops.exp(self.alpha - ops.logsumexp(self.alpha))

    def compute_mask(
        self, inputs: Any, mask: list[Tensor | None] | None = None
    ) -> Tensor | None:
        return joint_mask(mask)

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stop_gradient": self.stop_gradient}
