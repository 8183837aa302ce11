"""The checks of arguments and of input shapes that layers share.

Every error names the argument, says what it must be, then what was received
and, where that is not plain, what to do.
"""

from collections.abc import Iterable
from collections.abc import Sequence
from itertools import repeat
from numbers import Integral
from operator import index
from typing import Any

import keras

from keras_fusion.types import Padding
from keras_fusion.types import Shape


def check_sizes(**sizes: int) -> None:
    """Raises unless every named size is an integer of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, Integral) or size < 1:
            raise ValueError(
                f"`{name}` must be an integer of at least 1. "
                f"Received: {name}={size}"
            )


def int_or_none(value: int | None) -> int | None:
    """`value` as Python's own integer, which JSON can hold, or None."""
    return None if value is None else index(value)


def check_built(layer: keras.layers.Layer, name: str) -> None:
    """Raises unless the weights are there that `name` looks at."""
    if not layer.built:
        raise ValueError(
            f"`{name}` of {layer.name} must be asked of a built layer. "
            "Received: a layer without weights. Call it on its inputs first."
        )


def check_not_negative(**values: float) -> None:
    """Raises unless every named value is at least 0."""
    for name, value in values.items():
        if value < 0:
            raise ValueError(
                f"`{name}` must be at least 0. Received: {name}={value}"
            )


def check_multiple(
    name: str, value: int, divisor_name: str, divisor: int
) -> None:
    """Raises unless `divisor` divides `value`."""
    if value % divisor:
        raise ValueError(
            f"`{name}` must be a multiple of `{divisor_name}`. "
            f"Received: {name}={value}, {divisor_name}={divisor}"
        )


def standardize_tuple(
    name: str, value: int | Sequence[int], n: int
) -> tuple[int, ...]:
    """Returns `value` as a tuple of `n` positive integers."""
    given: Any = value
    sizes = tuple(given) if isinstance(given, Iterable) else (given,) * n
    whole = all(isinstance(size, Integral) for size in sizes)
    if len(sizes) != n or not whole or min(sizes) < 1:
        raise ValueError(
            f"`{name}` must be a positive integer, or {n} of them. "
            f"Received: {name}={value}"
        )
    return tuple(map(int, sizes))


def standardize_padding(padding: Padding, n: int) -> Padding:
    """Returns `padding` in lower case, or as a tuple of `n` pairs."""
    names = ["valid", "same", "causal"][: 3 if n == 1 else 2]
    if isinstance(padding, str):
        if padding.lower() in names:
            return padding.lower()
    else:
        pairs = tuple((*pair,) for pair in padding)
        if len(pairs) == n and all(
            len(pair) == 2 and min(pair) >= 0 for pair in pairs
        ):
            return tuple((int(before), int(after)) for before, after in pairs)
    raise ValueError(
        f"`padding` must be one of {names} or a tuple of {n} pairs "
        f"(before, after). Received: padding={padding}"
    )


def standardize_data_format(data_format: str | None) -> str:
    """Returns `data_format`, or Keras's default where it is None."""
    if data_format is None:
        return keras.config.image_data_format()
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            '`data_format` must be "channels_last" or "channels_first". '
            f"Received: data_format={data_format}"
        )
    return data_format


def check_modalities(
    layer: keras.layers.Layer, shapes: list[Shape], at_least: int = 2
) -> None:
    """Raises unless `shapes` is a list of at least that many shapes."""
    is_list = isinstance(shapes, list | tuple) and all(
        isinstance(shape, list | tuple) for shape in shapes
    )
    if not is_list or len(shapes) < at_least:
        raise ValueError(
            f"`inputs` of {layer.name} must be a list of at least {at_least} "
            f"tensor{'s' if at_least > 1 else ''}, one for each modality. "
            f"Received: inputs_shape={shapes}. "
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
                f"`inputs` of {layer.name} must be modalities of one shape. "
                f"Received: inputs_shape={[tuple(shape) for shape in shapes]}. "
                "Resize or project them to equal shapes first."
            )


