import keras

from keras_fusion.layers.locally_connected import LocallyConnected


@keras.saving.register_keras_serializable(package="keras_fusion")
class LocallyConnected2D(LocallyConnected):
    """A convolution of images whose weights differ from position to position.

    A matrix of its own multiplies the window of every output position `p`:

        output[p, f] = activation(sum over i, j, c of
                       window[p][i, j, c] * kernel[p, (i, j, c), f]
                       + bias[p, f])

    It suits inputs in which positions mean different things: aligned faces,
    sensor grids, spectrograms, a fixed camera. Windows lie as those of
    `keras.layers.Conv2D` with the same arguments, and with equal weights at
    all positions the layer is that convolution; `from_conv` starts it there.

    The first fifteen arguments are those of Keras 2, in their order, and the
    weights have the shapes and the meaning of its `implementation=1`, so that
    old weights and `.h5` models load (`custom_objects={"LocallyConnected2D":
    LocallyConnected2D}`). `load_keras2_weights` takes those of all three.
    Unlike in Keras 2, initializers that go by fans see one position, so that
    stacked layers keep the spread of their inputs.

    With P output positions the layer has `P * filters * (kernel_size[0] *
    kernel_size[1] * channels / groups + 1)` trainable weights.

    Args:
        filters: Integer, the number of output channels.
        kernel_size: Integer or two, height and width of a window.
        strides: Integer or two, steps from window to window. Defaults to `1`.
        padding: `"valid"`, `"same"`, or two pairs `(before, after)` of zeros
            to add. Defaults to `"valid"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        activation: Activation of the output. Defaults to `None`.
        use_bias: Boolean. Whether to add a bias. Defaults to `True`.
        kernel_initializer: Initializer of the kernel `(P, kernel_size[0] *
            kernel_size[1] * channels / groups, filters)`. Defaults to
            `"glorot_uniform"`, with the fans of `Conv2D`.
        bias_initializer: Initializer of the bias. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of the kernel.
        bias_regularizer: Regularizer of the bias.
        activity_regularizer: Regularizer of the output.
        kernel_constraint: Constraint of the kernel.
        bias_constraint: Constraint of the bias.
        implementation: 1, 2 or 3. Has no effect: the three of Keras 2 differ
            in how they compute the same. Defaults to `1`.
        dilation_rate: Integer or two, steps within a window. Defaults to `1`.
        groups: Integer. Parts of the channels, each seen by its part of the
            filters. Defaults to `1`.
        legacy_same: Boolean. Whether `padding="same"` starts windows at
            `position * strides - kernel_size // 2`, as implementations 2 and
            3 of Keras 2 do. Defaults to `False`, as convolutions.
        patch_limit: Integer. Number of values in all windows of one sample
            from which on they are made a few rows at a time, and again in the
            backward pass, which takes less memory and more time. Defaults to
            `2**20`.

    Call arguments:
        inputs: Tensor.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` with channels first. All but the batch have to be known.

    Output shape:
        `(batch, new_height, new_width, filters)`, or `(batch, filters,
        new_height, new_width)`, of the sizes that `Conv2D` gives.

    Raises:
        ValueError: If an argument is out of its range, if the input's sizes are
            unknown or smaller than a window, or if `groups` does not divide
            channels and filters.

    Example:

    >>> layer = keras_fusion.layers.LocallyConnected2D(64, 3)
    >>> tuple(layer(keras.ops.ones((1, 32, 32, 3))).shape)
    (1, 30, 30, 64)
    >>> layer.count_params()
    1612800

    Reference:

    - [Taigman et al., 2014](https://doi.org/10.1109/CVPR.2014.220), the
      layers L4 to L6 of DeepFace.
    """

    rank = 2
