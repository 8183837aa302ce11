import itertools
from typing import Any

import keras

from keras_fusion.layers.argument_validation import check_not_negative
from keras_fusion.layers.channel_gates import mean_over_positions
from keras_fusion.losses import MaximumMeanDiscrepancy
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class BranchAlignment(keras.layers.Layer):
    """Passes branches on, with a loss on how far they differ.

    The loss is the maximum mean discrepancy between the means over positions
    of two branches, averaged over all pairs.

    Args:
        alignment: Float, at least 0, weight of the loss. Defaults to `0.1`.
        axis: Integer, the channel axis. Defaults to `-1`.

    Input shape:
        A list of two or more tensors of one shape.

    Output shape:
        As the input.
    """

    def __init__(
        self, alignment: float = 0.1, axis: int = -1, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_not_negative(alignment=alignment)
        self.alignment = float(alignment)
        self.axis = int(axis)
        self.discrepancy = MaximumMeanDiscrepancy()

    def call(self, inputs: list[Tensor]) -> list[Tensor]:
        means = [mean_over_positions(x, self.axis) for x in inputs]
        pairs = list(itertools.combinations(means, 2))
        total = sum(self.discrepancy(*pair) for pair in pairs)
        self.add_loss(self.alignment * total / len(pairs))
        return list(inputs)

    def compute_output_shape(self, input_shape: list[Shape]) -> list[Shape]:
        return [tuple(shape) for shape in input_shape]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alignment": self.alignment,
            "axis": self.axis,
        }
