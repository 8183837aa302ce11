from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.layers.argument_validation import check_ndim
from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.argument_validation import check_vector
from keras_fusion.layers.built_dense import built_dense
from keras_fusion.types import Activation
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class LocalFullyConnectedFusion(keras.layers.Layer):
    """Runs one small network on every cell of a map together with a text.

    The text vector `t` is laid beside the features `f[i]` of every cell, and
    dense layers, the same in all cells, take both in, as 1x1 convolutions do:

        h[1][i] = act(W[1]' concatenate(f[i], t) + b[1])
        h[n][i] = act(W[n]' h[n - 1][i] + b[n])
        output[i] = h[last][i]

    Cells keep their position, which a dense layer on the flattened map and text
    loses. With weights of zero for the text this is the `mlpconv` of network
    in network; on a map of one cell it is concatenation and dense layers. The
    text is not copied: its part of the first product is made once a sample.

    With C channels, T text features and units `u[1], u[2], ...`, the layer has
    `(C + T + 1) * u[1] + (u[1] + 1) * u[2] + ...` weights.

    Args:
        units: List of integers, the widths of the dense layers.
        activation: Activation function of each. Defaults to `"relu"`.

    Call arguments:
        inputs: Tensor, the map.
        conditioning: Tensor, the text vectors.

    Input shape:
        `inputs`: `(batch, ..., channels)` with any number of position axes;
        `conditioning`: `(batch, features)`.

    Output shape:
        `(batch, ..., units[-1])`.

    Raises:
        ValueError: If a tensor has too few axes, if channels or features are
            unknown, or if `units` is empty or holds a size under 1.

    Example:

    >>> layer = keras_fusion.layers.LocalFullyConnectedFusion([16, 8])
    >>> maps = keras.random.normal((2, 5, 5, 4), seed=0)
    >>> text = keras.random.normal((2, 10), seed=0)
    >>> tuple(layer(maps, text).shape), layer.count_params()
    ((2, 5, 5, 8), 376)

    Reference:

    - [Lin et al., 2013](https://arxiv.org/abs/1312.4400), section 3.1, for
      the network in each cell; the text in it is our interpretation of "local
      fully-connected" fusion.
    """

    def __init__(
        self,
        units: Sequence[int],
        activation: Activation = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(units, list | tuple) or not units:
            raise ValueError(
                "`units` must be a list of the widths of one or more dense "
                f"layers. Received: units={units}"
            )
        for n, width in enumerate(units):
            check_sizes(**{f"units[{n}]": width})
        self.units = list(map(int, units))
        self.supports_masking = True
        self.activation = keras.activations.get(activation)

    def build(self, inputs_shape: Shape, conditioning_shape: Shape) -> None:
        check_ndim(self, inputs_shape, 3)
        channels = check_channels(self, inputs_shape, -1)
        features = check_vector(self, conditioning_shape, "conditioning")
        self.text = built_dense(
            self, "text", self.units[0], features, use_bias=False
        )
        self.cells = [
            built_dense(self, f"cell_{n}", units, width)
            for n, (units, width) in enumerate(
                zip(self.units, [channels, *self.units], strict=False)
            )
        ]

    def call(self, inputs: Tensor, conditioning: Tensor) -> Tensor:
        text = self.text(conditioning)
        for _ in range(len(inputs.shape) - 2):
            text = ops.expand_dims(text, 1)
        outputs = self.activation(self.cells[0](inputs) + text)
        for cell in self.cells[1:]:
            outputs = self.activation(cell(outputs))
        return outputs

    def compute_output_shape(
        self, inputs_shape: Shape, conditioning_shape: Shape
    ) -> Shape:
        return (*inputs_shape[:-1], self.units[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
        }
