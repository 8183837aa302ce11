import functools
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
class LowRankTensorFusion(ModalityLayer):
    """Tensor fusion whose weight is a sum of `rank` products of factors.

    `TensorFusion` needs a weight for every product of features. Here that
    tensor is a weighted sum of `rank` tensors, each the product of one factor
    for each modality, and the sum over products turns into a product of sums:

        z[m] = concatenate(1, x[m])
        output = sum over r of w[r] * (F[0][r]' z[0]) * (F[1][r]' z[1]) * ...
                 + b

    The size grows with the sum of the widths instead of their product. With
    enough rank it can equal any tensor fusion. An absent modality (zeros)
    leaves the others to the rows of the factors that belong to the ones.

    With S features in all N modalities together, the layer has
    `rank * units * (S + N) + rank + units` weights.

    Args:
        units: Integer, width of the output.
        rank: Integer, number of products in the sum. Defaults to `4`.

    Call arguments:
        inputs: List of N >= 2 tensors.

    Input shape:
        N times `(batch, features)`; the number of features may differ.

    Output shape:
        `(batch, units)`.

    Raises:
        ValueError: If the inputs are not a list of two or more vectors, if
            their widths are unknown, or if a size is under 1.

    Example:

    >>> layer = keras_fusion.layers.LowRankTensorFusion(3, rank=2)
    >>> image, text = keras.ops.ones((2, 5)), keras.ops.ones((2, 4))
    >>> tuple(layer([image, text]).shape), layer.count_params()
    ((2, 3), 71)

    Reference:

    - [Liu et al., 2018](https://arxiv.org/abs/1806.00064), low-rank fusion
      with modality-specific factors; the weights `w` and `b` are those of its
      released code.
    """

    of_vectors = True

    def __init__(self, units: int, rank: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_sizes(units=units, rank=rank)
        self.units = int(units)
        self.rank = int(rank)

    def build(self, input_shape: list[Shape]) -> None:
        widths = check_vectors(self, input_shape)
        # Unit variance of the projections, and of the weighted sum, keeps the
        # output's from depending on rank and number of modalities.
        self.factors = [
            self.add_weight(
                shape=(width + 1, self.rank * self.units),
                initializer="lecun_normal",
                name=f"factor_{m}",
            )
            for m, width in enumerate(widths)
        ]
        self.rank_weights = self.add_weight(
            shape=(self.rank,),
            initializer=keras.initializers.Constant(self.rank**-0.5),
            name="rank_weights",
        )
        self.bias = self.add_weight(
            shape=(self.units,), initializer="zeros", name="bias"
        )
        self.remember_modalities(input_shape)

    def call(self, inputs: list[Tensor]) -> Tensor:
        # Products of modalities overflow half precision.
        wide = at_least_float32(self.compute_dtype)
        projected = [
            ops.cast(prepend_one(x) @ factor, wide)
            for x, factor in zip(inputs, self.factors, strict=True)
        ]
        product = functools.reduce(ops.multiply, projected)
        product = ops.reshape(product, (-1, self.rank, self.units))
        rank_weights = ops.cast(self.rank_weights, wide)
        output = ops.einsum("bru,r->bu", product, rank_weights)
        output = output + ops.cast(self.bias, wide)
        return cast_within_range(output, self.compute_dtype)

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        return (input_shape[0][0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "rank": self.rank,
        }
