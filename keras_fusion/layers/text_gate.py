from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.argument_validation import check_vector
from keras_fusion.layers.channel_gates import build_excite
from keras_fusion.layers.channel_gates import build_squeeze
from keras_fusion.layers.channel_gates import gate_channels
from keras_fusion.layers.channel_gates import mean_over_positions
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class TextGate(keras.layers.Layer):
    """Gates the channels of maps by what they show and what a text says.

    Squeeze-and-excitation whose squeeze also sees a text vector `t`:

        z = concatenate(mean over positions of x, t)
        h = relu(W z + b)
        output = x * sigmoid(V h + c)

    The text can turn off what it does not ask for, and the same words can
    mean other channels in another image. Every position gets the same gates:
    where to look has to come from elsewhere. With C channels, T features of
    the text and `units = C // ratio`, the layer has `(C + T + 1) * units +
    (units + 1) * C` trainable weights.

    Args:
        ratio: Integer, at least 1. Channels of the maps for each unit of the
            bottleneck, which has at least one unit. Defaults to `16`.

    Call arguments:
        inputs: Tensor, the maps that are gated. Positions that its Keras
            mask excludes do not count in the mean.
        conditioning: Tensor, the text's vector for each sample.

    Input shape:
        `inputs`: `(batch, ..., channels)`, of any rank from 2 on;
        `conditioning`: `(batch, features)`.

    Output shape:
        As `inputs`.

    Raises:
        ValueError: If channels or features are unknown, if `conditioning` is
            not a vector, or if `ratio` is under 1.

    Example:

    >>> maps = keras.ops.ones((2, 8, 8, 32))
    >>> text = keras.ops.ones((2, 100))
    >>> tuple(keras_fusion.layers.TextGate(ratio=4)(maps, text).shape)
    (2, 8, 8, 32)

    Reference:

    - Our interpretation of a slide that has only a title ("Plan C").
    - [Hu et al., 2018](https://arxiv.org/abs/1709.01507), equations 2 to 4,
      the gates without a text.
    """

    def __init__(self, ratio: int = 16, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_sizes(ratio=ratio)
        self.ratio = int(ratio)
        self.supports_masking = True

    def build(self, inputs_shape: Shape, conditioning_shape: Shape) -> None:
        channels = check_channels(self, inputs_shape, -1)
        features = check_vector(self, conditioning_shape, "conditioning")
        self.squeeze = build_squeeze(
            self, channels, channels + features, self.ratio
        )
        self.excite = build_excite(self, self.squeeze, channels)

    def call(
        self,
        inputs: Tensor,
        conditioning: Tensor,
        inputs_mask: Tensor | None = None,
    ) -> Tensor:
        mean = mean_over_positions(inputs, mask=inputs_mask)
        both = ops.concatenate([mean, conditioning], axis=-1)
        return gate_channels(inputs, self.excite(self.squeeze(both)))

    def compute_output_shape(
        self, inputs_shape: Shape, conditioning_shape: Shape
    ) -> Shape:
        return tuple(inputs_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "ratio": self.ratio}
