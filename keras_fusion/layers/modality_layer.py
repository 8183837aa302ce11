import functools
import inspect
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras

from keras_fusion.layers.argument_validation import check_as_built
from keras_fusion.layers.argument_validation import check_presence
from keras_fusion.layers.argument_validation import check_same_shape
from keras_fusion.layers.argument_validation import check_vectors
from keras_fusion.types import Shape


class ModalityLayer(keras.layers.Layer):
    """What layers share that take a list of modalities.

    Keras looks at shapes where a layer is built, so that a later call with
    other modalities would give wrong numbers. Here every call has to bring
    those that the layer was built for.

    A class says what else holds of every call: whether its modalities are
    vectors, `of_vectors`, or have one shape, `of_one_shape`.
    """

    of_vectors = False
    of_one_shape = False

    def remember_modalities(
        self, shapes: Sequence[Shape], axis: int | None = -1
    ) -> None:
        """Makes later calls take as many, of as many channels on `axis`.

        Without an axis, channels may change.
        """
        self._built_channels = tuple(
            None if axis is None else shape[axis] for shape in shapes
        )
        self._channel_axis = -1 if axis is None else axis

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.built:
            names = call_arguments(type(self).call)
            arguments = {**dict(zip(names, args, strict=False)), **kwargs}
            self._check_modalities(arguments.get("inputs"))
            self._check_presence(arguments.get("presence"))
        return super().__call__(*args, **kwargs)

    def _check_modalities(self, inputs: Any) -> None:
        check_as_built(self, inputs, self._built_channels, self._channel_axis)
        shapes = [tuple(x.shape) for x in inputs]
        if self.of_vectors:
            check_vectors(self, shapes)
        if self.of_one_shape:
            check_same_shape(self, shapes)

    def _check_presence(self, presence: Any) -> None:
        if presence is not None:
            modalities = len(self._built_channels)
            check_presence(self, tuple(presence.shape), modalities)


@functools.cache
def call_arguments(call: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(call).parameters)[1:]
