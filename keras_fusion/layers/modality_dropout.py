from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_modalities
from keras_fusion.layers.argument_validation import int_or_none
from keras_fusion.layers.modality_layer import ModalityLayer
from keras_fusion.layers.replica_seed_generator import ReplicaSeedGenerator
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class ModalityDropout(ModalityLayer):
    """Hides whole modalities of single samples during training.

    A network that has always seen all modalities fails when one is missing.
    Here each modality of each sample is replaced by zeros with probability
    `rate`, independently of the others, of the other samples and of the other
    replicas of a distribution strategy. Of each sample at least one modality
    stays: where all would go, one of them, drawn evenly, is kept.

        kept[i][m] = u[i][m] >= rate, or u[i][m] is the largest of u[i]
        output[m][i] = kept[i][m] * inputs[m][i],  u uniform in [0, 1)

    So a modality is hidden in `rate - rate^N / N` of the samples, and
    `rate=1` leaves each sample one modality. What stays is not scaled up.
    Beside the modalities the layer returns which of them are present, for
    layers that take presence, such as `MissingModalityToken` and `Refiner`.
    Outside training nothing is hidden.

    The layer has no weights.

    Args:
        rate: Float between 0 and 1.
        seed: Integer, or None for a random one. Defaults to `None`.

    Call arguments:
        inputs: List of N >= 2 tensors.
        presence: Optional mask of shape `(batch, N)`, 1 where a sample has
            the modality. What is absent becomes zeros, in inference too, and
            is never counted as the modality to keep.
        training: Boolean. Whether to hide modalities.

    Input shape:
        N times `(batch, ...)`, of any rank.

    Output shape:
        A pair: the list of N tensors as they came in, integers as integers,
        and the presence mask of shape `(batch, N)`, 0 or 1.

    Raises:
        ValueError: If the inputs are not a list of two or more tensors, or if
            `rate` is not between 0 and 1.

    Example:

    >>> layer = keras_fusion.layers.ModalityDropout(rate=1.0, seed=0)
    >>> rgb, depth = keras.ops.ones((4, 8)), keras.ops.ones((4, 2, 2, 3))
    >>> (rgb, depth), presence = layer([rgb, depth], training=True)
    >>> keras.ops.convert_to_numpy(presence).sum(axis=1).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    def __init__(
        self, rate: float, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate <= 1:
            raise ValueError(
                f"`rate` must be between 0 and 1. Received: rate={rate}"
            )
        self.rate = rate
        self.supports_masking = True
        self.seed = int_or_none(seed)
        self.seed_generator = ReplicaSeedGenerator(self.seed)

    def build(
        self, inputs_shape: list[Shape], presence_shape: Shape | None = None
    ) -> None:
        check_modalities(self, inputs_shape)
        self.remember_modalities(inputs_shape, axis=None)

    def call(
        self,
        inputs: list[Tensor],
        presence: Tensor | None = None,
        training: bool = False,
    ) -> tuple[list[Tensor], Tensor]:
        shape = (ops.shape(inputs[0])[0], len(inputs))
        if presence is None:
            kept = ops.ones(shape, dtype="bool")
        else:
            kept = ops.cast(presence, "bool")
        if training and self.rate > 0:
            kept = ops.logical_and(kept, self._survivors(shape, kept))
        outputs = [
            ops.where(
                ops.reshape(kept[:, m], (-1,) + (1,) * (x.ndim - 1)),
                x,
                ops.zeros_like(x),
            )
            for m, x in enumerate(inputs)
        ]
        return outputs, ops.cast(kept, self.compute_dtype)

    def _survivors(self, shape: tuple[Any, int], present: Tensor) -> Tensor:
        u = keras.random.uniform(
            shape, dtype="float32", seed=self.seed_generator
        )
        largest = ops.max(ops.where(present, u, -1.0), axis=1, keepdims=True)
        return ops.logical_or(u >= self.rate, u >= largest)

    def compute_mask(
        self, inputs: Any, mask: list[Tensor | None] | None = None
    ) -> tuple[list[Tensor | None], None]:
        return mask or [None] * len(inputs), None

    def compute_output_spec(
        self,
        inputs: list[Tensor],
        presence: Tensor | None = None,
        training: bool = False,
    ) -> tuple[list[Tensor], Tensor]:
        outputs = [
            keras.KerasTensor(
                x.shape,
                # Integers, such as indices of words, stay what they are.
                self.compute_dtype
                if keras.backend.is_float_dtype(x.dtype)
                else x.dtype,
            )
            for x in inputs
        ]
        shape = (inputs[0].shape[0], len(inputs))
        return outputs, keras.KerasTensor(shape, self.compute_dtype)

    def compute_output_shape(
        self, inputs_shape: list[Shape], presence_shape: Shape | None = None
    ) -> tuple[list[Shape], Shape]:
        shapes = [tuple(shape) for shape in inputs_shape]
        return shapes, (shapes[0][0], len(shapes))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
