from operator import index
from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.layers.argument_validation import check_vector
from keras_fusion.layers.built_dense import built_dense
from keras_fusion.layers.precision import cast_within_range
from keras_fusion.types import Initializer
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class FiLM(keras.layers.Layer):
    """Scales and shifts every channel as a conditioning vector says.

    Feature-wise linear modulation lets one modality, such as a question, steer
    the network that processes another, such as an image: channel by channel,
    the same at every position, at little cost:

        gamma = 1 + W c + b
        beta = V c + d
        output = gamma * x + beta

    `gamma` is 1 plus what is learned, so that small weights modulate little
    instead of silencing the channels; with `kernel_initializer="zeros"` the
    layer starts as the identity and can be put into a trained network. Place
    it behind a normalization without scale and shift of its own.

    With F conditioning features the layer has `2 * (F + 1) * channels`
    weights.

    Args:
        axis: Integer, the channel axis of the inputs. Defaults to `-1`.
        kernel_initializer: Initializer of `W` and `V`. Defaults to
            `"glorot_uniform"`.

    Call arguments:
        inputs: Tensor that is modulated.
        conditioning: Tensor that says how.

    Input shape:
        `inputs`: `(batch, ..., channels)`, or with channels on `axis`;
        `conditioning`: `(batch, features)`.

    Output shape:
        That of `inputs`.

    Raises:
        ValueError: If the channels or the features are unknown, or if the
            conditioning is not a vector.

    Example:

    >>> layer = keras_fusion.layers.FiLM(kernel_initializer="zeros")
    >>> image, question = keras.ops.ones((2, 4, 4, 3)), keras.ops.ones((2, 5))
    >>> modulated = layer(image, question)
    >>> bool(keras.ops.all(modulated == image)), layer.count_params()
    (True, 36)

    Reference:

    - [Perez et al., 2018](https://arxiv.org/abs/1709.07871), equations 1 and
      2, with linear functions of the conditioning.
    """

    def __init__(
        self,
        axis: int = -1,
        kernel_initializer: Initializer = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = index(axis)
        self.supports_masking = True
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, inputs_shape: Shape, conditioning_shape: Shape) -> None:
        channels = check_channels(self, inputs_shape, self.axis)
        features = check_vector(self, conditioning_shape, "conditioning")
        self._channel_shape = [1] * (len(inputs_shape) - 1)
        self._channel_shape[self.axis % len(inputs_shape) - 1] = channels
        self.generator = built_dense(
            self,
            "generator",
            2 * channels,
            features,
            kernel_initializer=self.kernel_initializer,
        )

    def call(self, inputs: Tensor, conditioning: Tensor) -> Tensor:
        scale, shift = ops.split(self.generator(conditioning), 2, axis=-1)
        scale = ops.reshape(scale, (-1, *self._channel_shape))
        shift = ops.reshape(shift, (-1, *self._channel_shape))
        outputs = inputs * (1 + scale) + shift
        return cast_within_range(outputs, self.compute_dtype)

    def compute_output_shape(
        self, inputs_shape: Shape, conditioning_shape: Shape
    ) -> Shape:
        return tuple(inputs_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
        }
