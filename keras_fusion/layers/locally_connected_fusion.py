from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fusion.layers.argument_validation import check_built
from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.layers.argument_validation import check_known_sizes
from keras_fusion.layers.argument_validation import check_modalities
from keras_fusion.layers.argument_validation import check_same_shape
from keras_fusion.layers.joint_mask import joint_mask
from keras_fusion.layers.modality_layer import ModalityLayer
from keras_fusion.statistics import branch_statistics
from keras_fusion.types import Activation
from keras_fusion.types import Initializer
from keras_fusion.types import Regularizer
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class LocallyConnectedFusion(ModalityLayer):
    """Adds up branches with a weight of its own for each channel of each.

        output[k] = activation(sum over s of kernel[k, s] * inputs[s][k]
                               + bias[k])

    Which branch serves a channel best is learned channel by channel. On
    vectors that global pooling has left, this is the fusion of convolutional
    fusion networks. Maps are fused in the same way with the weights of a
    channel shared over positions, so that sizes may change; with
    `per_position=True` each position has its own, for maps of known size.
    Both of these are ours.

    With S branches and K channels the layer has `K * (S + 1)` trainable
    weights, `K * S` without bias, and as many for each position with
    `per_position`.

    Args:
        activation: Activation of the sum. Defaults to `"relu"`.
        use_bias: Boolean. Whether to add a bias. Defaults to `True`.
        per_position: Boolean. Whether every position has its own weights.
            Defaults to `False`.
        kernel_initializer: Initializer of the weights `(..., K, S)`. Defaults
            to `None`, which takes `1 / S` and starts as the mean.
        bias_initializer: Initializer of the bias. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of the weights. Defaults to `None`.

    Call arguments:
        inputs: List of S >= 1 tensors of one shape.

    Input shape:
        S times `(batch, ..., channels)`, of any rank from 2 on.

    Output shape:
        That shape.

    Raises:
        ValueError: If the inputs are not a list of tensors or differ in shape,
            if the channels, or with `per_position` the sizes, are unknown.

    Example:

    >>> layer = keras_fusion.layers.LocallyConnectedFusion()
    >>> early, late = keras.ops.ones((1, 2)), keras.ops.zeros((1, 2))
    >>> keras.ops.convert_to_numpy(layer([early, late]))
    array([[0.5, 0.5]], dtype=float32)
    >>> layer.branch_weights
    array([[0.5, 0.5],
           [0.5, 0.5]], dtype=float32)

    Reference:

    - [Liu et al., 2017](https://arxiv.org/abs/1611.05503), the locally
      connected fusion module, as in its released code.
    """

    of_one_shape = True

    def __init__(
        self,
        activation: Activation = "relu",
        use_bias: bool = True,
        per_position: bool = False,
        kernel_initializer: Initializer | None = None,
        bias_initializer: Initializer = "zeros",
        kernel_regularizer: Regularizer = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.supports_masking = True
        self.per_position = per_position
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: list[Shape]) -> None:
        check_modalities(self, input_shape, at_least=1)
        check_same_shape(self, input_shape)
        branches = len(input_shape)
        shape = (check_channels(self, input_shape[0], -1),)
        if self.per_position:
            check_known_sizes(
                self,
                input_shape[0],
                "Set them in `keras.Input`, or pass `per_position=False`.",
            )
            shape = tuple(input_shape[0][1:])
        self.kernel = self.add_weight(
            shape=(*shape, branches),
            initializer=self.kernel_initializer
            or keras.initializers.Constant(1 / branches),
            regularizer=self.kernel_regularizer,
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(
                shape=shape, initializer=self.bias_initializer, name="bias"
            )
        self.remember_modalities(input_shape)

    def call(self, inputs: list[Tensor]) -> Tensor:
        weights = ops.unstack(ops.convert_to_tensor(self.kernel), axis=-1)
        outputs = sum(w * x for w, x in zip(weights, inputs, strict=True))
        if self.use_bias:
            outputs = outputs + self.bias
        return self.activation(outputs)

    @property
    def branch_weights(self) -> np.ndarray:
        """Array `(channels, S)`, behind positions if they have their own."""
        check_built(self, "branch_weights")
        return ops.convert_to_numpy(self.kernel)

    def branch_statistics(
        self, branches: list[np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Says how much each branch counts.

        Args:
            branches: List of S arrays, what the branches gave on a data set.
                Weights alone mislead where branches differ in scale.

        Returns:
            What `keras_fusion.statistics.branch_statistics` returns; without
            `branches` there is no `"contribution"`.
        """
        weights = self.branch_weights
        weights = weights.reshape(-1, weights.shape[-1])
        if branches is None:
            return branch_statistics(weights)
        shape = self.kernel.shape[:-1]
        activations = [
            np.abs(branch).reshape(-1, *shape).mean(axis=0).ravel()
            for branch in branches
        ]
        return branch_statistics(weights, np.stack(activations, axis=-1))

    def compute_mask(
        self, inputs: Any, mask: list[Tensor | None] | None = None
    ) -> Tensor | None:
        return joint_mask(mask)

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "per_position": self.per_position,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "bias_initializer": keras.initializers.serialize(
                self.bias_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
        }
