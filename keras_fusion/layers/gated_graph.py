from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.layers.argument_validation import check_ndim
from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class GatedGraph(keras.layers.Layer):
    """Lets features of classes speak to each other along a known graph.

    Each class `c` holds a state `h[c]`, at first its input. In every step it
    hears the states of the others, weighed by the graph in both directions,
    and keeps or replaces its own through gates:

        m = concatenate(A h, A' h)
        z = sigmoid(m Wz + h Uz + bz)
        r = sigmoid(m Wr + h Ur + br)
        h = (1 - z) * h + z * tanh(m W + (r * h) U + b)

    The weights are those of all classes and steps. Behind `BilinearAttention`
    it is the second half of semantic decoupling, with the probability that
    label `k` occurs where label `c` does as `A[c, k]`.

    The adjacency matrix is a weight that is not trained: set it, once the
    layer is built, by `layer.adjacency.assign(matrix)`; it is saved with the
    model. With zeros, its start, no class reaches another.

    With F features the layer has `9 * F * F + 3 * F` trainable weights.

    Args:
        num_steps: Integer. Defaults to `3`, as published.

    Call arguments:
        inputs: Tensor, a feature vector for each class.

    Input shape:
        `(batch, classes, features)`.

    Output shape:
        As the input.

    Raises:
        ValueError: If the input does not have three axes, if classes or
            features are unknown, or if `num_steps` is under 1.

    Example:

    >>> layer = keras_fusion.layers.GatedGraph()
    >>> classes = keras.random.normal((2, 3, 4), seed=0)
    >>> layer.build(classes.shape)
    >>> _ = layer.adjacency.assign([[0, 1, 0], [0.5, 0, 0], [0, 0, 0]])
    >>> tuple(layer(classes).shape)
    (2, 3, 4)

    Reference:

    - [Chen et al., 2019](https://arxiv.org/abs/1908.07325), semantic
      interaction, with weights of its own for the reset gate.
    """

    def __init__(self, num_steps: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_sizes(num_steps=num_steps)
        self.num_steps = int(num_steps)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        check_ndim(self, input_shape, 3, 3)
        classes = check_channels(self, input_shape, 1)
        features = check_channels(self, input_shape, -1)
        self.adjacency = self.add_weight(
            shape=(classes, classes),
            initializer="zeros",
            trainable=False,
            name="adjacency",
        )
        self.update = self._gate("update", features)
        self.reset = self._gate("reset", features)
        self.candidate = self._gate("candidate", features)

    def _gate(self, name: str, features: int) -> list[keras.Variable]:
        shapes = {
            "message": (2 * features, features),
            "state": (features, features),
        }
        kernels = [
            self.add_weight(
                shape=shape,
                initializer="glorot_uniform",
                name=f"{name}_{part}",
            )
            for part, shape in shapes.items()
        ]
        bias = self.add_weight(
            shape=(features,), initializer="zeros", name=f"{name}_bias"
        )
        return [*kernels, bias]

    def call(self, inputs: Tensor) -> Tensor:
        state = inputs
        for _ in range(self.num_steps):
            messages = [
                ops.matmul(self.adjacency, state),
                ops.matmul(ops.transpose(self.adjacency), state),
            ]
            message = ops.concatenate(messages, axis=-1)
            update = ops.sigmoid(_gated(self.update, message, state))
            reset = ops.sigmoid(_gated(self.reset, message, state))
            candidate = ops.tanh(_gated(self.candidate, message, reset * state))
            state = (1 - update) * state + update * candidate
        return state

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_steps": self.num_steps}


def _gated(
    gate: list[keras.Variable], message: Tensor, state: Tensor
) -> Tensor:
    message_kernel, state_kernel, bias = gate
    message = ops.matmul(message, message_kernel)
    return message + ops.matmul(state, state_kernel) + bias
