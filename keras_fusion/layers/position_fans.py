import math

import keras

from keras_fusion.types import Tensor


def scale_to_position(
    initializer: keras.initializers.Initializer, window: int
) -> keras.initializers.Initializer:
    """Gives every position the spread that a convolution would have.

    For kernels `(positions, entries, filters)`. Keras's rule for fans takes
    the number of positions for the size of a convolution's kernel, which is
    `window` here; initializers that do not go by fans stay as they are.
    """
    variance_scaling = keras.initializers.VarianceScaling
    chosen_axes = getattr(initializer, "input_axes", None)
    if not isinstance(initializer, variance_scaling) or chosen_axes:
        return initializer

    def draw(shape: tuple[int, int, int], dtype: str | None = None) -> Tensor:
        positions, entries, filters = shape
        fan_of_keras = fan(initializer.mode, entries, filters) * positions
        fan_of_window = fan(initializer.mode, entries, filters * window)
        values = initializer(shape, dtype=dtype)
        return values * math.sqrt(fan_of_keras / fan_of_window)

    return draw


def fan(mode: str, fan_in: int, fan_out: int) -> float:
    average = (fan_in + fan_out) / 2
    return {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": average}[mode]
