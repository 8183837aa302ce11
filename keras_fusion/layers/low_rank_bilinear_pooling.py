import functools
from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.argument_validation import check_vectors
from keras_fusion.layers.built_dense import built_dense
from keras_fusion.layers.modality_layer import ModalityLayer
from keras_fusion.layers.precision import at_least_float32
from keras_fusion.layers.precision import cast_within_range
from keras_fusion.layers.precision import policy_behind_product
from keras_fusion.types import Activation
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class LowRankBilinearPooling(ModalityLayer):
    """Multiplies projections of all modalities, then projects the product.

    A bilinear form for each unit, `x' W[i] y + b[i]`, relates every feature of
    one modality to every feature of the other, at the cost of a matrix a unit.
    Here the matrices have at most rank `rank` and share their factors:

        h = act(U[0]' x[0] + c[0]) * act(U[1]' x[1] + c[1]) * ...
        output = P' h + b

    or, with `activate_product=True`, with the activation on the product:

        h = act((U[0]' x[0] + c[0]) * (U[1]' x[1] + c[1]) * ...)

    Without activation and projection biases this is exactly the bilinear form
    with `W[i] = U[0] diag(P[:, i]) U[1]'`; the biases add the linear terms of
    each modality. `shortcut=True` adds a projection of every modality to the
    output. It is the smallest of the bilinear fusions, and the one to begin
    with.

    With S features in all N modalities together, the layer has
    `(S + N) * rank + (rank + 1) * units` weights, `N * rank` fewer without
    projection biases, and `(S + N) * units` more with the shortcut.

    Args:
        units: Integer, width of the output.
        rank: Integer, width of the projections, the paper's `d`. Defaults to
            `1200`, as published.
        activation: Activation function. Defaults to `"tanh"`.
        activate_product: Boolean. Whether the product is activated instead of
            each projection. Defaults to `False`, as published.
        projection_bias: Boolean. Whether projections have the biases `c`.
            Defaults to `True`.
        shortcut: Boolean. Whether to add a linear projection of each modality
            to the output. Defaults to `False`.

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

    >>> layer = keras_fusion.layers.LowRankBilinearPooling(3, rank=8)
    >>> image, text = keras.ops.ones((2, 5)), keras.ops.ones((2, 4))
    >>> tuple(layer([image, text]).shape), layer.count_params()
    ((2, 3), 115)

    Reference:

    - [Kim et al., 2017](https://arxiv.org/abs/1610.04325), equations 3 to 7;
      more than two modalities are our generalization.
    """

    of_vectors = True

    def __init__(
        self,
        units: int,
        rank: int = 1200,
        activation: Activation = "tanh",
        activate_product: bool = False,
        projection_bias: bool = True,
        shortcut: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_sizes(units=units, rank=rank)
        self.units = int(units)
        self.rank = int(rank)
        self.activation = keras.activations.get(activation)
        self.activate_product = activate_product
        self.projection_bias = projection_bias
        self.shortcut = shortcut

    def build(self, input_shape: list[Shape]) -> None:
        widths = check_vectors(self, input_shape)
        self.projections = [
            built_dense(
                self,
                f"projection_{m}",
                self.rank,
                width,
                use_bias=self.projection_bias,
            )
            for m, width in enumerate(widths)
        ]
        self.output_projection = built_dense(
            self,
            "output",
            self.units,
            self.rank,
            dtype=policy_behind_product(self.dtype_policy),
        )
        self.shortcuts = [
            built_dense(self, f"shortcut_{m}", self.units, width)
            for m, width in enumerate(widths)
            if self.shortcut
        ]
        self.remember_modalities(input_shape)

    def call(self, inputs: list[Tensor]) -> Tensor:
        # Products of modalities overflow half precision.
        wide = at_least_float32(self.compute_dtype)
        projected = [
            ops.cast(projection(x), wide)
            for projection, x in zip(self.projections, inputs, strict=True)
        ]
        if self.activate_product:
            product = self.activation(functools.reduce(ops.multiply, projected))
        else:
            activated = [self.activation(x) for x in projected]
            product = functools.reduce(ops.multiply, activated)
        output = self.output_projection(product)
        for shortcut, x in zip(self.shortcuts, inputs, strict=False):
            output = output + ops.cast(shortcut(x), output.dtype)
        return cast_within_range(output, self.compute_dtype)

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        return (input_shape[0][0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "rank": self.rank,
            "activation": keras.activations.serialize(self.activation),
            "activate_product": self.activate_product,
            "projection_bias": self.projection_bias,
            "shortcut": self.shortcut,
        }
