from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.layers.argument_validation import check_modalities
from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.channel_gates import build_excite
from keras_fusion.layers.channel_gates import build_squeeze
from keras_fusion.layers.channel_gates import gate_channels
from keras_fusion.layers.channel_gates import mean_over_positions
from keras_fusion.layers.modality_layer import ModalityLayer
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class SqueezeExciteFusion(ModalityLayer):
    """Gates the channels of each modality by what all modalities contain.

    Squeeze-and-excitation across modalities: the means over positions of
    every modality are concatenated, brought to a bottleneck, and then
    to one gate between 0 and 1 for each channel of each modality:

        z = concatenate(mean over positions of x[m], for all m)
        h = relu(W z + b)
        output[m] = x[m] * sigmoid(V[m] h + c[m])

    Maps may differ in size and in number of channels, so modalities can be
    related that lie on different grids.

    With S channels in all modalities together and `units = S // ratio`, the
    layer has `(2 * S + 1) * units + S` trainable weights.

    Args:
        ratio: Integer, at least 1. Channels of all modalities together for
            each unit of the bottleneck, which has at least one unit. Defaults
            to `16`.
        axis: Integer, the channel axis. Defaults to `-1`.

    Call arguments:
        inputs: List of N >= 2 tensors. Positions that their Keras masks
            exclude do not count in the means.

    Input shape:
        For each modality `(batch, ..., channels)`, or with channels on `axis`,
        of any rank from 2 on.

    Output shape:
        As the input: a list of N tensors.

    Raises:
        ValueError: If the inputs are not a list of two or more tensors, if the
            channels are unknown, or if `ratio` is under 1.

    Example:

    >>> rgb = keras.ops.ones((2, 8, 8, 32))
    >>> depth = keras.ops.ones((2, 4, 4, 16))
    >>> rgb, depth = keras_fusion.layers.SqueezeExciteFusion()([rgb, depth])
    >>> tuple(rgb.shape), tuple(depth.shape)
    ((2, 8, 8, 32), (2, 4, 4, 16))

    Reference:

    - [Hu et al., 2018](https://arxiv.org/abs/1709.01507), equations 2 to 4,
      with a squeeze shared by the modalities, our generalization.
    """

    def __init__(self, ratio: int = 16, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_sizes(ratio=ratio)
        self.ratio = int(ratio)
        self.axis = int(axis)
        self.supports_masking = True

    def build(self, input_shape: list[Shape]) -> None:
        check_modalities(self, input_shape)
        widths = [
            check_channels(self, shape, self.axis, f"inputs[{m}]")
            for m, shape in enumerate(input_shape)
        ]
        total = sum(widths)
        self.squeeze = build_squeeze(self, total, total, self.ratio)
        self.excite = [
            build_excite(self, self.squeeze, width, f"excite_{m}")
            for m, width in enumerate(widths)
        ]
        self.remember_modalities(input_shape)

    def call(
        self,
        inputs: list[Tensor],
        mask: list[Tensor | None] | None = None,
    ) -> list[Tensor]:
        masks = mask or [None] * len(inputs)
        means = [
            mean_over_positions(x, self.axis, m)
            for x, m in zip(inputs, masks, strict=True)
        ]
        hidden = self.squeeze(ops.concatenate(means, axis=-1))
        return [
            gate_channels(x, excite(hidden), self.axis)
            for x, excite in zip(inputs, self.excite, strict=True)
        ]

    def compute_output_shape(self, input_shape: list[Shape]) -> list[Shape]:
        return [tuple(shape) for shape in input_shape]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "ratio": self.ratio,
            "axis": self.axis,
        }
