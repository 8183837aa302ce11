"""What a model exchanges between its modalities, as numbers."""

import keras
import numpy as np

from keras_fusion.layers import ChannelExchange


def find_layers(
    model: keras.Model, layer_class: type[keras.layers.Layer]
) -> list[keras.layers.Layer]:
    """The layers of one class in a model, those of nested models included.

    Args:
        model: A `keras.Model`.
        layer_class: Class of the layers; subclasses do not count.

    Returns:
        List of layers.

    Example:

    >>> model = keras.Sequential([keras.layers.Dense(2, name="inner")])
    >>> model = keras.Sequential([model, keras.layers.Dense(3, name="outer")])
    >>> layers = keras_fusion.callbacks.find_layers(model, keras.layers.Dense)
    >>> [layer.name for layer in layers]
    ['inner', 'outer']
    """
    return [
        layer for layer in model._flatten_layers() if type(layer) is layer_class
    ]


def find_exchanges(model: keras.Model) -> list[ChannelExchange]:
    """The layers through which modalities can exchange channels.

    These are the `ChannelExchange` with a threshold over 0 and two or more
    modalities.

    Args:
        model: A built `keras.Model`.

    Returns:
        List of layers.
    """
    return [
        layer
        for layer in find_layers(model, ChannelExchange)
        if layer.built and layer.threshold > 0 and layer.gamma.shape[0] > 1
    ]


def exchanged_shares(model: keras.Model) -> np.ndarray | None:
    """For each modality the exchanged share of its penalized channels.

    Counted over all layers with a penalty or, if none has one, over all that
    exchange.

    Args:
        model: A built `keras.Model`.

    Returns:
        Array `(N,)`, or `None` if nothing in the model can exchange.

    Raises:
        ValueError: If layers exchange between different numbers of modalities.

    Example:

    >>> rgb, depth = keras.Input((4,)), keras.Input((4,))
    >>> layer = keras_fusion.layers.ChannelExchange(threshold=0.02)
    >>> model = keras.Model([rgb, depth], layer([rgb, depth]))
    >>> _ = layer.gamma.assign([[0.01, 1, 1, 1], [1, 1, 0.01, 0.01]])
    >>> [float(x) for x in keras_fusion.callbacks.exchanged_shares(model)]
    [0.5, 1.0]
    """
    layers = find_exchanges(model)
    layers = [layer for layer in layers if layer.l1 > 0] or layers
    if not layers:
        return None
    counts = {layer.name: layer.gamma.shape[0] for layer in layers}
    if len(set(counts.values())) > 1:
        raise ValueError(
            "Layers must exchange between the same modalities to be counted "
            f"together. Received: modalities={counts}. "
            "Ask each layer for its `exchanged_share`."
        )
    replaced = sum(
        (layer.exchanged & layer.penalized).sum(axis=1) for layer in layers
    )
    penalized = sum(layer.penalized.sum(axis=1) for layer in layers)
    return replaced / np.maximum(1, penalized)
