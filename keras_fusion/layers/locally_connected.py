import math
import warnings
from collections.abc import Sequence
from typing import Any
from typing import Self

import keras
import numpy as np
from keras import ops

from keras_fusion.layers.argument_validation import check_built
from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.layers.argument_validation import check_known_sizes
from keras_fusion.layers.argument_validation import check_multiple
from keras_fusion.layers.argument_validation import check_ndim
from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.argument_validation import standardize_data_format
from keras_fusion.layers.argument_validation import standardize_padding
from keras_fusion.layers.argument_validation import standardize_tuple
from keras_fusion.layers.local_matrix import matrix_indices
from keras_fusion.layers.local_windows import Axis
from keras_fusion.layers.local_windows import count_pieces
from keras_fusion.layers.local_windows import multiply_windows
from keras_fusion.layers.local_windows import multiply_windows_in_pieces
from keras_fusion.layers.local_windows import plan_axis
from keras_fusion.layers.position_fans import scale_to_position
from keras_fusion.types import Activation
from keras_fusion.types import Constraint
from keras_fusion.types import Initializer
from keras_fusion.types import Padding
from keras_fusion.types import Regularizer
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


class LocallyConnected(keras.layers.Layer):
    """What LocallyConnected1D, 2D and 3D are but for their `rank`."""

    rank: int

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: Padding = "valid",
        data_format: str | None = None,
        activation: Activation = None,
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        kernel_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        activity_regularizer: Regularizer = None,
        kernel_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        implementation: int = 1,
        dilation_rate: int | Sequence[int] = 1,
        groups: int = 1,
        legacy_same: bool = False,
        patch_limit: int = 2**20,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        check_sizes(filters=filters, groups=groups, patch_limit=patch_limit)
        check_multiple("filters", filters, "groups", groups)
        if implementation not in (1, 2, 3):
            raise ValueError(
                "`implementation` must be 1, 2 or 3, as in Keras 2. "
                f"Received: implementation={implementation}"
            )
        self.filters = int(filters)
        self.kernel_size = standardize_tuple(
            "kernel_size", kernel_size, self.rank
        )
        self.strides = standardize_tuple("strides", strides, self.rank)
        self.padding = standardize_padding(padding, self.rank)
        self.data_format = standardize_data_format(data_format)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.implementation = int(implementation)
        self.dilation_rate = standardize_tuple(
            "dilation_rate", dilation_rate, self.rank
        )
        self.groups = int(groups)
        self.legacy_same = legacy_same
        self.patch_limit = int(patch_limit)
        self._channels_first = self.data_format == "channels_first"

    def build(self, input_shape: Shape) -> None:
        axes = self._plan(input_shape)
        if self.implementation != 1 and axes != self._plan(input_shape, True):
            warnings.warn(
                f"{self.name} comes from `implementation="
                f"{self.implementation}` of Keras 2, which placed windows "
                'under padding="same" otherwise than convolutions do. Pass '
                "`legacy_same=True` to get its numbers.",
                stacklevel=2,
            )
        self._axes = axes
        self._channels = input_shape[1 if self._channels_first else -1]
        positions = math.prod(axis.windows for axis in axes)
        entries = math.prod(self.kernel_size) * self._channels
        self._pieces = count_pieces(
            axes[0].windows, math.ceil(positions * entries / self.patch_limit)
        )
        self.kernel = self.add_weight(
            shape=(positions, entries // self.groups, self.filters),
            initializer=scale_to_position(
                self.kernel_initializer, math.prod(self.kernel_size)
            ),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(*(axis.windows for axis in axes), self.filters),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))

    def _plan(
        self, input_shape: Shape, legacy_same: bool | None = None
    ) -> tuple[Axis, ...]:
        """Checks the shape of the input and places the windows in it."""
        check_ndim(self, input_shape, self.rank + 2, self.rank + 2)
        axis = 1 if self._channels_first else -1
        channels = check_channels(self, input_shape, axis)
        check_multiple("channels", channels, "groups", self.groups)
        check_known_sizes(
            self,
            input_shape,
            "Set all dimensions but the batch in `keras.Input`.",
        )
        first = 2 if self._channels_first else 1
        sizes = tuple(input_shape[first : first + self.rank])
        if legacy_same is None:
            legacy_same = self.legacy_same
        axes = tuple(
            plan_axis(
                size,
                self.kernel_size[n],
                self.strides[n],
                self.dilation_rate[n],
                self.padding
                if isinstance(self.padding, str)
                else self.padding[n],
                legacy_same,
            )
            for n, size in enumerate(sizes)
        )
        if any(axis.windows < 1 for axis in axes):
            raise ValueError(
                f"`inputs` of {self.name} must not be smaller than a window. "
                f"Received: inputs_shape={tuple(input_shape)}, kernel_size="
                f"{self.kernel_size}, dilation_rate={self.dilation_rate}. "
                'Use a smaller window, or padding="same".'
            )
        return axes

    def call(self, inputs: Tensor) -> Tensor:
        arguments = (
            self._positions_first(inputs),
            self._kernel_by_group(),
            self._axes,
            self._channels_first,
        )
        if self._pieces > 1:
            outputs = multiply_windows_in_pieces(*arguments, self._pieces)
        else:
            outputs = multiply_windows(*arguments)
        outputs = self._batch_first(outputs)
        if self.use_bias:
            bias = self.bias
            if self._channels_first:
                # Keras 2 declares (*positions, filters) and reads this.
                bias = ops.reshape(bias, (self.filters, *bias.shape[:-1]))
            outputs = outputs + bias
        return self.activation(outputs)

    def _positions_first(self, inputs: Tensor) -> Tensor:
        """Pads, and moves to `(*sizes, groups, batch, channels)`."""
        sizes = tuple(axis.size for axis in self._axes)
        channels = (self.groups, self._channels // self.groups)
        if self._channels_first:
            x = ops.reshape(inputs, (-1, *channels, *sizes))
            order = (*range(3, 3 + self.rank), 1, 0, 2)
        else:
            x = ops.reshape(inputs, (-1, *sizes, *channels))
            order = (*range(1, 2 + self.rank), 0, 2 + self.rank)
        x = ops.transpose(x, order)
        pads = [(axis.before, axis.after) for axis in self._axes]
        if any(map(any, pads)):
            x = ops.pad(x, [*pads, (0, 0), (0, 0), (0, 0)])
        return x

    def _kernel_by_group(self) -> Tensor:
        positions, entries, filters = self.kernel.shape
        shape = (positions, entries, self.groups, filters // self.groups)
        kernel = ops.reshape(self.kernel, shape)
        if self.groups == 1:
            return ops.reshape(kernel, (positions, 1, entries, filters))
        return ops.transpose(kernel, (0, 2, 1, 3))

    def _batch_first(self, outputs: Tensor) -> Tensor:
        """From `(positions, groups, batch, filters of a group)`."""
        windows = tuple(axis.windows for axis in self._axes)
        if self._channels_first:
            outputs = ops.transpose(outputs, (2, 1, 3, 0))
            return ops.reshape(outputs, (-1, self.filters, *windows))
        outputs = ops.transpose(outputs, (2, 0, 1, 3))
        return ops.reshape(outputs, (-1, *windows, self.filters))

    @classmethod
    def from_conv(cls, conv: keras.layers.Layer, input_shape: Shape) -> Self:
        """Makes a layer that starts as the given convolution.

        Args:
            conv: A built convolution of as many dimensions.
            input_shape: Tuple, the shape of the input with its batch axis.

        Returns:
            A built layer with the convolution's arguments and, at every
            position, its weights.
        """
        convolution = getattr(keras.layers, f"Conv{cls.rank}D")
        if not isinstance(conv, convolution) or not conv.built:
            raise ValueError(
                "`conv` must be a built "
                f"keras.layers.{convolution.__name__}. Received: conv={conv}"
            )
        layer = cls.from_config({**conv.get_config(), "name": None})
        layer.build(input_shape)
        kernel = ops.convert_to_numpy(conv.kernel)
        if layer._channels_first:
            kernel = np.moveaxis(kernel, -2, 0)
        kernel = kernel.reshape(1, *layer.kernel.shape[1:])
        layer.kernel.assign(np.broadcast_to(kernel, layer.kernel.shape))
        if layer.use_bias:
            bias = ops.convert_to_numpy(conv.bias)
            if layer._channels_first:
                bias = np.repeat(bias, layer.kernel.shape[0])
                bias = bias.reshape(layer.bias.shape)
            layer.bias.assign(np.broadcast_to(bias, layer.bias.shape))
        return layer

    def to_dense(self) -> tuple[np.ndarray, np.ndarray]:
        """Writes the layer as one matrix, mostly of zeros.

        Returns:
            Arrays `(inputs, outputs)` and `(outputs,)`, kernel and bias of
            a dense layer from the flattened input to the flattened output
            before the activation. Meant for small layers.
        """
        check_built(self, "to_dense")
        rows, columns, inside = self._matrix_indices()
        matrix: np.ndarray = np.zeros(self._matrix_shape(), "float32")
        kernel = ops.convert_to_numpy(self.kernel)
        matrix[rows[inside], columns[inside]] = kernel[inside]
        bias: np.ndarray = np.zeros(matrix.shape[1], "float32")
        if self.use_bias:
            bias = ops.convert_to_numpy(self.bias).ravel()
        return matrix, bias

    def load_keras2_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Sets the weights from a locally connected layer of Keras 2.

        Args:
            weights: List of arrays, what its `get_weights()` returned, by
                any of its three implementations and in the data format of
                this layer. Those of the first can also be set, or loaded
                from a file, as they are.
        """
        check_built(self, "load_keras2_weights")
        kernel, *bias = (np.asarray(weight) for weight in weights)
        if kernel.ndim != 3:
            rows, columns, inside = self._matrix_indices()
            matrix: np.ndarray = np.zeros(self._matrix_shape(), kernel.dtype)
            if kernel.ndim == 1:
                mask = np.zeros(matrix.shape, bool)
                mask[rows[inside], columns[inside]] = True
                matrix.T[mask.T] = kernel
            else:
                matrix = kernel.reshape(matrix.shape)
            kernel = np.where(inside, matrix[rows, columns], 0)
        self.set_weights([kernel, *bias])

    def _matrix_shape(self) -> tuple[int, int]:
        sizes = math.prod(axis.size for axis in self._axes)
        return sizes * self._channels, self.kernel.shape[0] * self.filters

    def _matrix_indices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return matrix_indices(
            self._axes,
            self._channels,
            self.filters,
            self.groups,
            self._channels_first,
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        windows = (axis.windows for axis in self._plan(input_shape))
        if self._channels_first:
            return (input_shape[0], self.filters, *windows)
        return (input_shape[0], *windows, self.filters)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        # Keras 2 had no such argument.
        old = "legacy_same" not in config
        if old and config.get("implementation", 1) != 1:
            warnings.warn(
                f"{cls.__name__} of Keras 2 with implementation="
                f"{config['implementation']} has weights of another shape, "
                "which cannot be loaded from its file as they are. Give what "
                "the old layer's `get_weights()` returns to "
                "`load_keras2_weights`.",
                stacklevel=2,
            )
        return super().from_config(config)

    def get_config(self) -> dict[str, Any]:
        config = {
            name: getattr(self, name)
            for name in (
                "filters",
                "kernel_size",
                "strides",
                "padding",
                "data_format",
                "use_bias",
                "implementation",
                "dilation_rate",
                "groups",
                "legacy_same",
                "patch_limit",
            )
        }
        for kind, names in {
            keras.activations: ["activation"],
            keras.initializers: ["kernel_initializer", "bias_initializer"],
            keras.regularizers: [
                "kernel_regularizer",
                "bias_regularizer",
                "activity_regularizer",
            ],
            keras.constraints: ["kernel_constraint", "bias_constraint"],
        }.items():
            for name in names:
                config[name] = kind.serialize(getattr(self, name))
        return {**super().get_config(), **config}
