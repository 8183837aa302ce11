from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_ndim
from keras_fusion.layers.argument_validation import standardize_data_format
from keras_fusion.layers.precision import at_least_float32
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class ResizeLike(keras.layers.Layer):
    """Resizes maps bilinearly to the height and width of another tensor.

    Each position axis of size `n` is resized to the size `m` of the target by
    a matrix of hat functions, so that any size, known or not, will do:

        weight[i, j] = max(0, 1 - |position(i) - j|)
        position(i) = i * (n - 1) / (m - 1)                   align_corners
        position(i) = clip((i + 1/2) * n / m - 1/2, 0, n - 1)     otherwise

    With `align_corners=True` the corner pixels of the input are those of the
    output, as in the decoders of networks that were published for PyTorch.
    Otherwise pixels are areas and the result is that of
    `keras.ops.image.resize`, which needs sizes that are known.

    Some published networks train on bilinear maps and are measured on bicubic
    ones. With `cubic_inference=True` the weights outside of training are those
    of OpenCV: the hat is Keys's cubic with -3/4 for its slope at 1, positions
    are not clipped, and beyond the border its pixels are repeated.

    Args:
        align_corners: Boolean. Whether the centers of the corner pixels fall
            together. Defaults to `False`.
        cubic_inference: Boolean. Whether to resize bicubically outside of
            training. Defaults to `False`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.

    Call arguments:
        inputs: Tensor, the maps to resize.
        target: Tensor that has the wanted height and width; neither its
            values nor its number of channels matter.
        training: Boolean. Matters with `cubic_inference` only.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with channels first; both tensors.

    Output shape:
        That of the input, with the height and width of the target.

    Raises:
        ValueError: If one of the tensors does not have four dimensions.

    Example:

    >>> maps = keras.ops.reshape([0.0, 2.0, 4.0, 6.0], (1, 2, 2, 1))
    >>> target = keras.ops.zeros((1, 3, 3, 8))
    >>> layer = keras_fusion.layers.ResizeLike(align_corners=True)
    >>> keras.ops.convert_to_numpy(layer(maps, target))[0, :, :, 0]
    array([[0., 1., 2.],
           [2., 3., 4.],
           [4., 5., 6.]], dtype=float32)
    """

    def __init__(
        self,
        align_corners: bool = False,
        cubic_inference: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.align_corners = align_corners
        self.cubic_inference = cubic_inference
        self.data_format = standardize_data_format(data_format)
        first = self.data_format == "channels_first"
        self._height_axis = 2 if first else 1

    def build(self, inputs_shape: Shape, target_shape: Shape) -> None:
        for name, shape in (("inputs", inputs_shape), ("target", target_shape)):
            check_ndim(self, shape, 4, 4, name)

    def call(
        self, inputs: Tensor, target: Tensor, training: bool = False
    ) -> Tensor:
        axis = self._height_axis
        sizes, targets = ops.shape(inputs), ops.shape(target)
        cubic = self.cubic_inference and not training
        weights = self._cubic_weights if cubic else self._weights
        height = weights(sizes[axis], targets[axis])
        width = weights(sizes[axis + 1], targets[axis + 1])
        if self.data_format == "channels_first":
            wide = ops.matmul(inputs, ops.transpose(width))
            outputs = ops.matmul(height, wide)
        else:
            wide = ops.matmul(width, inputs)
            batch, rows, columns, channels = ops.shape(wide)
            lines = ops.reshape(wide, (batch, rows, columns * channels))
            outputs = ops.reshape(
                ops.matmul(height, lines),
                (batch, targets[axis], columns, channels),
            )
        # Keras multiplies matrices of float64 in float32 on PyTorch.
        return ops.cast(outputs, self.compute_dtype)

    def _weights(self, size: Any, target_size: Any) -> Tensor:
        """The matrix that resizes an axis, `(target_size, size)`."""
        positions = self._positions(size, target_size)
        positions = ops.clip(positions, 0.0, ops.cast(size - 1, self._wide))
        distances = positions[:, None] - ops.arange(size, dtype=self._wide)
        weights = ops.maximum(1.0 - ops.abs(distances), 0.0)
        return ops.cast(weights, self.compute_dtype)

    def _cubic_weights(self, size: Any, target_size: Any) -> Tensor:
        """The same, each row with the four pixels around its position."""
        positions = self._positions(size, target_size)
        last = ops.cast(size - 1, self._wide)
        pixels = ops.arange(size, dtype=self._wide)
        weights = 0.0
        for tap in (-1.0, 0.0, 1.0, 2.0):
            neighbors = ops.floor(positions) + tap
            weight = keys_cubic(ops.abs(positions - neighbors))
            reached = ops.clip(neighbors, 0.0, last)[:, None] == pixels
            weights = weights + ops.where(reached, weight[:, None], 0.0)
        return ops.cast(weights, self.compute_dtype)

    def _positions(self, size: Any, target_size: Any) -> Tensor:
        """Where the pixels of the target fall on the axis."""
        positions = ops.arange(target_size, dtype=self._wide)
        if self.align_corners:
            last = ops.maximum(ops.cast(target_size - 1, self._wide), 1.0)
            # Divided last: the last position must come out whole.
            return positions * ops.cast(size - 1, self._wide) / last
        ratio = ops.cast(size, self._wide) / ops.cast(target_size, self._wide)
        return (positions + 0.5) * ratio - 0.5

    @property
    def _wide(self) -> str:
        return at_least_float32(self.compute_dtype)

    def compute_output_shape(
        self, inputs_shape: Shape, target_shape: Shape
    ) -> Shape:
        axis = self._height_axis
        return (
            *inputs_shape[:axis],
            *target_shape[axis : axis + 2],
            *inputs_shape[axis + 2 :],
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "align_corners": self.align_corners,
            "cubic_inference": self.cubic_inference,
            "data_format": self.data_format,
        }


def keys_cubic(distance: Tensor) -> Tensor:
    """The weight of a pixel at a distance from 0 to 2."""
    slope = -0.75
    near = ((slope + 2) * distance - (slope + 3)) * distance**2 + 1
    far = slope * (((distance - 5) * distance + 8) * distance - 4)
    return ops.where(distance <= 1, near, far)
