"""Layers with weights of their own for each category."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.layers.argument_validation import check_ndim
from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class CategoryQueries(keras.layers.Layer):
    """A vector for each category: given ones, and learned ones.

    Args:
        num_categories: Integer.
        units: Integer, width of a vector.
        learned: Numbers of the categories whose vectors are learned, or
            `None` for all. The others are zeros until `given.assign`.
        stddev: Float, of the learned vectors at their start.
        repeat: Boolean. Whether the vectors are repeated for each sample of
            the input, or there is one batch of 1 that serves all.

    Input shape:
        `(batch, ...)`; only the batch counts.

    Output shape:
        `(batch, num_categories, units)`, or `(1, num_categories, units)`.
    """

    def __init__(
        self,
        num_categories: int,
        units: int,
        learned: Sequence[int] | None = None,
        stddev: float = 0.4,
        repeat: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_sizes(num_categories=num_categories, units=units)
        if learned is None:
            learned = range(num_categories)
        self.num_categories = num_categories
        self.units = units
        self.learned = [int(number) for number in learned]
        self.stddev = stddev
        self.repeat = repeat

    def build(self, input_shape: Shape) -> None:
        if self.learned:
            self.vectors = self.add_weight(
                shape=(len(self.learned), self.units),
                initializer=keras.initializers.RandomNormal(stddev=self.stddev),
                name="vectors",
            )
        if len(self.learned) < self.num_categories:
            self.given = self.add_weight(
                shape=(self.num_categories, self.units),
                initializer="zeros",
                trainable=False,
                name="given",
            )

    def call(self, inputs: Tensor) -> Tensor:
        table = self._table()[None]
        if self.repeat:
            shape = (ops.shape(inputs)[0], self.num_categories, self.units)
            table = ops.broadcast_to(table, shape)
        return ops.cast(table, self.compute_dtype)

    def _table(self) -> Tensor:
        if len(self.learned) == self.num_categories:
            return ops.convert_to_tensor(self.vectors)
        if not self.learned:
            return ops.convert_to_tensor(self.given)
        # Puts each learned vector into the row of its category.
        places = ops.one_hot(
            self.learned, self.num_categories, dtype=self.vectors.dtype
        )
        return self.given + ops.matmul(ops.transpose(places), self.vectors)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch = input_shape[0] if self.repeat else 1
        return (batch, self.num_categories, self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_categories": self.num_categories,
            "units": self.units,
            "learned": self.learned,
            "stddev": self.stddev,
            "repeat": self.repeat,
        }


@keras.saving.register_keras_serializable(package="keras_fusion")
class CategoryClassifier(keras.layers.Layer):
    """A score for each category from its own features, by its own weights.

        score[c] = w[c]' x[c] + b[c]

    Input shape:
        `(batch, categories, features)`.

    Output shape:
        `(batch, categories)`.
    """

    def build(self, input_shape: Shape) -> None:
        check_ndim(self, input_shape, 3, 3)
        categories = check_channels(self, input_shape, 1)
        features = check_channels(self, input_shape, -1)
        # Each row is a classifier with one output.
        limit = (6 / (features + 1)) ** 0.5
        self.kernel = self.add_weight(
            shape=(categories, features),
            initializer=keras.initializers.RandomUniform(-limit, limit),
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(categories,), initializer="zeros", name="bias"
        )

    def call(self, inputs: Tensor) -> Tensor:
        return ops.sum(inputs * self.kernel, axis=-1) + self.bias

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape[:-1])
