import keras

from keras_fusion.models.branch_layers import channel_axis
from keras_fusion.types import Tensor


def ceiling_pool(maps: Tensor, kind: str, name: str) -> Tensor:
    """Pools 3x3 windows with stride 2, the last one cut off at the border.

    Caffe rounds the number of windows up and lets them start at the first
    pixel. For an even side this is Keras's `padding="same"`, for an odd one
    it is `"valid"`, in which no window is cut off.

    Args:
        maps: Tensor with known height and width.
        kind: `"max"` or `"average"`; averages leave out what was cut off.
        name: Name of the layer.
    """
    if kind not in ("max", "average"):
        raise ValueError(
            '`pools` must be "max" or "average", each of them. '
            f"Received: {kind!r} for {name}"
        )
    sides = maps.shape[1:3] if channel_axis() == -1 else maps.shape[2:]
    if None in sides or len({side % 2 for side in sides}) > 1 or 1 in sides:
        raise ValueError(
            "Pooling as in Caffe needs a known height and width, both even or "
            f"both odd, of 2 or more. Received: {tuple(sides)} for {name}. "
            "Change `image_shape`."
        )
    pool = {
        "max": keras.layers.MaxPooling2D,
        "average": keras.layers.AveragePooling2D,
    }[kind]
    padding = "valid" if sides[0] % 2 else "same"
    return pool(3, strides=2, padding=padding, name=name)(maps)
