from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.layers.argument_validation import check_modalities
from keras_fusion.layers.argument_validation import check_presence
from keras_fusion.types import Initializer
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class MissingModalityToken(keras.layers.Layer):
    """Puts a learned vector in place of a modality that is absent.

    Zeros are a value like any other: a black image is not a missing one. With
    a vector `t[m]` for each modality, which the network can recognize,

        output[m][i] = inputs[m][i]   if sample i has modality m
                       t[m]           otherwise, at every position

    and what stands in place of an absent modality, NaN included, changes
    neither output nor gradient. Tokens of zeros, as at the start, are plain
    zero-filling.

    The layer has as many trainable weights as the modalities have channels in
    all.

    Args:
        initializer: Initializer of the tokens. Defaults to `"zeros"`.

    Call arguments:
        inputs: List of N >= 2 tensors.
        presence: Mask of shape `(batch, N)`, 1 where a sample has the
            modality, such as `ModalityDropout` returns.

    Input shape:
        For each modality `(batch, ..., channels)`, of any rank from 2 on.

    Output shape:
        As the input: a list of N tensors.

    Raises:
        ValueError: If the inputs are not a list of two or more tensors, if the
            channels are unknown, or if presence does not have one column for
            each modality.

    Example:

    >>> layer = keras_fusion.layers.MissingModalityToken(initializer="ones")
    >>> rgb, depth = keras.ops.zeros((2, 3)), keras.ops.zeros((2, 5))
    >>> rgb, depth = layer([rgb, depth], np.array([[1, 1], [0, 1]]))
    >>> keras.ops.convert_to_numpy(rgb).tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """

    def __init__(
        self, initializer: Initializer = "zeros", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)

    def build(self, inputs_shape: list[Shape], presence_shape: Shape) -> None:
        check_modalities(self, inputs_shape)
        check_presence(self, presence_shape, len(inputs_shape))
        self.tokens = [
            self.add_weight(
                shape=(check_channels(self, shape, -1),),
                initializer=self.initializer,
                name=f"token_{m}",
            )
            for m, shape in enumerate(inputs_shape)
        ]

    def call(self, inputs: list[Tensor], presence: Tensor) -> list[Tensor]:
        presence = ops.cast(presence, "bool")
        outputs = []
        for m, x in enumerate(inputs):
            present = ops.reshape(presence[:, m], (-1,) + (1,) * (x.ndim - 1))
            token = ops.convert_to_tensor(self.tokens[m])
            outputs.append(ops.where(present, x, token))
        return outputs

    def compute_output_shape(
        self, inputs_shape: list[Shape], presence_shape: Shape
    ) -> list[Shape]:
        return [tuple(shape) for shape in inputs_shape]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "initializer": keras.initializers.serialize(self.initializer),
        }
