"""The shape errors that fusion layers share."""

import keras

from keras_fusion.types import Shape


def check_modalities(
    layer: keras.layers.Layer, shapes: list[Shape], at_least: int = 2
) -> None:
    """Raises unless `shapes` is a list of at least that many shapes."""
    is_list = isinstance(shapes, list | tuple) and all(
        isinstance(shape, list | tuple) for shape in shapes
    )
    if not is_list or len(shapes) < at_least:
        raise ValueError(
            f"{layer.name} expects a list of at least {at_least} "
            f"tensor{'s' if at_least > 1 else ''}, one for each modality. "
            f"Received: input_shape={shapes}. "
            "Call it as `layer([first, second, ...])`."
        )


def check_same_shape(layer: keras.layers.Layer, shapes: list[Shape]) -> None:
    """Raises where two known dimensions of the modalities differ."""
    first = tuple(shapes[0])
    for shape in shapes[1:]:
        same_rank = len(shape) == len(first)
        if not same_rank or any(
            a is not None and b is not None and a != b
            for a, b in zip(first, shape, strict=True)
        ):
            raise ValueError(
                f"{layer.name} expects modalities of one shape. "
                f"Received: {[tuple(shape) for shape in shapes]}. "
                "Resize or project them to equal shapes first."
            )


def check_channels(layer: keras.layers.Layer, shape: Shape, axis: int) -> int:
    """Returns the size of `axis`, which has to exist and to be known."""
    if not -len(shape) <= axis < len(shape) or shape[axis] is None:
        raise ValueError(
            f"{layer.name} needs a known number of channels on axis {axis}. "
            f"Received: input shape {tuple(shape)}. "
            "Set that dimension in `keras.Input`, or pass another `axis`."
        )
    return shape[axis]
