from typing import Any

import keras

from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.channel_gates import build_excite
from keras_fusion.layers.channel_gates import build_squeeze
from keras_fusion.layers.channel_gates import gate_channels
from keras_fusion.layers.channel_gates import mean_over_positions
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class SqueezeExcite(keras.layers.Layer):
    """Gates each channel by what all channels contain on average.

    The means over positions go through a bottleneck to one gate between 0
    and 1 for each channel:

        z = mean over positions of x
        h = relu(W z + b)
        output = x * sigmoid(V h + c)

    In a residual block it stands behind the last normalization and before
    the addition. With C channels and `units = C // ratio`, the layer has
    `(2 * C + 1) * units + C` trainable weights.

    Args:
        ratio: Integer, at least 1. Channels for each unit of the bottleneck,
            which has at least one unit. Defaults to `16`.
        axis: Integer, the channel axis. Defaults to `-1`.

    Call arguments:
        inputs: Tensor. Positions that its Keras mask excludes do not count
            in the mean.

    Input shape:
        `(batch, ..., channels)`, or with channels on `axis`, of any rank from
        2 on.

    Output shape:
        As the input.

    Raises:
        ValueError: If the channels are unknown, or if `ratio` is under 1.

    Example:

    >>> layer = keras_fusion.layers.SqueezeExcite(ratio=4)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 32))).shape)
    (2, 8, 8, 32)
    >>> layer.count_params()
    552

    Reference:

    - [Hu et al., 2018](https://arxiv.org/abs/1709.01507), equations 2 to 4,
      with the biases of its released models.
    """

    def __init__(self, ratio: int = 16, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_sizes(ratio=ratio)
        self.ratio = int(ratio)
        self.axis = int(axis)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        channels = check_channels(self, input_shape, self.axis)
        self.squeeze = build_squeeze(self, channels, channels, self.ratio)
        self.excite = build_excite(self, self.squeeze, channels)

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        means = mean_over_positions(inputs, self.axis, mask)
        hidden = self.squeeze(means)
        return gate_channels(inputs, self.excite(hidden), self.axis)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "ratio": self.ratio,
            "axis": self.axis,
        }