def check_channels(
    layer: keras.layers.Layer, shape: Shape, axis: int, name: str = "inputs"
) -> int:
    """Returns the size of `axis`, which has to exist and to be known."""
    channels = shape[axis] if -len(shape) <= axis < len(shape) else None
    if channels is None:
        raise ValueError(
            f"`{name}` of {layer.name} must have a known number of channels "
            f"on axis {axis}. Received: {name}_shape={tuple(shape)}. "
            "Set that dimension in `keras.Input`, or pass another `axis`."
        )
    return channels


def check_known_sizes(
    layer: keras.layers.Layer, shape: Shape, advice: str
) -> None:
    """Raises if a size besides the batch's is unknown."""
    if None in shape[1:]:
        raise ValueError(
            f"`inputs` of {layer.name} must have known sizes, as every "
            "position has its own weights. "
            f"Received: inputs_shape={tuple(shape)}. {advice}"
        )


def check_ndim(
    layer: keras.layers.Layer,
    shape: Shape,
    at_least: int,
    at_most: int | None = None,
    name: str = "inputs",
    advice: str = "",
) -> None:
    """Raises unless the number of axes is in the range."""
    if not at_least <= len(shape) <= (at_most or len(shape)):
        allowed = f"at least {at_least}"
        if at_most is not None:
            allowed = " or ".join(map(str, range(at_least, at_most + 1)))
        received = f"Received: {name}_shape={tuple(shape)}"
        raise ValueError(
            f"`{name}` of {layer.name} must have {allowed} dimensions. "
            + (f"{received}. {advice}" if advice else received)
        )


def check_vector(
    layer: keras.layers.Layer, shape: Shape, name: str = "inputs"
) -> int:
    """Returns the number of features of a shape `(batch, features)`."""
    if len(shape) != 2:
        raise ValueError(
            f"`{name}` of {layer.name} must be of shape (batch, features). "
            f"Received: {name}_shape={tuple(shape)}. "
            "Pool or flatten the other axes first."
        )
    return check_channels(layer, shape, -1, name)


def check_vectors(layer: keras.layers.Layer, shapes: list[Shape]) -> list[int]:
    """Returns the widths of modalities of shape `(batch, features)`."""
    check_modalities(layer, shapes)
    widths = [
        check_vector(layer, shape, f"inputs[{m}]")
        for m, shape in enumerate(shapes)
    ]
    batches = {shape[0] for shape in shapes} - {None}
    if len(batches) > 1:
        raise ValueError(
            f"`inputs` of {layer.name} must be modalities of one batch size. "
            f"Received: inputs_shape={[tuple(shape) for shape in shapes]}. "
            "Pass the same samples of every modality."
        )
    return widths


def check_presence(
    layer: keras.layers.Layer, shape: Shape, modalities: int
) -> None:
    """Raises unless there is one column for each modality."""
    if len(shape) != 2 or shape[1] != modalities:
        raise ValueError(
            f"`presence` of {layer.name} must be of shape "
            f"(batch, {modalities}), one column for each modality. "
            f"Received: presence_shape={tuple(shape)}"
        )


def check_as_built(
    layer: keras.layers.Layer,
    inputs: Any,
    channels: Sequence[int | None],
    axis: int,
) -> None:
    """Raises unless `inputs` are the modalities that `layer` was built for.

    Args:
        layer: The layer that is called.
        inputs: What it is called with.
        channels: Sequence, the channels of each modality on `axis`; None
            where they may have any number.
        axis: Integer, the axis of the channels.
    """
    received: Any = type(inputs).__name__
    fits = isinstance(inputs, list | tuple) and len(inputs) == len(channels)
    if isinstance(inputs, list | tuple):
        received = [tuple(x.shape) for x in inputs]
    if not fits or not all(
        map(_has_channels, received, channels, repeat(axis))
    ):
        raise ValueError(
            f"`inputs` of {layer.name} must be a list of the "
            f"{len(channels)} modalities that it was built for, with "
            f"channels {list(channels)} on axis {axis}. "
            f"Received: inputs_shape={received}. Pass the same modalities in "
            "the same order, or make another layer for these."
        )


def _has_channels(shape: Shape, channels: int | None, axis: int) -> bool:
    if channels is None:
        return True
    if not -len(shape) <= axis < len(shape):
        return False
    return shape[axis] is None or shape[axis] == channels
