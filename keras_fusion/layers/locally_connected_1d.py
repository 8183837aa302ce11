import keras

from keras_fusion.layers.locally_connected import LocallyConnected


@keras.saving.register_keras_serializable(package="keras_fusion")
class LocallyConnected1D(LocallyConnected):
    """A convolution of sequences whose weights differ from step to step.

    A matrix of its own multiplies the window of every output step `p`:

        output[p, f] = activation(sum over i, c of
                       window[p][i, c] * kernel[p, (i, c), f] + bias[p, f])

    It suits sequences of fixed length whose positions mean different things,
    such as genomic windows or hours of a day. Windows lie as those of
    `keras.layers.Conv1D` with the same arguments. As in the other locally
    connected layers, weights and `.h5` models of Keras 2 load as they are,
    `from_conv` starts from a convolution, `to_dense` writes one matrix and
    `load_keras2_weights` takes the weights of any Keras 2 implementation.

    With P output steps the layer has `P * filters * (kernel_size * channels /
    groups + 1)` trainable weights.

    Args:
        filters: Integer, the number of output channels.
        kernel_size: Integer, the length of a window.
        strides: Integer, steps from window to window. Defaults to `1`.
        padding: `"valid"`, `"same"`, `"causal"` for windows that end at
            their step, or a tuple of one pair `(before, after)` of zeros to
            add. Defaults to `"valid"`.
        **kwargs: As for `keras_fusion.layers.LocallyConnected2D`, in its
            order, with one size for every two.

    Call arguments:
        inputs: Tensor.

    Input shape:
        `(batch, steps, channels)`, or `(batch, channels, steps)` with
        channels first. All but the batch have to be known.

    Output shape:
        `(batch, new_steps, filters)`, or `(batch, filters, new_steps)`, of
        the length that `Conv1D` gives.

    Raises:
        ValueError: If an argument is out of its range, if the input's length is
            unknown or smaller than a window, or if `groups` does not divide
            channels and filters.

    Example:

    >>> layer = keras_fusion.layers.LocallyConnected1D(2, 3, padding="causal")
    >>> tuple(layer(keras.ops.ones((1, 24, 5))).shape)
    (1, 24, 2)
    >>> tuple(layer.kernel.shape), tuple(layer.bias.shape)
    ((24, 15, 2), (24, 2))
    """

    rank = 1
