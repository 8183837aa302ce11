from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.layers.argument_validation import check_ndim
from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.argument_validation import check_vector
from keras_fusion.layers.built_dense import built_dense
from keras_fusion.layers.power_normalization import to_unit_length
from keras_fusion.layers.precision import at_least_float32
from keras_fusion.layers.precision import cast_within_range
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class TextConvolution(keras.layers.Layer):
    """Convolves every map with a kernel made from its own text.

    An affine map turns the text vector `t` of a sample into the bank of
    kernels for that sample:

        K = reshape(W t + b, (kernel_size, kernel_size, channels, filters))
        K = K / length of K as one vector                     normalize
        output = K convolved with the map, zeros beyond its border

    So the text says which channels to look for and, with `kernel_size` above
    1, in which arrangement. All samples are convolved at once. With channels
    and filters equal and `K` diagonal the layer would be a channel gate.

    With T text features, C channels, kernel size k and F filters, the layer
    has `(T + 1) * k * k * C * F` weights.

    Args:
        filters: Integer, channels of the output.
        kernel_size: Integer. Defaults to `1`, as published.
        normalize: Boolean. Whether to normalize kernels. Defaults to `True`.

    Call arguments:
        inputs: Tensor, the maps.
        conditioning: Tensor, the text vectors.

    Input shape:
        `inputs`: `(batch, height, width, channels)`;
        `conditioning`: `(batch, features)`.

    Output shape:
        `(batch, height, width, filters)`.

    Raises:
        ValueError: If a tensor has another number of axes, if channels or
            features are unknown, or if a size is under 1.

    Example:

    >>> layer = keras_fusion.layers.TextConvolution(filters=6, kernel_size=3)
    >>> maps = keras.random.normal((2, 8, 8, 4), seed=0)
    >>> text = keras.random.normal((2, 10), seed=0)
    >>> tuple(layer(maps, text).shape), layer.count_params()
    ((2, 8, 8, 6), 2376)

    Reference:

    - [Misra et al., 2018](https://arxiv.org/abs/1809.00786), the text kernels
      of LINGUNET; kernels larger than 1 are our generalization.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 1,
        normalize: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_sizes(filters=filters, kernel_size=kernel_size)
        self.filters = int(filters)
        self.kernel_size = int(kernel_size)
        self.normalize = normalize

    def build(self, inputs_shape: Shape, conditioning_shape: Shape) -> None:
        check_ndim(self, inputs_shape, 4, 4)
        self._taps = self.kernel_size**2 * check_channels(
            self, inputs_shape, -1
        )
        features = check_vector(self, conditioning_shape, "conditioning")
        self.affine = built_dense(
            self, "affine", self._taps * self.filters, features
        )

    def call(self, inputs: Tensor, conditioning: Tensor) -> Tensor:
        # (batch, taps, filters), taps being positions and channels
        kernels = ops.reshape(
            self._kernels(conditioning), (-1, self._taps, self.filters)
        )
        patches = self._patches(inputs)
        if not self.normalize:
            # Sums over taps overflow half precision.
            wide = at_least_float32(self.compute_dtype)
            patches, kernels = ops.cast(patches, wide), ops.cast(kernels, wide)
        outputs = ops.einsum("bhwt,btf->bhwf", patches, kernels)
        return cast_within_range(outputs, self.compute_dtype)

    def _kernels(self, conditioning: Tensor) -> Tensor:
        kernels = self.affine(conditioning)
        if self.normalize:
            # Squares overflow half precision.
            wide = at_least_float32(self.compute_dtype)
            kernels = to_unit_length(
                ops.cast(kernels, wide), self.compute_dtype
            )
        return ops.cast(kernels, self.compute_dtype)

    def _patches(self, maps: Tensor) -> Tensor:
        """The neighborhood of each pixel, `(batch, height, width, taps)`."""
        size = self.kernel_size
        if size == 1:
            return maps
        before = (size - 1) // 2
        margins = (before, size - 1 - before)
        height, width = ops.shape(maps)[1:3]
        padded = ops.pad(maps, [(0, 0), margins, margins, (0, 0)])
        shifted = [
            padded[:, row : row + height, column : column + width]
            for row in range(size)
            for column in range(size)
        ]
        return ops.concatenate(shifted, axis=-1)

    def compute_output_shape(
        self, inputs_shape: Shape, conditioning_shape: Shape
    ) -> Shape:
        return (*inputs_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "normalize": self.normalize,
        }
