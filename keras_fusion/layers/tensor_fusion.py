import math
from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.argument_validation import check_vectors
from keras_fusion.layers.modality_layer import ModalityLayer
from keras_fusion.layers.precision import at_least_float32
from keras_fusion.layers.precision import cast_within_range
from keras_fusion.layers.prepend_one import prepend_one
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class TensorFusion(ModalityLayer):
    """Relates every feature of every modality to every one of the others.

    Each modality gets a 1 in front, and a unit of the output is a linear form
    of the outer product of all modalities:

        z[m] = concatenate(1, x[m])
        output[u] = sum over i, j, ... of W[i, j, ..., u] z[0][i] z[1][j] ...

    Thanks to the ones the outer product holds the features of each modality
    and a constant beside all products of two, three and more features, so
    that one modality alone still counts while another is absent (zeros).
    The layer contracts `W` with one modality after the other and never forms
    the outer product.

    It is the richest of the fusions that multiply and by far the largest: with
    features d[m] in modality m, it has `(d[0] + 1) * (d[1] + 1) * ... * units`
    weights. Bring the modalities to few features first, or use
    `LowRankTensorFusion`.

    Args:
        units: Integer, width of the output.

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

    >>> layer = keras_fusion.layers.TensorFusion(3)
    >>> image, text = keras.ops.ones((2, 5)), keras.ops.ones((2, 4))
    >>> tuple(layer([image, text]).shape), layer.count_params()
    ((2, 3), 90)

    Reference:

    - [Zadeh et al., 2017](https://arxiv.org/abs/1707.07250), the tensor
      fusion layer with the linear map behind it; any number of modalities.
    """

    of_vectors = True

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_sizes(units=units)
        self.units = int(units)

    def build(self, input_shape: list[Shape]) -> None:
        widths = check_vectors(self, input_shape)
        self.kernel = self.add_weight(
            shape=(math.prod(width + 1 for width in widths), self.units),
            initializer="glorot_uniform",
            name="kernel",
        )
        self.remember_modalities(input_shape)

    def call(self, inputs: list[Tensor]) -> Tensor:
        # Products of modalities overflow half precision.
        wide = at_least_float32(self.compute_dtype)
        first, *others = (prepend_one(ops.cast(x, wide)) for x in inputs)
        kernel = ops.cast(self.kernel, wide)
        # (batch, products of the features of the other modalities and units)
        output = first @ ops.reshape(kernel, (first.shape[-1], -1))
        for x in others:
            rest = output.shape[-1] // x.shape[-1]
            output = ops.reshape(output, (-1, x.shape[-1], rest))
            output = ops.einsum("bi,bir->br", x, output)
        return cast_within_range(output, self.compute_dtype)

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        return (input_shape[0][0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
