"""What the log-bilinear layers share: the context, and what they ask of it."""

import keras
from keras import ops

from keras_fusion.layers.input_checks import check_channels
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


def check_context(layer: keras.layers.Layer, shape: Shape) -> int:
    """Returns the number of context words of `(batch, ..., words)`."""
    if len(shape) < 2:
        raise ValueError(
            f"{layer.name} expects `context` of shape (batch, ..., words). "
            f"Received: shape {tuple(shape)}. "
            "Pass the indices of the words before the one to predict."
        )
    return check_channels(layer, shape, -1)


def check_modality(layer: keras.layers.Layer, shape: Shape) -> int:
    """Returns the width of `(batch, features)`."""
    if len(shape) != 2:
        raise ValueError(
            f"{layer.name} expects `modality` of shape (batch, features). "
            f"Received: shape {tuple(shape)}. "
            "Pool or flatten the other axes first."
        )
    return check_channels(layer, shape, -1)


def predict_embedding(embedded: Tensor, kernel: Tensor) -> Tensor:
    """Sums one linear map of the embedding for each position of the context.

    `embedded` is `(..., positions, width)`, `kernel` has one matrix for each
    position.
    """
    return ops.einsum("...pi,pij->...j", embedded, kernel)


def beside_positions(code: Tensor, context: Tensor) -> Tensor:
    """Shapes `(batch, width)` to broadcast against codes of the context."""
    positions = (1,) * (len(context.shape) - 2)
    return ops.reshape(code, (-1, *positions, code.shape[-1]))
