import keras

from keras_fusion.layers.locally_connected import LocallyConnected


@keras.saving.register_keras_serializable(package="keras_fusion")
class LocallyConnected3D(LocallyConnected):
    """A convolution of volumes whose weights differ from position to position.

    A matrix of its own multiplies the window of every output position `p`:

        output[p, f] = activation(sum over i, j, k, c of
                       window[p][i, j, k, c] * kernel[p, (i, j, k, c), f]
                       + bias[p, f])

    It suits registered volumes, such as brain scans in one atlas, and clips
    of a fixed camera. Windows lie as those of `keras.layers.Conv3D` with the
    same arguments. Keras 2 had no such layer; arguments, weights and methods
    follow `LocallyConnected2D`.

    With P output positions the layer has `P * filters * (product of
    kernel_size * channels / groups + 1)` trainable weights.

    Args:
        filters: Integer, the number of output channels.
        kernel_size: Integer or three, the sizes of a window.
        strides: Integer or three, steps from window to window. Defaults to
            `1`.
        padding: `"valid"`, `"same"`, or three pairs `(before, after)` of
            zeros to add. Defaults to `"valid"`.
        **kwargs: As for `keras_fusion.layers.LocallyConnected2D`, in its
            order, with three sizes for every two.

    Call arguments:
        inputs: Tensor.

    Input shape:
        `(batch, depth, height, width, channels)`, or with the channels
        behind the batch with channels first. All but the batch have to be
        known.

    Output shape:
        `(batch, new_depth, new_height, new_width, filters)`, or with the
        filters behind the batch, of the sizes that `Conv3D` gives.

    Raises:
        ValueError: If an argument is out of its range, if the input's sizes are
            unknown or smaller than a window, or if `groups` does not divide
            channels and filters.

    Example:

    >>> layer = keras_fusion.layers.LocallyConnected3D(2, 3, strides=2)
    >>> tuple(layer(keras.ops.ones((1, 9, 7, 5, 4))).shape)
    (1, 4, 3, 2, 2)
    >>> tuple(layer.kernel.shape)
    (24, 108, 2)
    """

    rank = 3
