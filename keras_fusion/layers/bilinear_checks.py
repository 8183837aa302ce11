"""What bilinear layers ask of their sizes and of their inputs."""

import keras

from keras_fusion.layers.input_checks import check_channels
from keras_fusion.layers.input_checks import check_modalities
from keras_fusion.types import Shape


def check_sizes(**sizes: int) -> None:
    """Raises unless every named size is an integer of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(
                f"`{name}` must be an integer of at least 1. "
                f"Received: {name}={size}"
            )


def check_vectors(layer: keras.layers.Layer, shapes: list[Shape]) -> list[int]:
    """Returns the widths of modalities of shape `(batch, features)`."""
    check_modalities(layer, shapes)
    for shape in shapes:
        if len(shape) != 2:
            raise ValueError(
                f"{layer.name} expects vectors of shape (batch, features). "
                f"Received: {[tuple(shape) for shape in shapes]}. "
                "Pool or flatten the other axes first."
            )
    batches = {shape[0] for shape in shapes} - {None}
    if len(batches) > 1:
        raise ValueError(
            f"{layer.name} expects modalities of one batch size. "
            f"Received: {[tuple(shape) for shape in shapes]}. "
            "Pass the same samples of every modality."
        )
    return [check_channels(layer, shape, -1) for shape in shapes]


def check_ndim(
    layer: keras.layers.Layer,
    shapes: dict[str, Shape],
    at_least: int,
    at_most: int | None = None,
) -> None:
    """Raises unless each named shape has a number of axes in the range."""
    for name, shape in shapes.items():
        if not at_least <= len(shape) <= (at_most or len(shape)):
            wanted = f"at least {at_least}"
            if at_most is not None:
                wanted = " or ".join(map(str, range(at_least, at_most + 1)))
            raise ValueError(
                f"{layer.name} expects `{name}` to have {wanted} dimensions. "
                f"Received: shape {tuple(shape)}."
            )
