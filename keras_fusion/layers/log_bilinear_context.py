"""What the log-bilinear layers share: the context, and what they ask of it."""

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.layers.argument_validation import check_ndim
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


def check_context(layer: keras.layers.Layer, shape: Shape) -> int:
    """Returns the number of context words of `(batch, ..., words)`."""
    check_ndim(
        layer,
        shape,
        2,
        name="context",
        advice="Pass the indices of the words before the one to predict.",
    )
    return check_channels(layer, shape, -1, "context")


def to_indices(layer: keras.layers.Layer, context: Tensor) -> Tensor:
    """Returns the words of `context` as integers.

    Numbers that half precision has rounded would be other words. Keras casts
    those of float32 to it under a mixed policy.
    """
    dtype = keras.backend.standardize_dtype(context.dtype)
    if dtype in ("float16", "bfloat16"):
        raise ValueError(
            f"`context` of {layer.name} must be integers, as {dtype} cannot "
            "hold the indices of many words. Received: context of a float "
            'type. Pass `dtype="int32"` to `keras.Input`.'
        )
    return ops.cast(context, "int32")


def predict_embedding(embedded: Tensor, kernel: Tensor) -> Tensor:
    """Sums one linear map of the embedding for each position of the context.

    `embedded` is `(..., positions, width)`, `kernel` has one matrix for each
    position.
    """
    kernel = ops.convert_to_tensor(kernel)
    # Keras multiplies matrices of float64 in float32 on PyTorch.
    embedded = ops.cast(embedded, kernel.dtype)
    # As one product of matrices: the gradient of an einsum with an ellipsis
    # takes TensorFlow many times as long.
    positions, width, units = kernel.shape
    flat = ops.reshape(embedded, (*ops.shape(embedded)[:-2], positions * width))
    kernel = ops.reshape(kernel, (positions * width, units))
    return ops.matmul(flat, kernel)


def beside_positions(code: Tensor, context: Tensor) -> Tensor:
    """Shapes `(batch, width)` to broadcast against codes of the context."""
    positions = (1,) * (len(context.shape) - 2)
    return ops.reshape(code, (-1, *positions, code.shape[-1]))
