from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.argument_validation import standardize_tuple
from keras_fusion.layers.empty_batch import fill_empty_batch
from keras_fusion.types import Activation
from keras_fusion.types import Initializer
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class MLPConv(keras.layers.Layer):
    """A convolution followed by a perceptron over channels, per pixel.

        h[1] = activation(convolution of x + b[1])
        h[l] = activation(W[l] h[l - 1] + b[l])     at each pixel, l = 2 .. L
        output = h[L]

    The later steps are 1x1 convolutions: they turn the linear filter of a
    convolution into a small network that is moved over the image.

    A head of class maps needs no fully connected layer: with one map a class
    in the last step, `keras.layers.GlobalAveragePooling2D` gives the logits.
    As published, the class maps go through ReLU before they are averaged, so
    that no logit is negative; `last_activation=None` leaves that out.

    With `f[l]` filters in step `l` the layer has `(kernel height * kernel
    width * channels + 1) * f[1] + sum over l > 1 of (f[l - 1] + 1) * f[l]`
    trainable weights.

    Args:
        filters: Sequence of integers, the filters of each step. The first is
            for the convolution.
        kernel_size: Integer or two, the window of the convolution.
        strides: Integer or two, the steps of its windows. Defaults to `1`.
        padding: `"valid"` or `"same"`. Defaults to `"same"`.
        activation: Activation of all steps but the last. Defaults to
            `"relu"`.
        last_activation: Activation of the last step. Defaults to `"relu"`.
        kernel_initializer: Initializer of all kernels, or a sequence of them,
            one for the kernel of each step. Defaults to `"glorot_uniform"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.

    Call arguments:
        inputs: Tensor.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` with channels first.

    Output shape:
        `(batch, new_height, new_width, filters[-1])`, or `(batch,
        filters[-1], new_height, new_width)`.

    Raises:
        ValueError: If `filters` is empty, or if there is another number of
            initializers.

    Example:

    >>> images = keras.ops.ones((2, 32, 32, 3))
    >>> layer = keras_fusion.layers.MLPConv([192, 160, 96], 5)
    >>> tuple(layer(images).shape)
    (2, 32, 32, 96)
    >>> layer.count_params()
    60928

    Reference:

    - [Lin et al., 2014](https://arxiv.org/abs/1312.4400), equation 2, with
      the activations of its released models.
    """

    def __init__(
        self,
        filters: Sequence[int],
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "same",
        activation: Activation = "relu",
        last_activation: Activation = "relu",
        kernel_initializer: Initializer
        | Sequence[Initializer] = "glorot_uniform",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not len(filters):
            raise ValueError(
                "`filters` must hold the filters of at least one step. "
                f"Received: filters={filters}"
            )
        for n, count in enumerate(filters):
            check_sizes(**{f"filters[{n}]": count})
        self.filters = tuple(map(int, filters))
        self.kernel_size = standardize_tuple("kernel_size", kernel_size, 2)
        self.strides = standardize_tuple("strides", strides, 2)
        self.padding = padding
        self.activation = keras.activations.get(activation)
        self.last_activation = keras.activations.get(last_activation)
        if isinstance(kernel_initializer, (list, tuple)):
            check_one_for_each(filters, kernel_initializer)
            self.kernel_initializer = [
                keras.initializers.get(each) for each in kernel_initializer
            ]
        else:
            self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.data_format = data_format or keras.config.image_data_format()
        self.steps = [self._make_step(step) for step in range(len(filters))]

    def _make_step(self, step: int) -> keras.layers.Conv2D:
        first, last = step == 0, step == len(self.filters) - 1
        initializer = self.kernel_initializer
        if isinstance(initializer, list):
            initializer = initializer[step]
        return keras.layers.Conv2D(
            self.filters[step],
            self.kernel_size if first else 1,
            strides=self.strides if first else 1,
            padding=self.padding,
            data_format=self.data_format,
            activation=self.last_activation if last else self.activation,
            # A copy: one without a seed would draw all kernels alike.
            kernel_initializer=keras.initializers.serialize(initializer),
            dtype=self.dtype_policy,
            name=f"step_{step}",
        )

    def build(self, input_shape: Shape) -> None:
        shape = input_shape
        for step in self.steps:
            step.build(shape)
            shape = step.compute_output_shape(shape)

    def call(self, inputs: Tensor) -> Tensor:
        outputs = fill_empty_batch(inputs)
        for step in self.steps:
            outputs = step(outputs)
        return outputs[: ops.shape(inputs)[0]]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = tuple(input_shape)
        for step in self.steps:
            shape = step.compute_output_shape(shape)
        return shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "activation": keras.activations.serialize(self.activation),
            "last_activation": keras.activations.serialize(
                self.last_activation
            ),
            "kernel_initializer": self._serialized_initializers(),
            "data_format": self.data_format,
        }

    def _serialized_initializers(self) -> Any:
        if isinstance(self.kernel_initializer, list):
            return list(
                map(keras.initializers.serialize, self.kernel_initializer)
            )
        return keras.initializers.serialize(self.kernel_initializer)


def check_one_for_each(
    filters: Sequence[int], initializers: Sequence[Initializer]
) -> None:
    if len(initializers) != len(filters):
        raise ValueError(
            "`kernel_initializer` must be one for all steps, or one for each. "
            f"Received: {len(initializers)} for filters={filters}"
        )
