from typing import Any

import keras

from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class IdleNorm(keras.layers.Layer):
    """Scales and shifts that a published network owns and never uses.

    The maps pass as they are. No gradient reaches the weights, which are
    there to be counted.

    Args:
        axis: Integer, the channel axis. Defaults to `-1`.

    Input shape:
        A list of one or more tensors, as of `ChannelExchange`.

    Output shape:
        As the input.
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = int(axis)

    def build(self, input_shape: list[Shape]) -> None:
        channels = check_channels(self, input_shape[0], self.axis)
        shape = (len(input_shape), channels)
        self.add_weight(shape=shape, initializer="ones", name="gamma")
        self.add_weight(shape=shape, initializer="zeros", name="beta")

    def call(self, inputs: list[Tensor]) -> list[Tensor]:
        return list(inputs)

    def compute_output_shape(self, input_shape: list[Shape]) -> list[Shape]:
        return [tuple(shape) for shape in input_shape]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
