"""The dense layers that layers are made of."""

from typing import Any

import keras


def built_dense(
    layer: keras.layers.Layer, name: str, units: int, width: int, **kwargs: Any
) -> keras.layers.Dense:
    """Makes and builds a dense layer, with the dtype policy of `layer`.

    Built at once, so that a saved `layer` can be loaded without a call.

    Args:
        layer: The layer that it becomes a part of.
        name: String, its name.
        units: Integer, width of its output.
        width: Integer, width of its input.
        kwargs: Other arguments of `keras.layers.Dense`.
    """
    kwargs.setdefault("dtype", layer.dtype_policy)
    dense = keras.layers.Dense(units, name=name, **kwargs)
    dense.build((None, width))
    return dense
